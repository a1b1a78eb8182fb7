"""Graded tests of the building blocks in q1.py: Dense, the activations and the loss (handout, section 1).

They ask for what the handout asks for, and no more: any right solution gets all points. Beside each right
answer stand the wrong ones that common mistakes give, by the sentence that a student is told then.
"""

from __future__ import annotations

import unittest

import numpy as np
import probe
import torch
from adapters import (
    LayerTest,
    assert_unchanged,
    called,
    gradients,
    has_update,
    loss_gradient,
    loss_value,
    parameters,
    set_parameters,
    with_either_target,
    with_gradient,
)
from gradescope_utils.autograder_utils.decorators import number, visibility, weight

import q1
from autograder.checks import (
    CheckError,
    as_array,
    assert_close,
    assert_refused,
    comparing,
    generator,
    hint,
    is_close,
    random_batch,
    takes,
)

DENSE_SIZES = [(7, 4, 3), (1, 3, 5), (6, 1, 4), (4, 5, 1), (9, 40, 30)]  # (n, d, m)
SHAPES = [(4, 6), (1, 5), (7, 1), (20, 10)]

TRANSPOSED_FORWARD = "the weights are transposed, or should be: x Wᵀ is (n, d) times (d, m)"
TRANSPOSED_BACKWARD = (
    "in backward the weights or the gradient are transposed, or should be: "
    "dL/dx = g W is (n, m) times (m, d), and dL/dW = gᵀ x is (m, n) times (n, d)"
)
STALE = "backward works with an earlier batch: it belongs to the latest forward"


