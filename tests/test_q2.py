"""Graded tests of the multi-layer perceptron in q2.py (handout, section 2).

The networks are made of the solution's own layers. What those do wrong costs the points of section 1 alone:
an isolated solution that fails a test here is given another try with layers that are right.
"""

from __future__ import annotations

import itertools
import unittest

import numpy as np
import torch
from adapters import (
    LayerTest,
    as_loss,
    assert_unchanged,
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
from torch import nn

import q1
import q2
from autograder.checks import (
    CheckError,
    assert_close,
    comparing,
    generator,
    hint,
    is_close,
    random_batch,
)

# Networks in PyTorch. All of them but the first have 5 inputs and 4 outputs.
NETWORKS = {
    "three activations": lambda: [nn.Tanh(), nn.Softmax(-1), nn.ReLU()],
    "one layer": lambda: [nn.Linear(5, 4)],
    "one hidden layer": lambda: [nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4)],
    "two hidden layers": lambda: [
        *(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU()),
        *(nn.Linear(6, 4), nn.Softmax(-1)),
    ],
    "a deep network": lambda: [
        *(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3), nn.Linear(3, 6), nn.ReLU()),
        *(nn.Linear(6, 8), nn.Softmax(-1), nn.Linear(8, 5), nn.Tanh(), nn.Linear(5, 4), nn.Softmax(-1)),
    ],
    "an activation first": lambda: [nn.Tanh(), nn.Linear(5, 4), nn.ReLU()],
}
OTHER_NETWORKS = {
    "a square network": lambda: [nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Softmax(-1)],
    "a wide network": lambda: [nn.Linear(60, 80), nn.ReLU(), nn.Linear(80, 40), nn.Softmax(-1)],
}
KINDS = {nn.ReLU: "ReLULayer", nn.Tanh: "TanhLayer", nn.Softmax: "SoftmaxLayer"}

WRONG_ORDER = (
    "the layers are in the wrong order: forward goes from first to last, backward from last to first"
)


def make_layer(module):
    """Return the solution's layer for a module of PyTorch."""
    if isinstance(module, nn.Linear):
        return q1.Dense(module.in_features, module.out_features)
    return getattr(q1, KINDS[type(module)])()


class Twins:
    """A network in PyTorch, and the solution's MLP with the same weights.

    Attributes:
        torch: an ``nn.Sequential`` in float64.
        layers: the solution's layers.
        mlp: the solution's network of these layers.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        self.torch = nn.Sequential(*{**NETWORKS, **OTHER_NETWORKS}[name]()).double()
        random = generator(seed)
        with torch.no_grad():
            for parameter in self.torch.parameters():
                parameter.copy_(torch.tensor(random.uniform(-1, 1, parameter.shape)))
        self.layers = [make_layer(module) for module in self.torch]
        self.mlp = q2.MLP(self.layers)
        self.copy_parameters()

    def copy_parameters(self):
        """Give the solution's layers the weights of PyTorch's."""
        for _, layer, linear in self.dense():
            set_parameters(layer, linear.weight.detach(), linear.bias.detach())

    def dense(self):
        """Return place, layer and PyTorch's layer of all that have weights."""
        pairs = enumerate(zip(self.layers, self.torch, strict=True))
        return [(place, layer, module) for place, (layer, module) in pairs if isinstance(module, nn.Linear)]

    def batch(self, n, seed=0):
        """Return an input (n, 5) that takes no ReLU so near to its kink that rounding decides."""
        for attempt in itertools.count():
            x = random_batch(n, 5, seed=1000 * seed + attempt)
            outputs = list(itertools.accumulate(self.torch, lambda x, f: f(x), initial=torch.tensor(x)))
            before = [x for x, f in zip(outputs, self.torch, strict=False) if isinstance(f, nn.ReLU)]
            if all(x.abs().min() > 1e-3 or (x >= 0).all() for x in before):
                return x
        raise AssertionError

    def parts(self, x):
        """Return PyTorch's outputs of the network without its last, and without its first layer, if any."""
        found = {}
        for sentence, modules in (
            ("the last layer is skipped", self.torch[:-1]),
            ("the first layer is skipped", self.torch[1:]),
            ("all layers are skipped", self.torch[:0]),
            ("only the first layer is used", self.torch[:1]),
            (WRONG_ORDER, reversed(self.torch)),
        ):
            try:
                found[sentence] = nn.Sequential(*modules)(torch.tensor(x)).detach().numpy()
            except RuntimeError:  # shapes that do not fit
                continue
        return found


class TestMLP(LayerTest):
    """Multi-layer perceptron, 10 points."""

    module = q2
    tested = "MLP"

    @weight(2)
    @number("2.1.1")
    @visibility("visible")
    @comparing
    def test_forward(self, compare):
        """MLP: forward goes through the layers, from first to last."""
        for name in NETWORKS:
            twins = Twins(name)
            for n in (3, 1):
                x = twins.batch(n)
                with hint(WRONG_ORDER, self.goes_wrong_way):
                    y = twins.mlp.forward(x)
                right = twins.torch(torch.tensor(x))
                compare(y, right, f"MLP.forward of {name} for {n} examples", suspects=twins.parts(x))

    @weight(2)
    @number("2.1.2")
    @visibility("visible")
    @comparing
    def test_input_gradient(self, compare):
        """MLP: backward goes through the layers, from last to first, and returns dL/dx."""
        for name in NETWORKS:
            twins = Twins(name)
            for n in (3, 1):
                x = twins.batch(n)
                y = twins.torch(torch.tensor(x))
                g = random_batch(*y.shape, seed=1)
                _, right = with_gradient(twins.torch, x, g)
                with hint(WRONG_ORDER, self.goes_wrong_way):
                    twins.mlp.forward(x)
                    x_grad = twins.mlp.backward(g)
                what = f"dL/dx from MLP.backward of {name} for {n} examples"
                compare(x_grad, right, what, suspects=self.wrong_gradients(twins, x, g))

    def goes_wrong_way(self):
        """Say whether a network whose layers fit in any order goes through them in the wrong one."""
        twins = Twins("a square network")
        x, g = twins.batch(3), random_batch(3, 5, seed=1)
        if is_close(twins.mlp.forward(x), twins.parts(x)[WRONG_ORDER]):
            return True
        return is_close(twins.mlp.backward(g), self.wrong_gradients(twins, x, g)[WRONG_ORDER])

    def wrong_gradients(self, twins, x, g):
        """Return what backward gives if it leaves out a layer, or goes through them in the wrong order."""
        steps = []  # of each layer: its Jacobian's product with a gradient
        for module in twins.torch:
            steps.append(lambda g, f=module, x=x: with_gradient(f, x, g)[1])
            x = module(torch.tensor(x)).detach().numpy()
        found = {}
        for sentence, order in (
            ("backward leaves out the first layer", steps[:0:-1]),
            ("backward leaves out the last layer", steps[-2::-1]),
            ("backward returns its argument", []),
            (WRONG_ORDER, steps),
        ):
            try:
                gradient = g
                for step in order:
                    gradient = step(gradient)
                found[sentence] = gradient
            except RuntimeError:  # shapes that do not fit
                continue
        return found

    @weight(2)
    @number("2.1.3")
    @visibility("visible")
    @comparing
    def test_parameter_gradients(self, compare):
        """MLP: backward leaves every layer the gradients of its weights and bias."""
        for name in list(NETWORKS)[1:]:
            twins = Twins(name)
            x = twins.batch(7)
            y = twins.torch(torch.tensor(x))
            g = random_batch(*y.shape, seed=1)
            as_loss(y, g).backward()
            with hint(WRONG_ORDER, self.goes_wrong_way):
                twins.mlp.forward(x)
                twins.mlp.backward(g)
            for place, layer, linear in twins.dense():
                where = f"of layer {place} in {name}, after MLP.backward,"
                for gradient, right, what in zip(
                    gradients(layer), (linear.weight.grad, linear.bias.grad), ("dL/dW", "dL/db"), strict=True
                ):
                    zero = {"backward does not reach this layer": (np.zeros(right.shape), right.numpy())}
                    compare(gradient, right, f"{what} {where}", suspects=zero)

    @weight(1)
    @number("2.1.4")
    @visibility("visible")
    def test_init_weights(self):
        """MLP: init_weights draws the weights of every layer anew."""
        twins = Twins("a wide network")
        for _, layer, linear in twins.dense():
            set_parameters(layer, 7 + 0 * linear.weight.detach(), 7 + 0 * linear.bias.detach())
        twins.mlp.init_weights()
        for place, layer, linear in twins.dense():
            W, b = parameters(layer)
            if is_close(W, np.full(W.shape, 7.0)):
                raise CheckError(
                    f"`MLP.init_weights` leaves the weights of layer {place} as they are",
                    bug="init_weights does not reach every layer: call that of each",
                )
            d, m = linear.in_features, linear.out_features
            xavier, kaiming, deviation = np.sqrt(6 / (d + m)), np.sqrt(6 / d), np.sqrt(2 / d)
            if b.any() or not (
                self.is_uniform(W, 6 / (d + m)) or self.is_kaiming(W, d) or self.is_kaiming(W, m)
            ):
                raise CheckError(
                    f"Layer {place} is not initialised, after `MLP.init_weights`",
                    f"expected a bias of zeros, and Xavier-uniform weights, between ±{xavier:.4f}, or "
                    f"Kaiming's, between ±{kaiming:.4f} or normal with deviation {deviation:.4f}",
                    f"got weights up to {np.abs(W).max():.4f} with deviation {W.std():.4f}, and a bias up to "
                    f"{np.abs(b).max():.4f}",
                )

    def is_uniform(self, W, squared_bound):
        """Say whether numbers are as wide as those of a uniform distribution, and none beyond its bound."""
        right_width = abs(W.std() / np.sqrt(squared_bound / 3) - 1) < 0.1
        return right_width and np.abs(W).max() <= np.sqrt(squared_bound) * (1 + 1e-6)

    def is_kaiming(self, W, fan):
        """Say whether weights are as wide as Kaiming's for a number of inputs, or of outputs, of a layer.

        The course's class documentation says that a network initialises by Kaiming, the handout by Xavier.
        """
        is_normal = abs(W.std() / np.sqrt(2 / fan) - 1) < 0.1 and np.abs(W).max() < 6 * W.std()
        return self.is_uniform(W, 6 / fan) or is_normal

    @weight(1.5)
    @number("2.1.5")
    @visibility("visible")
    @with_either_target
    def test_training(self, target):
        """MLP: steps of gradient descent on the cross-entropy are those of PyTorch."""
        for name in ("two hidden layers", "a deep network"):
            twins = Twins(name)
            criterion = q1.CrossEntropyLossLayer()
            optimizer = torch.optim.SGD(twins.torch.parameters(), lr=0.3)
            for step in range(1, 5):
                n = 8 if step < 4 else 3
                x = twins.batch(n, seed=step)
                p = twins.torch(torch.tensor(x))
                likely = p.detach().numpy() > 0.05  # where log(p + 1e-8) is as good as log p
                labels = (likely * generator(step).uniform(size=likely.shape)).argmax(axis=1)
                right = nn.functional.nll_loss(p.log(), torch.tensor(labels))
                optimizer.zero_grad()
                right.backward()
                loss = loss_value(criterion.forward(twins.mlp.forward(x), target(labels, 4)))
                assert_close(loss, right, f"The loss of {name} in step {step} of training")
                twins.mlp.backward(loss_gradient(criterion))
                for place, layer, linear in twins.dense():
                    dW, db = gradients(layer)
                    where = f"of layer {place} in {name}, in step {step} of training,"
                    assert_close(dW, linear.weight.grad, f"dL/dW {where}")
                    assert_close(db, linear.bias.grad, f"dL/db {where}")
                optimizer.step()
                twins.copy_parameters()

    @weight(0.5)
    @number("2.1.6")
    @visibility("visible")
    @comparing
    def test_several_batches(self, compare):
        """MLP: backward belongs to the latest forward."""
        twins = Twins("two hidden layers")
        xs, g = [twins.batch(3, seed) for seed in range(3)], random_batch(3, 4)
        right = [with_gradient(twins.torch, x, g)[1] for x in xs]
        twins.mlp.forward(xs[0])
        twins.mlp.backward(g)
        twins.mlp.forward(xs[1])
        y = twins.mlp.forward(xs[2])
        compare(
            y,
            twins.torch(torch.tensor(xs[2])),
            "MLP.forward of a later batch",
            suspects={
                "the answer is that for an earlier batch": twins.torch(torch.tensor(xs[0])).detach().numpy()
            },
        )
        suspects = {
            "backward works with an earlier batch: it belongs to the latest forward": right[0],
            "the gradients accumulate: each backward starts afresh": right[0] + right[2],
        }
        compare(twins.mlp.backward(g), right[2], "dL/dx of a later batch", suspects=suspects)

    @weight(0.5)
    @number("2.1.7")
    @visibility("visible")
    def test_arguments_stay_as_they_are(self):
        """MLP: forward and backward don't write into the arrays that they are handed."""
        for name in ("an activation first", "two hidden layers"):
            twins = Twins(name)
            x = twins.batch(3)
            assert_unchanged(twins.mlp, [x], [random_batch(3, 4)], twins.torch(torch.tensor(x)))

    @weight(0.5)
    @number("2.1.8")
    @visibility("visible")
    @comparing
    def test_update(self, compare):
        """MLP: update, where there is one, takes a step of gradient descent with every layer."""
        twins = Twins("two hidden layers")
        x = twins.batch(3)
        right = twins.torch(torch.tensor(x))
        assert_close(twins.mlp.forward(x), right, "The output of forward, which has to be right first,")
        if not has_update(twins.mlp) or not has_update(twins.layers[0]):
            return
        twins.mlp.backward(random_batch(3, 4))
        before = [(parameters(layer), gradients(layer)) for _, layer, _ in twins.dense()]
        twins.mlp.update(0.2)
        for (place, layer, _), (old, steps) in zip(twins.dense(), before, strict=True):
            for name, new, value, step in zip(
                ("weights", "bias"), parameters(layer), old, steps, strict=True
            ):
                right = value - 0.2 * step
                suspects = {
                    "update goes uphill: subtract η times the gradient": value + 0.2 * step,
                    "update takes the step twice": value - 0.4 * step,
                    "update does not reach this layer": (value, right),
                    "update does not hand on the learning rate": value - step,
                }
                compare(
                    new, right, f"The {name} of layer {place} after MLP.update", scale=1e-3, suspects=suspects
                )


if __name__ == "__main__":
    unittest.main()