def softmax(x, axis=-1):
    """Return exp(x) / Σ exp(x) along an axis; over all numbers for None."""
    exponentials = np.exp(x - x.max(axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


# ---------------------------------------------------------------------------------------------------
# 1.1
# ---------------------------------------------------------------------------------------------------


class TestDense(LayerTest):
    """Fully-connected layer, 15 points."""

    module = q1
    tested = "Dense"

    def make_layer(self, d, m):
        """Return a layer with random weights and bias, and these."""
        layer = q1.Dense(d, m)
        W, b = random_batch(m, d, seed=1), random_batch(m, seed=2)
        set_parameters(layer, W, b)
        return layer, W, b

    def run_backward(self, n, d, m):
        """Return a layer after forward and backward, what backward returned, and x, g and W."""
        layer, W, _ = self.make_layer(d, m)
        x, g = random_batch(n, d, seed=3), random_batch(n, m, seed=4)
        with hint(TRANSPOSED_FORWARD, self.forward_transposes):
            layer.forward(x)
        with hint(TRANSPOSED_BACKWARD, self.backward_transposes):
            x_grad = layer.backward(g)
        return layer, x_grad, x, g, W

    def forward_transposes(self):
        """Say whether forward uses the weights of a square layer the other way than others are made."""
        (weights, _), *_ = probe.find_parameters(q1.Dense(4, 3))["weights"].values()
        _, turned = next(iter(probe.find_parameters(q1.Dense(4, 4))["weights"].values()))
        return turned is not None and turned != (weights.shape == (4, 3))

    def backward_transposes(self):
        """Say whether backward, where everything is square, gives what a transposed matrix gives."""
        layer, W, _ = self.make_layer(4, 4)
        x, g = random_batch(4, 4, seed=3), random_batch(4, 4, seed=4)
        layer.forward(x)
        x_grad = layer.backward(g)
        if not is_close(x_grad, g @ W):
            return any(is_close(x_grad, wrong) for wrong in (g @ W.T, g.T @ W, g.T @ W.T, W @ g, W.T @ g))
        dW, _ = gradients(layer)
        return any(is_close(dW, wrong) for wrong in (x.T @ g, g @ x, x @ g, g.T @ x.T, x.T @ g.T, x @ g.T))

    def check_xavier(self, when, *drawn):
        """Check that weights are spread evenly between -√(6/(d+m)) and √(6/(d+m)).

        Args:
            when: they were drawn.
            *drawn: each the weights, d and m.
        """
        problems = [(W, d, m) for W, d, m in drawn if not self.is_xavier(W, d, m)]
        if not problems:
            return
        W, d, m = problems[0]
        if W.shape != (m, d):
            raise CheckError(
                f"The weights {when} have the wrong shape", f"expected {(m, d)} or {(d, m)}", f"got {W.shape}"
            )
        common = [
            bug
            for bug in self.xavier_bugs(*problems[0])
            if all(bug in self.xavier_bugs(*it) for it in problems)
        ]
        bound = np.sqrt(6 / (d + m))
        raise CheckError(
            f"The weights of Dense({d}, {m}) {when} are not Xavier-uniform",
            f"expected numbers spread evenly between -√(6/(d+m)) = {-bound:.4f} and {bound:.4f}",
            f"got numbers between {W.min():.4f} and {W.max():.4f}, standard deviation {W.std():.4f} "
            f"(expected {bound / np.sqrt(3):.4f})",
            bug=next(iter(common), ""),
        )

    def is_xavier(self, W, d, m):
        """Say whether weights are Xavier-uniform, as far as their number allows."""
        bound = np.sqrt(6 / (d + m))
        shares = np.histogram(W, bins=10, range=(-bound, bound))[0] / W.size
        return (
            W.shape == (m, d)
            and np.abs(W).max() <= bound * (1 + 1e-6)
            and np.all(np.abs(shares - 0.1) < 0.015)
        )

    def xavier_bugs(self, W, d, m):
        """Return the mistakes that weights look like."""
        largest = np.abs(W).max()
        other_bounds = {
            "the square root is missing": 6 / (d + m),
            "the bound has 6/d in it, not 6/(d+m)": np.sqrt(6 / d),
            "the bound has 6/m in it, not 6/(d+m)": np.sqrt(6 / m),
            "the bound has 2/(d+m) in it, not 6/(d+m)": np.sqrt(2 / (d + m)),
            "the bound has 3/(d+m) in it, not 6/(d+m)": np.sqrt(3 / (d + m)),
            "the bound has d·m in it, where it should be d+m": np.sqrt(6 / (d * m)),
            "the bound is 1/√d, PyTorch's default": 1 / np.sqrt(d),
            "the bound is 1": 1,
        }
        if np.ptp(W) == 0:
            return ["all weights are the same: draw each at random"]
        if W.min() >= 0:
            return ["no weight is negative: draw from -bound to bound"]
        spread = np.histogram(W, bins=10, range=(-largest, largest))[0] / W.size
        if np.all(np.abs(spread - 0.1) < 0.02):
            return [bug for bug, other in other_bounds.items() if abs(largest / other - 1) < 5e-3]
        kurtosis = np.mean((W - W.mean()) ** 4) / W.var() ** 2
        if abs(kurtosis - 3) > 0.25:  # that of a uniform distribution is 1.8
            return []
        return ["this is not a uniform distribution, but a normal one: use `np.random.uniform`"]

    @weight(2)
    @number("1.1.1")
    @visibility("visible")
    def test_initial_weights(self):
        """Dense: the initial weights are Xavier-uniform, between -√(6/(d+m)) and √(6/(d+m))."""
        sizes = (200, 100), (60, 300)
        drawn = [(parameters(q1.Dense(d, m))[0], d, m) for d, m in sizes]
        self.check_xavier("after construction", *drawn)

    @weight(1)
    @number("1.1.2")
    @visibility("visible")
    @comparing
    def test_initial_bias(self, compare):
        """Dense: the initial bias is zero."""
        for d, m in ((4, 3), (2, 30)):
            _, b = parameters(q1.Dense(d, m))
            suspects = {"the bias starts at 1": np.ones(m)}
            if np.ptp(b) > 0:
                suspects["the bias is drawn at random; it starts with all zeros"] = b
            compare(b, np.zeros(m), f"The initial bias of Dense({d}, {m})", suspects=suspects)

    @weight(1)
    @number("1.1.3")
    @visibility("visible")
    def test_init_weights(self):
        """Dense: init_weights draws new weights and sets the bias to zero again."""
        d, m = 200, 100
        layer, W, b = self.make_layer(d, m)
        layer.init_weights()
        weights, bias = parameters(layer)
        if is_close(weights, W):
            raise CheckError("`init_weights` leaves the weights as they are", bug="it does nothing")
        self.check_xavier("after `init_weights`", (weights, d, m))
        assert_close(
            bias,
            np.zeros(m),
            "The bias after `init_weights`",
            suspects={"`init_weights` does not set the bias to zero again": b},
        )

    @weight(2.75)
    @number("1.1.4")
    @visibility("visible")
    @comparing
    def test_forward(self, compare):
        """Dense: forward computes x Wᵀ + b."""
        for n, d, m in DENSE_SIZES:
            layer, W, b = self.make_layer(d, m)
            x = random_batch(n, d, seed=3)
            linear = torch.nn.functional.linear(*map(torch.tensor, (x, W, b)))
            with hint(TRANSPOSED_FORWARD, self.forward_transposes):
                y = layer.forward(x)
            suspects = {
                "the bias is missing": x @ W.T,
                "the bias is subtracted": x @ W.T - b,
                "the bias is added twice": x @ W.T + 2 * b,
                "the answer is transposed": (x @ W.T + b).T,
                "the answer is averaged over the inputs": x @ W.T / d + b,
            }
            compare(y, linear, f"Dense({d}, {m}).forward for {n} examples", suspects=suspects)

    @weight(2.25)
    @number("1.1.5")
    @visibility("visible")
    @comparing
    def test_input_gradient(self, compare):
        """Dense: backward returns dL/dx = g W, where g is dL/dy."""
        for n, d, m in DENSE_SIZES:
            _, x_grad, _, g, W = self.run_backward(n, d, m)
            suspects = {
                "dL/dx is averaged over the batch: each example has a gradient of its own": g @ W / n,
                "dL/dx is averaged over the outputs: it is a sum": g @ W / m,
                "the sign is wrong": -g @ W,
                "the upstream gradient is left out": np.ones_like(g) @ W,
                "backward returns dL/dW: store that one, and return dL/dx": g.T @ _x(n, d),
                "the answer is transposed": (g @ W).T,
                "the upstream gradient is returned as it came": g,
            }
            compare(x_grad, g @ W, f"dL/dx from Dense({d}, {m}).backward for {n} examples", suspects=suspects)

    @weight(2)
    @number("1.1.6")
    @visibility("visible")
    @comparing
    def test_weights_gradient(self, compare):
        """Dense: backward leaves dL/dW = gᵀ x, a sum over the batch."""
        for n, d, m in DENSE_SIZES:
            layer, _, x, g, _ = self.run_backward(n, d, m)
            dW, _ = gradients(layer)
            right = g.T @ x
            suspects = {
                "dL/dW is averaged over the batch: it is a sum, the loss has the 1/N in it already": right
                / n,
                "dL/dW is transposed: it has the shape of the weights": right.T,
                "dL/dW has the wrong sign": -right,
                "dL/dW is twice what it should be": 2 * right,
                "the upstream gradient is left out": np.ones_like(g).T @ x,
                "the input is left out": g.T @ np.ones_like(x),
                "dL/dW stays zero: backward does not store it": np.zeros_like(right),
            }
            what = f"dL/dW{called(layer, 'weights gradient')} of Dense({d}, {m}) for {n} examples"
            compare(dW, right, what, suspects=suspects)

    @weight(1)
    @number("1.1.7")
    @visibility("visible")
    @comparing
    def test_bias_gradient(self, compare):
        """Dense: backward leaves dL/db, the sum of g over the batch."""
        for n, d, m in DENSE_SIZES:
            layer, _, _, g, _ = self.run_backward(n, d, m)
            _, db = gradients(layer)
            right = g.sum(axis=0)
            suspects = {
                "dL/db is averaged over the batch: it is a sum, the loss has the 1/N in it already": right
                / n,
                "dL/db is not summed over the batch": g if n > 1 else right,
                "dL/db is summed over the outputs: sum over the batch (axis 0)": g.sum(axis=1),
                "dL/db is summed over everything: sum over the batch (axis 0) alone": g.sum(),
                "dL/db has the wrong sign": -right,
                "dL/db is twice what it should be": 2 * right,
                "dL/db counts the examples, and leaves out the upstream gradient": np.full(m, n),
                "dL/db is that of the first example: sum over the batch": g[0],
                "dL/db is that of the last example: sum over the batch": g[-1],
                "dL/db stays zero: backward does not store it": np.zeros(m),
            }
            what = f"dL/db{called(layer, 'bias gradient')} of Dense({d}, {m}) for {n} examples"
            compare(db, right, what, suspects=suspects)

    @weight(1)
    @number("1.1.8")
    @visibility("visible")
    @comparing
    def test_several_batches(self, compare):
        """Dense: the gradients are those of the latest batch alone, nothing of earlier ones stays."""
        layer, W, _ = self.make_layer(4, 3)
        xs, gs = random_batch(3, 6, 4, seed=5), random_batch(3, 6, 3, seed=6)
        layer.forward(xs[0])
        layer.backward(gs[0])
        layer.forward(xs[1])
        layer.forward(xs[2])
        x_grad = layer.backward(gs[2])
        dW, db = gradients(layer)
        grows = "the gradients accumulate: each backward replaces those of the one before"
        # A mistake may be in one of the gradients alone, so others may be right.
        right = gs[2].T @ xs[2]
        suspects = {grows: (gs[0].T @ xs[0] + right, right), STALE: (gs[2].T @ xs[0], gs[0].T @ xs[0], right)}
        compare(dW, right, "dL/dW of a later batch", suspects=suspects)
        right = gs[2].sum(axis=0)
        suspects = {grows: (gs[0].sum(axis=0) + right, right), STALE: (gs[0].sum(axis=0), right)}
        compare(db, right, "dL/db of a later batch", suspects=suspects)
        right = gs[2] @ W
        compare(x_grad, right, "dL/dx of a later batch", suspects={STALE: (gs[0] @ W, right)})
        layer.forward(xs[0][:2])
        layer.backward(gs[0][:2])
        smaller, _ = gradients(layer)
        right = gs[0][:2].T @ xs[0][:2]
        suspects = {grows: (dW + right, right), STALE: (gs[0][:2].T @ xs[2][:2], right)}
        compare(smaller, right, "dL/dW of a smaller batch", suspects=suspects)

    @weight(1)
    @number("1.1.9")
    @visibility("visible")
    def test_dimensions_are_checked(self):
        """Dense: inputs and gradients of a wrong width are refused with an error."""
        layer, *_ = self.make_layer(4, 3)
        for width in (5, 3, 8):
            x = random_batch(6, width)
            assert_refused(
                lambda x=x: layer.forward(x), f"`Dense(4, 3).forward` of an array of shape {x.shape}"
            )
        layer.forward(random_batch(6, 4))
        for width in (4, 2, 6):
            g = random_batch(6, width)
            assert_refused(
                lambda g=g: layer.backward(g), f"`Dense(4, 3).backward` of an array of shape {g.shape}"
            )

    @weight(0.25)
    @number("1.1.10")
    @visibility("visible")
    def test_arguments_stay_as_they_are(self):
        """Dense: forward and backward don't write into the arrays that they are handed."""
        layer, W, b = self.make_layer(4, 3)
        x = random_batch(6, 4)
        assert_unchanged(layer, [x], [random_batch(6, 3)], x @ W.T + b)

    @weight(0.25)
    @number("1.1.11")
    @visibility("visible")
    def test_float32(self):
        """Dense: takes float32 as well."""
        layer, W, b = self.make_layer(4, 3)
        x, g = random_batch(6, 4).astype(np.float32), random_batch(6, 3).astype(np.float32)
        assert_close(layer.forward(x), x @ W.T + b, "Dense(4, 3).forward in float32")
        assert_close(layer.backward(g), g @ W, "Dense(4, 3).backward in float32")

    @weight(0.5)
    @number("1.1.12")
    @visibility("visible")
    @comparing
    def test_update(self, compare):
        """Dense: update, where there is one, takes a step of gradient descent, W - η dL/dW and likewise b."""
        layer, W, b = self.make_layer(4, 3)
        if not has_update(layer):  # then nothing can be wrong with it, if the layer is one
            x = random_batch(6, 4)
            assert_close(layer.forward(x), x @ W.T + b, "The output of forward, which has to be right first,")
            return
        rate = 0.2
        for step in (1, 2):
            x, g = random_batch(6, 4, seed=step), random_batch(6, 3, seed=step + 2)
            layer.forward(x)
            layer.backward(g)
            theirs = self.gradients_if_any(layer)
            layer.update(rate)
            weights, bias = parameters(layer)
            for name, new, old, gradient, own in (
                ("weights", weights, W, g.T @ x, theirs[0]),
                ("bias", bias, b, g.sum(axis=0), theirs[1]),
            ):
                suspects = {
                    "update does right, with a gradient from backward that is wrong": old - rate * own,
                    "update goes uphill: subtract η times the gradient": old + rate * gradient,
                    "update takes the step twice": old - 2 * rate * gradient,
                    "update leaves weights and bias as they were": old,
                    f"update leaves the {name} as before": old,
                    "update does not multiply by the learning rate": old - gradient,
                    "update divides by N: the gradient is used as it is": old - rate * gradient / 6,
                }
                right = old - rate * gradient
                compare(new, right, f"The {name} after update number {step}", suspects=suspects)
            W, b = weights, bias

    def gradients_if_any(self, layer):
        """Return dL/dW and dL/db; what is wrong with them is for other tests to say."""
        try:
            return gradients(layer)
        except Exception:
            return np.nan, np.nan


def _x(n, d):
    return random_batch(n, d, seed=3)


# ---------------------------------------------------------------------------------------------------
# 1.2
# ---------------------------------------------------------------------------------------------------


class ActivationTest(LayerTest):
    """What the tests of the activations share.

    Attributes:
        function: the activation, in PyTorch.
    """

    module = q1

    def make_layer(self):
        """Return a layer."""
        return getattr(q1, self.tested)()

    def check_forward(self, compare, x, suspects):
        """Compare the output with PyTorch's."""
        right = self.function(torch.tensor(x))
        compare(
            self.make_layer().forward(x),
            right,
            f"{self.tested}.forward for shape {x.shape}",
            suspects=suspects,
        )

    def check_backward(self, compare, x, g, suspects):
        """Compare dL/dx with PyTorch's."""
        _, right = with_gradient(self.function, x, g)
        layer = self.make_layer()
        layer.forward(x)
        compare(layer.backward(g), right, f"dL/dx from {self.tested} for shape {x.shape}", suspects=suspects)

    def check_several_batches(self, compare):
        """Check that backward belongs to the latest forward."""
        layer = self.make_layer()
        xs, g = random_batch(3, 5, 4), random_batch(5, 4, seed=1)
        gradient = [with_gradient(self.function, x, g)[1] for x in xs]
        layer.forward(xs[0])
        first = layer.backward(g)
        layer.forward(xs[1])
        layer.forward(xs[2])
        suspects = {
            STALE: gradient[0],
            STALE + " (here it belongs to the one before)": gradient[1],
            "the gradients accumulate: each backward starts afresh": gradient[0] + gradient[2],
        }
        compare(first, gradient[0], "dL/dx of a first batch")
        compare(layer.backward(g), gradient[2], "dL/dx of a later batch", suspects=suspects)
        layer.forward(xs[0][:2])
        compare(layer.backward(g[:2]), gradient[0][:2], "dL/dx of a smaller batch")

    def check_arguments_stay(self):
        """Check that forward and backward don't write into what they are handed."""
        x = random_batch(5, 4)
        right = self.function(torch.tensor(x))
        assert_unchanged(self.make_layer(), [x], [random_batch(5, 4, seed=1)], right)

    def check_float32(self):
        """Check the answers for float32."""
        x, g = random_batch(5, 4).astype(np.float32), random_batch(5, 4, seed=1).astype(np.float32)
        right, right_grad = with_gradient(self.function, x, g)
        layer = self.make_layer()
        assert_close(layer.forward(x), right, f"{self.tested}.forward in float32")
        assert_close(layer.backward(g), right_grad, f"{self.tested}.backward in float32")


class TestSoftmaxLayer(ActivationTest):
    """Softmax, 10 points."""

    tested = "SoftmaxLayer"
    banned_functions = ("softmax", "log_softmax")

    @staticmethod
    def function(x):
        return torch.softmax(x, -1)

    # Each row by its softmax: rows that overflow without a shift, and rows that vanish with that of others.
    EXTREMES = np.array([[1000.0, 1001, 1003], [-1000, -1001, -1002], [0, 1, 3], [1000, 0, -1000]])
    OVERFLOW = "exp overflows: subtract each row's own maximum from the row first, which changes nothing else"

    @weight(3)
    @number("1.2a.1")
    @visibility("visible")
    @comparing
    def test_forward(self, compare):
        """Softmax: forward computes exp(x) / Σ exp(x) along each row."""
        for shape in SHAPES:
            x = 2 * random_batch(*shape)
            plain, shifted = np.exp(x), np.exp(x - x.max(axis=1, keepdims=True))
            suspects = {
                "it is normalised over the whole batch: each row is to sum to 1": (
                    softmax(x, None),
                    shifted / shifted.sum(),
                ),
                "it is normalised along the wrong axis: each row is to sum to 1": (
                    softmax(x, 0),
                    shifted / shifted.sum(axis=0),
                ),
                "it is not divided by the sum": (plain, shifted, np.exp(x - x.max())),
                "it is divided by the largest number, not by the sum": plain
                / plain.max(axis=1, keepdims=True),
                "exp is missing": x / x.sum(axis=1, keepdims=True),
                "this is log softmax": np.log(softmax(x)),
                "this is the sigmoid": 1 / (1 + plain**-1),
                "softmax is applied twice": softmax(softmax(x)),
                "the sign of x is wrong": softmax(-x),
            }
            self.check_forward(compare, x, suspects)

    @weight(3)
    @number("1.2a.2")
    @visibility("visible")
    @comparing
    def test_backward(self, compare):
        """Softmax: backward multiplies the upstream gradient with the full Jacobian."""
        for shape in SHAPES:
            x, g = 2 * random_batch(*shape), random_batch(*shape, seed=1)
            y = softmax(x)
            gy = g * y
            suspects = {
                "only the diagonal of the Jacobian is there, y (1 - y): each output depends on every input "
                "of its row": gy * (1 - y),
                "the upstream gradient is passed through: this layer has a Jacobian of its own, also before "
                "cross-entropy": g,
                "the upstream gradient is left out": y * (1 - y),
                "the sum is over the whole batch: take it row by row": gy - y * gy.sum(),
                "the sum is along the wrong axis: take it row by row": gy - y * gy.sum(axis=0),
                "only the off-diagonal part is there": -y * gy.sum(axis=1, keepdims=True),
                "the part off the diagonal is missing": gy,
                "the sign is wrong": y * gy.sum(axis=1, keepdims=True) - gy,
                "the factor y is missing": g - gy.sum(axis=1, keepdims=True),
                "the sum should be over g y, not over g": y * (g - g.sum(axis=1, keepdims=True)),
                "dL/dx is averaged over the batch": (gy - y * gy.sum(axis=1, keepdims=True)) / len(x),
                "the Jacobian is built of x: it is made of the output y": x
                * (g - (g * x).sum(axis=1, keepdims=True)),
            }
            self.check_backward(compare, x, g, suspects)

    @weight(1.5)
    @number("1.2a.3")
    @visibility("visible")
    @comparing
    def test_large_numbers(self, compare):
        """Softmax: large positive and negative inputs give neither NaN nor infinity."""
        x = self.EXTREMES
        exponentials = np.exp(x)
        shifted = np.exp(x - x.max())
        suspects = {
            self.OVERFLOW: exponentials / exponentials.sum(axis=1, keepdims=True),
            "one shift is taken for the whole batch, so that rows vanish: subtract each row's own maximum": (
                shifted / shifted.sum(axis=1, keepdims=True)
            ),
        }
        compare(
            self.make_layer().forward(x),
            softmax(x),
            f"SoftmaxLayer.forward of {x.tolist()}",
            suspects=suspects,
            not_finite=self.OVERFLOW,
        )

    @weight(0.5)
    @number("1.2a.4")
    @visibility("visible")
    @comparing
    def test_gradient_at_large_numbers(self, compare):
        """Softmax: dL/dx is right for large inputs too."""
        x, g = self.EXTREMES, random_batch(*self.EXTREMES.shape)
        _, right = with_gradient(self.function, x, g)
        layer = self.make_layer()
        layer.forward(x)
        name = f"dL/dx from SoftmaxLayer for {x.tolist()}"
        compare(layer.backward(g), right, name, not_finite=self.OVERFLOW)

    @weight(1)
    @number("1.2a.5")
    @visibility("visible")
    @comparing
    def test_several_batches(self, compare):
        """Softmax: backward belongs to the latest forward."""
        self.check_several_batches(compare)

    @weight(0.5)
    @number("1.2a.6")
    @visibility("visible")
    def test_arguments_stay_as_they_are(self):
        """Softmax: forward and backward don't write into the arrays that they are handed."""
        self.check_arguments_stay()

    @weight(0.5)
    @number("1.2a.7")
    @visibility("visible")
    def test_float32(self):
        """Softmax: takes float32 as well."""
        self.check_float32()


class TestTanhLayer(ActivationTest):
    """Tanh, 10 points."""

    tested = "TanhLayer"
    banned_functions = ("tanh",)
    function = staticmethod(torch.tanh)

    EXTREMES = np.array([[0.0, 1, 20, 50, 100], [400, 800, 1e4, 1e5, 1e6]])
    OVERFLOW = (
        "exp overflows for large |x|, and infinity divided by infinity is no number: use a form that has "
        "only exp(-2|x|) in it, or one for each sign"
    )

    @weight(3)
    @number("1.2b.1")
    @visibility("visible")
    @comparing
    def test_forward(self, compare):
        """Tanh: forward computes (exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
        for shape in SHAPES:
            x = random_batch(*shape)
            sigmoid, plus, minus = 1 / (1 + np.exp(-x)), np.exp(x), np.exp(-x)
            with np.errstate(divide="ignore"):
                suspects = {
                    "this is the sigmoid": sigmoid,
                    "this is tanh(x/2): exp(x) where exp(2x) should be": 2 * sigmoid - 1,
                    "this is tanh(2x)": (plus**4 - 1) / (plus**4 + 1),
                    "the sign is wrong": (minus - plus) / (plus + minus),
                    "numerator and denominator are swapped": (plus + minus) / (plus - minus),
                    "this is sinh: the denominator is missing": (plus - minus) / 2,
                    "the denominator is missing": plus - minus,
                }
            self.check_forward(compare, x, suspects)

    @weight(3)
    @number("1.2b.2")
    @visibility("visible")
    @comparing
    def test_backward(self, compare):
        """Tanh: backward returns g (1 - tanh²(x)), where g is dL/dy."""
        for shape in SHAPES:
            x, g = random_batch(*shape), random_batch(*shape, seed=1)
            y = torch.tanh(torch.tensor(x)).numpy()
            sigmoid = 1 / (1 + np.exp(-x))
            suspects = {
                "1 - x² has the input in it: it is 1 - y², with the output": g * (1 - x**2),
                "the square is missing: it is 1 - y²": g * (1 - y),
                "tanh is applied to the output once more: y is tanh(x) already": (
                    g * (1 - torch.tanh(torch.tensor(y)).numpy() ** 2)
                ),
                "the upstream gradient is left out": 1 - y**2,
                "this is the sigmoid's derivative, y (1 - y)": g * y * (1 - y),
                "this is the sigmoid's derivative": g * sigmoid * (1 - sigmoid),
                "the sign is wrong": g * (y**2 - 1),
                "it is 1 - y², not 1 + y²": g * (1 + y**2),
                "the upstream gradient is squared with the output: it is a factor": 1 - (g * y) ** 2,
                "it is 1 - y², not y²": g * y**2,
                "the upstream gradient is passed through": g,
            }
            self.check_backward(compare, x, g, suspects)

    @weight(1.5)
    @number("1.2b.3")
    @visibility("visible")
    @comparing
    def test_large_numbers(self, compare):
        """Tanh: large positive and negative inputs give 1 and -1, neither NaN nor infinity."""
        x = np.concatenate([self.EXTREMES, -self.EXTREMES])
        compare(
            self.make_layer().forward(x),
            torch.tanh(torch.tensor(x)),
            f"TanhLayer.forward of {x.tolist()}",
            not_finite=self.OVERFLOW,
        )

    @weight(0.5)
    @number("1.2b.4")
    @visibility("visible")
    @comparing
    def test_gradient_at_large_numbers(self, compare):
        """Tanh: dL/dx is right for large inputs too."""
        x = np.concatenate([self.EXTREMES, -self.EXTREMES])
        g = random_batch(*x.shape)
        _, right = with_gradient(torch.tanh, x, g)
        layer = self.make_layer()
        layer.forward(x)
        compare(layer.backward(g), right, f"dL/dx from TanhLayer for {x.tolist()}", not_finite=self.OVERFLOW)

    @weight(1)
    @number("1.2b.5")
    @visibility("visible")
    @comparing
    def test_several_batches(self, compare):
        """Tanh: backward belongs to the latest forward."""
        self.check_several_batches(compare)

    @weight(0.5)
    @number("1.2b.6")
    @visibility("visible")
    def test_arguments_stay_as_they_are(self):
        """Tanh: forward and backward don't write into the arrays that they are handed."""
        self.check_arguments_stay()

    @weight(0.5)
    @number("1.2b.7")
    @visibility("visible")
    def test_float32(self):
        """Tanh: takes float32 as well."""
        self.check_float32()


class TestReLULayer(ActivationTest):
    """ReLU, 10 points."""

    tested = "ReLULayer"
    function = staticmethod(torch.relu)

    @weight(3)
    @number("1.2c.1")
    @visibility("visible")
    @comparing
    def test_forward(self, compare):
        """ReLU: forward computes max(x, 0)."""
        for shape in SHAPES:
            x = random_batch(*shape)
            suspects = {
                "this is a leaky ReLU: negative numbers become 0": np.where(x > 0, x, 0.01 * x),
                "this is a leaky ReLU of slope 0.1: negative numbers become 0": np.where(x > 0, x, 0.1 * x),
                "this is the absolute value": np.abs(x),
                "this is min(x, 0)": np.minimum(x, 0),
                "positive numbers become 1: they stay as they are": (x > 0).astype(float),
                "the input is returned as it came": x,
                "the maximum is taken over the array: take it of each number and 0": np.array(
                    max(x.max(), 0)
                ),
            }
            self.check_forward(compare, x, suspects)

    @weight(3)
    @number("1.2c.2")
    @visibility("visible")
    @comparing
    def test_backward(self, compare):
        """ReLU: backward lets the gradient through where x > 0, and gives 0 elsewhere."""
        for shape in SHAPES:
            x, g = random_batch(*shape), random_batch(*shape, seed=1)
            suspects = {
                "the sign of the upstream gradient decides: it should be that of the input": g * (g > 0),
                "the upstream gradient is passed through where x <= 0 too": g,
                "this is the gradient of a leaky ReLU": np.where(x > 0, g, 0.01 * g),
                "this is the gradient of a leaky ReLU of slope 0.1": np.where(x > 0, g, 0.1 * g),
                "the upstream gradient is left out": (x > 0).astype(float),
                "it is the wrong way round: the gradient passes where x > 0": g * (x < 0),
                "the upstream gradient is multiplied with the output: it passes as it is where x > 0": (
                    g * np.maximum(x, 0)
                ),
                "the sign is wrong": -g * (x > 0),
                "dL/dx is averaged over the batch": g * (x > 0) / len(x),
                "this is the gradient of the absolute value": g * np.sign(x),
            }
            self.check_backward(compare, x, g, suspects)

    @weight(1.5)
    @number("1.2c.3")
    @visibility("visible")
    @comparing
    def test_gradient_at_zero(self, compare):
        """ReLU: the gradient is 0 where x = 0, as in PyTorch."""
        x, g = random_batch(6, 5), 1 + np.abs(random_batch(6, 5, seed=1))
        x[::2, ::2] = 0
        suspects = {
            "the gradient at x = 0 is 1: compare with x > 0, not x >= 0": g * (x >= 0),
            "the gradient at x = 0 is 1/2: take 0": g * (np.sign(x) + 1) / 2,
        }
        self.check_backward(compare, x, g, suspects)

    @weight(0.5)
    @number("1.2c.4")
    @visibility("visible")
    @comparing
    def test_large_numbers(self, compare):
        """ReLU: large numbers are treated as all others."""
        x, g = 1e6 * random_batch(4, 6), random_batch(4, 6, seed=1)
        limited = "this is ReLU6: there is no upper limit"
        self.check_forward(compare, x, {limited: np.clip(x, 0, 6)})
        self.check_backward(compare, x, g, {limited: (g * (x > 0), g * (x > 0) * (x < 6))})

    @weight(1)
    @number("1.2c.5")
    @visibility("visible")
    @comparing
    def test_several_batches(self, compare):
        """ReLU: backward belongs to the latest forward."""
        self.check_several_batches(compare)

    @weight(0.5)
    @number("1.2c.6")
    @visibility("visible")
    def test_arguments_stay_as_they_are(self):
        """ReLU: forward and backward don't write into the arrays that they are handed."""
        self.check_arguments_stay()

    @weight(0.5)
    @number("1.2c.7")
    @visibility("visible")
    def test_float32(self):
        """ReLU: takes float32 as well."""
        self.check_float32()


# ---------------------------------------------------------------------------------------------------
# 1.3
# ---------------------------------------------------------------------------------------------------


class TestCrossEntropyLossLayer(LayerTest):
    """Cross-entropy, 10 points."""

    module = q1
    tested = "CrossEntropyLossLayer"

    SIZES = ((6, 4), (1, 5), (7, 2), (16, 10))  # (N, K)
    LOGITS = "softmax is applied to what are probabilities already: take them as they are"
    FUSED = (
        "this is the gradient with respect to the logits, of softmax and cross-entropy together; asked for "
        "is the one with respect to the probabilities, -y / p / N"
    )

    def make_layer(self):
        """Return a layer."""
        return q1.CrossEntropyLossLayer()

    def make_batch(self, n, k, seed=0):
        """Return probabilities (n, k), labels (n,), and the labels as one-hot rows."""
        labels = generator(seed, n, k).integers(0, k, n)
        return softmax(random_batch(n, k, seed=seed)), labels, np.eye(k)[labels]

    @weight(3)
    @number("1.3.1")
    @visibility("visible")
    @with_either_target
    @comparing
    def test_loss(self, compare, target):
        """Cross-entropy: forward computes -1/N Σ log p of the right classes."""
        for n, k in self.SIZES:
            p, labels, _ = self.make_batch(n, k)
            rows = np.arange(n)
            right = torch.nn.functional.nll_loss(torch.tensor(p).log(), torch.tensor(labels)).item()
            suspects = {
                "the minus sign is missing": -right,
                "the losses are added up: divide by the number of examples": n * right,
                "the mean is over all N·K numbers: divide by the number of examples alone": right / k,
                "1/N is there twice": right / n,
                "the logarithm has base 2: use `np.log`": right / np.log(2),
                "the logarithm has base 10: use `np.log`": right / np.log(10),
                self.LOGITS: -np.log(softmax(p)[rows, labels]).mean(),
                "it takes the column before the label's: labels count from 0": -np.log(
                    p[rows, labels - 1]
                ).mean(),
                "it takes the column behind the label's: labels count from 0": -np.log(
                    p[rows, (labels + 1) % k]
                ).mean(),
                "it takes the column 0 whatever the label": -np.log(p[:, 0]).mean(),
                "`p[:, labels]` takes every column for every row: use `p[np.arange(N), labels]`": -np.log(
                    p[:, labels]
                ).mean(),
                "the logarithm is missing": -p[rows, labels].mean(),
                "it is one loss per example: take the mean": -np.log(p[rows, labels]),
                "all classes count: only the right one does": -np.log(p).sum() / n,
            }
            loss = loss_value(self.make_layer().forward(p, target(labels, k)))
            compare(loss, right, f"The loss of {n} examples and {k} classes", suspects=suspects)

    @weight(3)
    @number("1.3.2")
    @visibility("visible")
    @with_either_target
    @comparing
    def test_gradient(self, compare, target):
        """Cross-entropy: backward returns dL/dp, which is -1/(N p) at the right classes and 0 elsewhere."""
        for n, k in self.SIZES:
            p, labels, y = self.make_batch(n, k)
            right = -y / p / n
            suspects = {
                "1/N is missing: the loss is a mean": n * right,
                "1/N is there twice": right / n,
                "it is divided by N·K: divide by the number of examples alone": right / k,
                "the minus sign is missing": -right,
                self.FUSED: (p - y) / n,
                self.FUSED + " (and 1/N is missing)": p - y,
                "softmax is applied to what are probabilities already": (softmax(p) - y) / n,
                "the division by p is missing": -y / n,
                "it multiplies by p where it should divide": -y * p / n,
                "all classes have a gradient: only the right ones do": -1 / p / n,
                "it belongs to another label: labels count from 0": -np.roll(y, 1, axis=1) / p / n,
                "it belongs to another label: labels do count from 0": -np.roll(y, -1, axis=1) / p / n,
                "the logarithm has base 2: use `np.log`": right / np.log(2),
                "the logarithm has base 10: use `np.log`": right / np.log(10),
            }
            layer = self.make_layer()
            layer.forward(p, target(labels, k))
            name = f"dL/dp for {n} examples and {k} classes"
            compare(loss_gradient(layer), right, name, suspects=suspects)

    @weight(1.5)
    @number("1.3.3")
    @visibility("visible")
    @with_either_target
    @comparing
    def test_probability_zero(self, compare, target):
        """Cross-entropy: the loss is finite where a probability is 0, that of the right class too."""
        log_zero = "log 0 is -infinity: keep p away from 0, as `np.clip(p, 1e-12, 1)` does"
        p = np.array([[1.0, 0, 0], [0.5, 0.25, 0.25]])
        for probabilities in (0.9 * p + 0.1 / 3, p):
            loss = loss_value(self.make_layer().forward(probabilities, target(np.array([0, 1]), 3)))
            right = -np.log(probabilities[[0, 1], [0, 1]]).mean()
            name = f"The loss for p = {probabilities.round(3).tolist()} and the classes"
            compare(loss, right, f"{name} 0 and 1", not_finite=log_zero)
        loss = loss_value(self.make_layer().forward(p, target(np.array([1, 1]), 3)))
        if not loss.min() > 5 or not np.isfinite(loss).all():
            bug = "" if np.isfinite(loss).all() else log_zero
            raise CheckError(f"{name} 1 and 1 should be large and finite", f"got {loss}", bug=bug)

    @weight(0.5)
    @number("1.3.4")
    @visibility("visible")
    @with_either_target
    @comparing
    def test_gradient_at_probability_zero(self, compare, target):
        """Cross-entropy: dL/dp is right where the probability of another class is 0."""
        p = np.array([[1.0, 0, 0], [0.5, 0.25, 0.25]])
        layer = self.make_layer()
        layer.forward(p, target(np.array([0, 1]), 3))
        compare(
            loss_gradient(layer),
            np.array([[-0.5, 0, 0], [0, -2, 0]]),
            f"dL/dp for p = {p.tolist()} and the classes 0 and 1",
            not_finite="0 / 0 is no number: keep p away from 0, as `np.clip(p, 1e-12, 1)` does",
        )

    @weight(1)
    @number("1.3.5")
    @visibility("visible")
    @with_either_target
    @comparing
    def test_several_batches(self, compare, target):
        """Cross-entropy: backward belongs to the latest forward."""
        layer = self.make_layer()
        batches = [self.make_batch(6, 4, seed) for seed in range(3)]
        gradient = [-y / p / 6 for p, _, y in batches]
        layer.forward(batches[0][0], target(batches[0][1], 4))
        loss_gradient(layer)
        for p, labels, _ in batches[1:]:
            layer.forward(p, target(labels, 4))
        suspects = {
            STALE: gradient[0],
            STALE + " (here it belongs to the one before)": gradient[1],
            "the gradients accumulate: each backward starts afresh": gradient[0] + gradient[2],
        }
        compare(loss_gradient(layer), gradient[2], "dL/dp of a later batch", suspects=suspects)
        p, labels, y = self.make_batch(3, 4)
        layer.forward(p, target(labels, 4))
        compare(loss_gradient(layer), -y / p / 3, "dL/dp of a smaller batch")

    @weight(0.5)
    @number("1.3.6")
    @visibility("visible")
    @with_either_target
    def test_arguments_stay_as_they_are(self, target):
        """Cross-entropy: forward doesn't write into the arrays that it is handed."""
        p, labels, _ = self.make_batch(6, 4)
        p[0], labels[0] = [1, 0, 0, 0], 0  # a solution may clip these
        layer = self.make_layer()
        upstream = [] if takes(layer.backward) else [np.array(1.0)]
        right = -np.log(p[np.arange(6), labels]).mean()
        assert_unchanged(layer, [p, target(labels, 4)], upstream, right)

    @weight(0.5)
    @number("1.3.7")
    @visibility("visible")
    @with_either_target
    def test_loss_is_one_number(self, target):
        """Cross-entropy: the loss is one number."""
        p, labels, _ = self.make_batch(6, 4)
        loss = self.make_layer().forward(p, target(labels, 4))
        shape = as_array(loss, "The loss").shape
        if shape != ():
            bug = "it is one loss per example: take the mean" if shape in ((6,), (6, 1)) else ""
            raise CheckError("The loss should be one number", f"got an array of shape {shape}", bug=bug)


if __name__ == "__main__":
    unittest.main()
