"""The strict contract of q1.py: what this library promises beyond the handout; no points."""

from __future__ import annotations

import contextlib
import unittest
from unittest import mock

import numpy as np
import pytest
import torch
from contract import (
    assert_close,
    assert_names_shapes,
    assert_raises,
    assert_ulps,
    check_against_torch,
    check_answers_stay,
    check_any_memory,
    check_calls,
    check_dtypes,
    check_imports,
    check_inputs_unchanged,
    check_latest_forward_counts,
    check_not_used,
    check_numeric_gradient,
    no_warnings,
    numeric_gradient,
    random_batch,
    reproducible,
    unchanged,
)
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

import q1
from q1 import CrossEntropyLossLayer, Dense, Layer, ReLULayer, SoftmaxLayer, TanhLayer

pytestmark = pytest.mark.fast

SIZES = [(1, 1), (1, 4), (5, 1), (3, 4), (20, 10), (300, 2)]  # (d, m)


def away_from_zero(*shape, seed=0):
    """Return numbers of either sign that no small step carries across 0, where ReLU has its kink."""
    x = random_batch(*shape, seed=seed)
    return x + np.copysign(0.1, x)


def probabilities(*shape, seed=0):
    """Return rows that sum to 1."""
    return torch.softmax(torch.tensor(random_batch(*shape, seed=seed)), -1).numpy()


def matrices(largest=1e3):
    """Strategy for float64 matrices, up to (6, 6), of numbers up to ``largest``."""
    return hnp.arrays(
        np.float64,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
        elements=st.floats(-largest, largest, allow_nan=False),
    )


def dense_like(linear):
    """Return a Dense with the weights and the bias of an nn.Linear."""
    layer = Dense(linear.in_features, linear.out_features)
    layer.W, layer.b = linear.weight.detach().numpy(), linear.bias.detach().numpy()
    return layer


def linear_and_dense(d, m, seed=0):
    """Return an nn.Linear in float64 with random parameters, and a Dense with the same."""
    linear = nn.Linear(d, m, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(random_batch(m, d, seed=seed)))
        linear.bias.copy_(torch.tensor(random_batch(m, seed=seed + 1)))
    return linear, dense_like(linear)


class TestDense(unittest.TestCase):
    """Fully-connected layer."""

    def test_layer_base_class(self):
        """Layer: forward and backward are abstract, init_weights and update do nothing, a call is forward."""

        class Double(Layer):
            def forward(self, x):
                return 2 * x

        x = random_batch(2, 3)
        assert_raises(NotImplementedError, lambda: Layer().forward(x), "forward of the base class")
        assert_raises(NotImplementedError, lambda: Layer().backward(x), "backward of the base class")
        assert_raises(NotImplementedError, lambda: Double().backward(x), "backward of a layer without one")
        self.assertIsNone(Layer().init_weights(), "init_weights of the base class should do nothing")
        self.assertIsNone(Layer().update(0.1), "update of the base class should do nothing")
        assert_close(Double()(x), 2 * x, "layer(x)", "layer.forward(x)")
        for layer in (Dense(3, 2), ReLULayer(), TanhLayer(), SoftmaxLayer(), CrossEntropyLossLayer()):
            self.assertIsInstance(layer, Layer, f"{type(layer).__name__} should be a subclass of Layer")

    def test_initial_weights_are_the_documented_draw(self):
        """Dense: initial weights are the documented draw with seed 33, to the last bit; the bias is zero."""
        for d, m in [*SIZES, (784, 256)]:
            bound = np.sqrt(6 / (d + m))
            draw = np.random.RandomState(33).uniform(-bound, bound, (d, m))
            layer = Dense(d, m)
            self.assertEqual(np.shape(layer.W), (m, d), f"W of Dense({d}, {m}) has the wrong shape")
            self.assertTrue(
                np.array_equal(layer.W, draw.T),
                f"W of Dense({d}, {m}) should be the transpose of np.random.seed(33); "
                f"np.random.uniform(-bound, bound, ({d}, {m})), bit for bit",
            )
            assert_close(layer.b, np.zeros(m), f"b of Dense({d}, {m})", "the handout's")
            single = Dense(d, m, dtype=np.float32)
            assert_close(single.W, draw.T.astype(np.float32), "W in float32", "the draw", tolerance=0)

    def test_initial_weights_are_xavier_uniform(self):
        """Dense: the initial weights are spread evenly between -sqrt(6/(d+m)) and sqrt(6/(d+m))."""
        for d, m in ((300, 200), (50, 1000)):
            scaled = np.asarray(Dense(d, m).W) / np.sqrt(6 / (d + m))
            self.assertLessEqual(np.abs(scaled).max(), 1, f"a weight of Dense({d}, {m}) is out of bounds")
            shares = np.histogram(scaled, bins=10, range=(-1, 1))[0] / scaled.size
            self.assertTrue(
                np.all(np.abs(shares - 0.1) < 0.01),
                f"each tenth of the range should hold a tenth of Dense({d}, {m})'s weights, got {shares}",
            )

    def test_global_random_state_is_left_alone(self):
        """Dense: making or initialising a layer neither reads nor changes NumPy's global random state."""
        before = np.random.get_state()
        try:
            draws = []
            for seed in (1, 2):
                np.random.seed(seed)
                layer = Dense(4, 3)
                layer.init_weights()
                draws.append((np.array(layer.W), np.random.random(5), np.random.RandomState(seed).random(5)))
        finally:
            np.random.set_state(before)
        assert_close(draws[1][0], draws[0][0], "W after another global seed", "that before", tolerance=0)
        for _, drawn, expected in draws:
            assert_close(
                drawn, expected, "what np.random draws after Dense(4, 3)", "an untouched generator's"
            )

    def test_init_weights_starts_afresh(self):
        """Dense: init_weights draws the initial weights anew and sets the bias to zero again."""
        layer = Dense(4, 3)
        fresh = np.array(layer.W)
        layer.W, layer.b = random_batch(3, 4), random_batch(3)
        layer.init_weights()
        assert_close(layer.W, fresh, "W after init_weights", "a fresh layer's", tolerance=0)
        assert_close(layer.b, np.zeros(3), "b after init_weights", "a fresh layer's", tolerance=0)

    def test_forward(self):
        """Dense: forward is x Wᵀ + b, as nn.Linear computes it."""
        for d, m in SIZES:
            linear, layer = linear_and_dense(d, m)
            for n in (1, 2, 7):
                x = random_batch(n, d, seed=n)
                assert_close(layer.forward(x), linear(torch.tensor(x)), f"Dense({d}, {m}) of {n} examples")

    def test_backward_returns_input_gradient(self):
        """Dense: backward returns dL/dx, as nn.Linear computes it."""
        for d, m in SIZES:
            for n in (1, 2, 7):
                check_against_torch(
                    *linear_and_dense(d, m)[::-1], random_batch(n, d), random_batch(n, m, seed=1)
                )

    def test_backward_leaves_parameter_gradients(self):
        """Dense: backward leaves dL/dW and dL/db, sums over the batch, as nn.Linear computes them."""
        for d, m in SIZES:
            for n in (1, 2, 7):
                linear, layer = linear_and_dense(d, m)
                x, g = random_batch(n, d), random_batch(n, m, seed=1)
                linear(torch.tensor(x)).backward(torch.tensor(g))
                layer.forward(x)
                layer.backward(g)
                case = f" of Dense({d}, {m}) for {n} examples"
                assert_close(layer.dW, linear.weight.grad, "dL/dW" + case)
                assert_close(layer.db, linear.bias.grad, "dL/db" + case)

    def test_gradients_match_differences(self):
        """Dense: dL/dx, dL/dW and dL/db agree with numeric gradients."""
        _, layer = linear_and_dense(4, 3)
        x, g = random_batch(5, 4), random_batch(5, 3, seed=1)
        check_numeric_gradient(layer, x, g)
        layer.forward(x)
        layer.backward(g)
        for name, parameter, gradient in (("dL/dW", layer.W, layer.dW), ("dL/db", layer.b, layer.db)):
            numeric = numeric_gradient(lambda: np.sum(layer.forward(x) * g), parameter)
            assert_close(gradient, numeric, name, "the numeric gradient", tolerance=1e-7)

    def test_gradients_are_overwritten(self):
        """Dense: each backward replaces the gradients of the one before, for the latest forward."""
        linear, layer = linear_and_dense(4, 3)
        for seed, n in enumerate((6, 2, 5)):
            x, g = random_batch(n, 4, seed=seed), random_batch(n, 3, seed=seed + 10)
            linear.zero_grad()
            linear(torch.tensor(x)).backward(torch.tensor(g))
            layer.forward(x)
            for time in ("first", "second"):
                layer.backward(g)
                assert_close(layer.dW, linear.weight.grad, f"dL/dW of batch {seed} ({time} backward)")
                assert_close(layer.db, linear.bias.grad, f"dL/db of batch {seed} ({time} backward)")
        check_latest_forward_counts(lambda: Dense(4, 3), random_batch(4, 4), random_batch(4, 3, seed=1))

    def test_names_share_memory(self):
        """Dense: W, weights, b, bias and their gradients are names of the same memory."""
        self.check_names("W", "weights", (3, 4), np.transpose)
        self.check_names("b", "bias", (3,), np.atleast_2d)
        self.check_names("dW", "weights_grad", (3, 4), np.transpose)
        self.check_names("db", "bias_grad", (3,), np.atleast_2d)
        layer = Dense(4, 3)
        for size, names in (
            (4, ("input_size", "in_features", "d")),
            (3, ("output_size", "out_features", "m")),
        ):
            for name in names:
                self.assertEqual(getattr(layer, name), size, f"{name} of Dense(4, 3)")

    def check_names(self, name, other, shape, view):
        """Check that writing to one of two names shows in both, as it does in NumPy's array and its view."""
        layer, expected = Dense(4, 3), random_batch(*shape)
        layer.forward(np.ones((2, 4)))
        layer.backward(np.ones((2, 3)))

        def check(event):
            assert_close(getattr(layer, name), expected, f"{name} after {event}", "NumPy's", tolerance=0)
            assert_close(
                getattr(layer, other), view(expected), f"{other} after {event}", "NumPy's", tolerance=0
            )

        setattr(layer, name, expected)
        check(f"an assignment to {name}")
        given = view(expected) + 1
        setattr(layer, other, given)
        expected += 1
        check(f"an assignment to {other}")
        given += 1
        check("a change of the array assigned, which the layer should have copied,")
        getattr(layer, name)[0] = expected[0] = 7.5
        check(f"writing into {name}")
        getattr(layer, other)[0] = view(expected)[0] = -2.5
        check(f"writing into {other}")
        if len(shape) == 1:
            setattr(layer, name, view(expected) + 1)
            expected += 1
            check(f"assigning a row, (1, 3), to {name}")
            setattr(layer, other, expected + 1)
            expected += 1
            check(f"assigning a vector, (3,), to {other}")

    def test_assigning_a_wrong_shape(self):
        """Dense: assigning a wrong shape to a parameter or gradient is a ValueError naming both shapes."""
        layer = Dense(4, 3)
        for names, shape, wrong in (
            (("W", "dW"), (3, 4), [(4, 3), (3, 1), (1, 4), (12,), (1, 3, 4)]),
            (("weights", "weights_grad"), (4, 3), [(3, 4), (4, 1), (1, 3), (12,), (1, 4, 3)]),
            (("b", "bias", "db", "bias_grad"), (3,), [(4,), (1,), (3, 1), (1, 4), (1, 1, 3)]),
        ):
            for name in names:
                before = np.array(getattr(layer, name))
                for came in wrong:
                    what = f"assigning an array of shape {came} to {name} of Dense(4, 3)"
                    assert_names_shapes(
                        lambda n=name, s=came: setattr(layer, n, np.ones(s)), what, shape, came
                    )
                assert_raises(
                    ValueError, lambda n=name: setattr(layer, n, 1.0), f"assigning a number to {name}"
                )
                assert_close(
                    getattr(layer, name), before, f"{name} after refused assignments", "the one before"
                )

    def test_wrong_shapes(self):
        """Dense: forward and backward of a wrong shape are ValueErrors naming what was expected and came."""
        layer = Dense(4, 3)
        for shape in ((2, 5), (2, 3), (4, 2), (4,), (), (1, 2, 4), (2, 4, 4), (2, 4, 1), (2, 0)):
            what = f"Dense(4, 3).forward of shape {shape}"
            assert_names_shapes(lambda s=shape: layer.forward(np.ones(s)), what, (4,), shape)
        check_calls(Dense(4, 3), random_batch(2, 4), random_batch(2, 3))

    def test_update(self):
        """Dense: update is a step of torch.optim.SGD, several in a row, in place."""
        linear, layer = linear_and_dense(4, 3)
        W, bias = layer.W, layer.bias
        for step, lr in enumerate((0.1, 0.01, 1, 0.0, 2, 2.5, 0.5)):
            x, g = random_batch(6, 4, seed=step), random_batch(6, 3, seed=step + 10)
            optimizer = torch.optim.SGD(linear.parameters(), lr=lr)
            optimizer.zero_grad()
            linear(torch.tensor(x)).backward(torch.tensor(g))
            optimizer.step()
            layer.forward(x)
            layer.backward(g)
            layer.update(lr)
            assert_close(layer.W, linear.weight, f"W after step {step + 1}")
            assert_close(layer.b, linear.bias, f"b after step {step + 1}")
        assert_close(W, layer.W, "an earlier reference to W", "the updated W", tolerance=0)
        assert_close(bias[0], layer.b, "an earlier reference to bias", "the updated bias", tolerance=0)
        before = np.array(layer.W)
        layer.dW = layer.W
        layer.update(0.5)
        assert_close(layer.W, before / 2, "W after an update with an assigned dW", "the expected one")

    def test_update_needs_backward(self):
        """Dense: update before backward is a RuntimeError and changes nothing."""
        layer = Dense(4, 3)
        before = np.array(layer.W)
        assert_raises(RuntimeError, lambda: layer.update(0.1), "update of a fresh layer")
        layer.forward(np.ones((2, 4)))
        assert_raises(RuntimeError, lambda: layer.update(0.1), "update between forward and backward")
        assert_close(layer.W, before, "W after refused updates", "the one before", tolerance=0)

    def test_empty_batch(self):
        """Dense: an empty batch gives an empty output, an empty dL/dx, and gradients of zero."""
        layer = Dense(4, 3)
        layer.forward(np.ones((2, 4)))
        layer.backward(np.ones((2, 3)))
        assert_close(
            layer.forward(np.empty((0, 4))), np.empty((0, 3)), "the output for no examples", "an empty one"
        )
        assert_close(
            layer.backward(np.empty((0, 3))), np.empty((0, 4)), "dL/dx for no examples", "an empty one"
        )
        assert_close(layer.dW, np.zeros((3, 4)), "dL/dW for no examples", "the expected one")
        assert_close(layer.db, np.zeros(3), "dL/db for no examples", "the expected one")

    def test_dtypes(self):
        """Dense: a float32 layer answers in float32, a float64 layer in float64."""
        check_dtypes(lambda dtype: Dense(4, 3, dtype=dtype), random_batch(5, 4), random_batch(5, 3, seed=1))
        for dtype in (np.float32, np.float64):
            layer = Dense(4, 3, dtype=dtype)
            layer.forward(np.ones((2, 4), dtype))
            layer.backward(np.ones((2, 3), dtype))
            layer.update(0.1)
            for name in ("W", "b", "dW", "db", "weights", "bias", "weights_grad", "bias_grad"):
                self.assertEqual(
                    getattr(layer, name).dtype, dtype, f"{name} of Dense(4, 3, {dtype.__name__})"
                )

    def test_inputs_and_answers(self):
        """Dense: takes any memory layout and tensors, changes nothing it is handed, keeps its answers."""
        _, layer = linear_and_dense(4, 3)
        x, g = random_batch(5, 4), random_batch(5, 3, seed=1)
        check_inputs_unchanged(layer, x, g)
        check_any_memory(layer, x, g)
        check_answers_stay(layer, x, g)
        assert_close(
            layer.forward([[1, 2, 3, 4]]), layer.forward(np.array([[1.0, 2, 3, 4]])), "the output for a list"
        )
        check_imports(q1)


class TestSoftmaxLayer(unittest.TestCase):
    """Softmax."""

    def test_forward(self):
        """Softmax: forward equals torch.softmax."""
        for shape in ((1, 1), (1, 5), (4, 1), (6, 10)):
            x = 3 * random_batch(*shape)
            assert_close(
                SoftmaxLayer().forward(x), torch.softmax(torch.tensor(x), -1), f"softmax of shape {shape}"
            )

    def test_backward(self):
        """Softmax: backward is the product with the full Jacobian, as torch computes it."""
        for shape in ((1, 1), (1, 5), (4, 1), (6, 10)):
            check_against_torch(
                SoftmaxLayer(), nn.Softmax(-1), random_batch(*shape), random_batch(*shape, seed=1)
            )

    def test_gradient_matches_differences(self):
        """Softmax: dL/dx agrees with the numeric gradient."""
        check_numeric_gradient(SoftmaxLayer(), random_batch(4, 5), random_batch(4, 5, seed=1))

    @reproducible
    @given(x=matrices(), shift=st.floats(-1e3, 1e3))
    def test_rows_are_distributions(self, x, shift):
        """Softmax: every row is positive, sums to 1, and stays the same when a number is added to the row."""
        y = SoftmaxLayer().forward(x)
        self.assertTrue(np.all((y >= 0) & (y <= 1)), f"softmax of {x} has numbers outside 0 to 1: {y}")
        assert_close(y.sum(axis=-1), np.ones(len(x)), "the sum of a row", "1")
        assert_close(SoftmaxLayer().forward(x + shift), y, "softmax(x + c)", "softmax(x)", tolerance=1e-11)

    def test_extreme_scales(self):
        """Softmax: very large and very small inputs neither overflow nor warn."""
        low, high = 1 / (1 + np.e), np.e / (1 + np.e)
        for rows, expected in (
            ([[1000, 1001], [-1000, -999]], [[low, high], [low, high]]),
            ([[1e300, 0], [-1e300, 0]], [[1, 0], [0, 1]]),
            ([[1e308, 1e308], [-1e308, -1e308]], [[0.5, 0.5], [0.5, 0.5]]),
            ([[0, 1000], [-1000, -1001]], [[0, 1], [high, low]]),
        ):
            layer, x = SoftmaxLayer(), np.array(rows, dtype=float)
            with no_warnings(f"softmax of {rows}"):
                y = layer.forward(x)
                x_grad = layer.backward(np.array([[1.0, 2.0], [-3.0, 5.0]]))
            assert_close(y, np.array(expected, dtype=float), f"softmax of {rows}", "the exact answer")
            self.assertTrue(
                np.isfinite(x_grad).all(), f"dL/dx of softmax at {rows} should be finite: {x_grad}"
            )

    def test_shapes(self):
        """Softmax: any shape is taken, the empty batch too, and the last axis normalised."""
        for shape in ((5,), (1,), (0, 4), (3, 1), (2, 3, 4), (2, 1, 3, 2), (2, 0, 3)):
            check_against_torch(
                SoftmaxLayer(), nn.Softmax(-1), random_batch(*shape), random_batch(*shape, seed=1)
            )

    def test_calls(self):
        """Softmax: backward needs a forward and its shape, and belongs to the latest forward."""
        x, g = random_batch(2, 3), random_batch(2, 3, seed=1)
        check_calls(SoftmaxLayer(), x, g)
        check_latest_forward_counts(SoftmaxLayer, x, g)

    def test_dtypes(self):
        """Softmax: float32 in gives float32 out, float64 in float64 out."""
        check_dtypes(lambda dtype: SoftmaxLayer(), random_batch(4, 5), random_batch(4, 5, seed=1))

    def test_inputs_and_answers(self):
        """Softmax: takes any memory layout and tensors, changes nothing it is handed, keeps its answers."""
        x, g = random_batch(4, 5), random_batch(4, 5, seed=1)
        check_inputs_unchanged(SoftmaxLayer(), x, g)
        check_any_memory(SoftmaxLayer(), x, g)
        check_answers_stay(SoftmaxLayer(), x, g)

    def test_no_ready_made_softmax(self):
        """Softmax: written with NumPy alone, without scipy.special.softmax."""
        check_imports(q1)
        check_not_used(q1, "softmax")


class TestTanhLayer(unittest.TestCase):
    """Tanh."""

    def test_forward(self):
        """Tanh: forward equals torch.tanh."""
        for shape in ((1, 1), (1, 5), (6, 10)):
            x = 3 * random_batch(*shape)
            assert_close(TanhLayer().forward(x), torch.tanh(torch.tensor(x)), f"tanh of shape {shape}")

    def test_backward(self):
        """Tanh: backward equals torch's."""
        for shape in ((1, 1), (1, 5), (6, 10)):
            check_against_torch(
                TanhLayer(), nn.Tanh(), 3 * random_batch(*shape), random_batch(*shape, seed=1)
            )

    def test_gradient_matches_differences(self):
        """Tanh: dL/dx agrees with the numeric gradient."""
        check_numeric_gradient(TanhLayer(), random_batch(4, 5), random_batch(4, 5, seed=1))

    def test_accurate_at_every_scale(self):
        """Tanh: right to a few units in the last place from 1e-30 to 1e300, near 0 too."""
        mantissas = np.linspace(1, 10, 37)
        for dtype, exponents in ((np.float64, range(-30, 300)), (np.float32, range(-30, 38))):
            x = np.concatenate([mantissas * 10.0**exponent for exponent in exponents]).astype(dtype)
            x = np.concatenate([x, np.linspace(0.01, 25, 5001).astype(dtype)])
            expected = np.tanh(x.astype(np.longdouble))
            for sign in (1, -1):
                name = f"{dtype.__name__} tanh({'-' if sign < 0 else ''}x) for x from 1e-30 to {x.max():.0e}"
                assert_ulps(TanhLayer().forward(sign * x), sign * expected, name, ulps=4)

    def test_extreme_values(self):
        """Tanh: 0, the largest numbers and infinity neither overflow nor warn; NaN stays NaN."""
        for dtype, largest in ((np.float64, 1.7e308), (np.float32, 3e38)):
            x = np.array([[0.0, 20, 400, 800, 1e5, largest, np.inf]], dtype)
            x = np.concatenate([x, -x])
            layer = TanhLayer()
            with no_warnings(f"tanh of {x.tolist()}"):
                y = layer.forward(x)
                x_grad = layer.backward(np.ones_like(x))
            assert_close(y, torch.tanh(torch.tensor(x)), f"tanh of {x.tolist()}", tolerance=1e-7)
            self.assertTrue(np.all(np.abs(y) <= 1), f"tanh of {x} leaves -1 to 1: {y}")
            assert_close(x_grad[:, 0], np.ones(2), "dL/dx at 0", "dL/dy")
            assert_close(x_grad[:, 2:], np.zeros((2, 5)), "dL/dx at 400 and above", "0")
        assert_close(
            TanhLayer().forward(np.array([[np.nan, 1.0]]))[0, :1], np.array([np.nan]), "tanh of NaN", "NaN"
        )

    @reproducible
    @given(x=matrices(largest=30))
    def test_odd_and_increasing(self, x):
        """Tanh: tanh(-x) = -tanh(x), and larger inputs never give smaller outputs."""
        y = np.array(TanhLayer().forward(x))
        assert_close(TanhLayer().forward(-x), -y, "tanh(-x)", "-tanh(x)")
        ordered = TanhLayer().forward(np.sort(x, axis=None))
        self.assertTrue(np.all(np.diff(ordered) >= -1e-15), f"tanh should increase with x: {ordered}")

    def test_shapes(self):
        """Tanh: any shape is taken, the empty batch too."""
        for shape in ((5,), (0, 4), (3, 1), (2, 3, 4), (2, 1, 3, 2)):
            check_against_torch(TanhLayer(), nn.Tanh(), random_batch(*shape), random_batch(*shape, seed=1))

    def test_calls(self):
        """Tanh: backward needs a forward and its shape, and belongs to the latest forward."""
        x, g = random_batch(2, 3), random_batch(2, 3, seed=1)
        check_calls(TanhLayer(), x, g)
        check_latest_forward_counts(TanhLayer, x, g)

    def test_dtypes(self):
        """Tanh: float32 in gives float32 out, float64 in float64 out."""
        check_dtypes(lambda dtype: TanhLayer(), random_batch(4, 5), random_batch(4, 5, seed=1))

    def test_inputs_and_answers(self):
        """Tanh: takes any memory layout and tensors, changes nothing it is handed, keeps its answers."""
        x, g = random_batch(4, 5), random_batch(4, 5, seed=1)
        check_inputs_unchanged(TanhLayer(), x, g)
        check_any_memory(TanhLayer(), x, g)
        check_answers_stay(TanhLayer(), x, g)

    def test_no_ready_made_tanh(self):
        """Tanh: written out, without np.tanh."""
        check_imports(q1)
        check_not_used(q1, "tanh")
        with mock.patch.object(
            np, "tanh", side_effect=AssertionError("np.tanh was called: that is not allowed")
        ):
            layer = TanhLayer()
            layer.forward(np.ones((2, 3)))
            layer.backward(np.ones((2, 3)))


class TestReLULayer(unittest.TestCase):
    """ReLU."""

    def test_forward(self):
        """ReLU: forward equals torch.relu."""
        for shape in ((1, 1), (1, 5), (6, 10)):
            for scale in (1e-300, 1, 1e300):
                x = scale * random_batch(*shape)
                assert_close(ReLULayer().forward(x), torch.relu(torch.tensor(x)), f"ReLU of shape {shape}")

    def test_backward(self):
        """ReLU: backward equals torch's."""
        for shape in ((1, 1), (1, 5), (6, 10)):
            for scale in (1e-300, 1, 1e300):
                x, g = scale * random_batch(*shape), random_batch(*shape, seed=1)
                check_against_torch(ReLULayer(), nn.ReLU(), x, g)

    def test_gradient_matches_differences(self):
        """ReLU: dL/dx agrees with the numeric gradient."""
        check_numeric_gradient(ReLULayer(), away_from_zero(4, 5), random_batch(4, 5, seed=1))

    def test_special_values(self):
        """ReLU: the gradient at 0 is 0; infinities and NaN go through as in torch."""
        values = np.array([0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, np.inf, -np.inf, np.nan])
        gradients = np.array([2.0, -3.0, 0.0, np.inf, -np.inf, np.nan])
        x, g = (grid.copy() for grid in np.meshgrid(values, gradients))
        with no_warnings("ReLU of NaN and infinities"):
            check_against_torch(ReLULayer(), nn.ReLU(), x, g)

    @reproducible
    @given(x=matrices(largest=1e300))
    def test_positive_and_negative_part(self, x):
        """ReLU: outputs are never negative, and relu(x) - relu(-x) = x."""
        y = np.array(ReLULayer().forward(x))
        self.assertTrue(np.all(y >= 0), f"ReLU of {x} has negative numbers: {y}")
        assert_close(y - ReLULayer().forward(-x), x, "relu(x) - relu(-x)", "x", tolerance=0)

    def test_shapes(self):
        """ReLU: any shape is taken, the empty batch too."""
        for shape in ((5,), (0, 4), (3, 1), (2, 3, 4), (2, 1, 3, 2)):
            check_against_torch(ReLULayer(), nn.ReLU(), random_batch(*shape), random_batch(*shape, seed=1))

    def test_calls(self):
        """ReLU: backward needs a forward and its shape, and belongs to the latest forward."""
        x, g = random_batch(2, 3), random_batch(2, 3, seed=1)
        check_calls(ReLULayer(), x, g)
        check_latest_forward_counts(ReLULayer, x, g)

    def test_dtypes(self):
        """ReLU: float32 in gives float32 out, float64 in float64 out."""
        check_dtypes(lambda dtype: ReLULayer(), random_batch(4, 5), random_batch(4, 5, seed=1))

    def test_inputs_and_answers(self):
        """ReLU: takes any memory layout and tensors, changes nothing it is handed, keeps its answers."""
        for x in (random_batch(4, 5), np.abs(random_batch(4, 5))):
            g = random_batch(4, 5, seed=1)
            check_inputs_unchanged(ReLULayer(), x, g)
            check_any_memory(ReLULayer(), x, g)
            check_answers_stay(ReLULayer(), x, g)


# A guard against log 0, as in log(p + 1e-12), may show here and nowhere else.
GUARDED = 1e-9


class TestCrossEntropyLossLayer(unittest.TestCase):
    """Cross-entropy."""

    def check_loss(self, p, target, upstream=None):
        """Compare the loss and its gradient with torch's for one batch."""
        tensor = torch.tensor(p, requires_grad=True)
        labels = torch.tensor(target)
        if labels.ndim == 1:
            expected = nn.functional.nll_loss(tensor.log(), labels.long())
        else:
            expected = -(labels * tensor.log()).sum() / len(p)
        (expected * (1.0 if upstream is None else upstream)).backward()
        layer = CrossEntropyLossLayer()
        case = f" for p of shape {p.shape} and {'labels' if labels.ndim == 1 else 'distributions'}"
        assert_close(layer.forward(p, target), expected, "the loss" + case, tolerance=GUARDED)
        p_grad = layer.backward() if upstream is None else layer.backward(upstream)
        assert_close(
            p_grad,
            tensor.grad,
            f"dL/dp{case}, backward({'' if upstream is None else upstream})",
            tolerance=GUARDED,
        )

    def test_labels(self):
        """Cross-entropy: loss and gradient for integer labels are torch's, the mean over the batch."""
        for n, k in ((1, 1), (1, 4), (5, 1), (3, 4), (16, 10)):
            labels = np.random.default_rng(n).integers(0, k, n)
            self.check_loss(probabilities(n, k), labels)

    def test_distributions(self):
        """Cross-entropy: loss and gradient for a distribution per row, one-hot or not, are torch's."""
        for n, k in ((1, 1), (1, 4), (5, 1), (3, 4), (16, 10), (4, 4)):
            self.check_loss(probabilities(n, k), probabilities(n, k, seed=1))
            self.check_loss(probabilities(n, k), np.eye(k)[np.arange(n) % k])

    def test_labels_equal_one_hot_rows(self):
        """Cross-entropy: labels, as array, list or tensor of any integer type, equal their one-hot rows."""
        p, labels = probabilities(6, 4), np.array([0, 3, 1, 1, 2, 0])
        layer = CrossEntropyLossLayer()
        loss, p_grad = layer.forward(p, np.eye(4)[labels]), layer.backward()
        for form in (
            np.eye(4, dtype=int)[labels],
            labels,
            labels.astype(np.uint8),
            labels.astype(np.int32),
            labels.tolist(),
            torch.tensor(labels),
        ):
            name = f"{type(form).__name__} of {getattr(form, 'dtype', 'int')}"
            assert_close(
                layer.forward(p, form), loss, f"the loss for labels in a {name}", "that of one-hot rows"
            )
            assert_close(layer.backward(), p_grad, f"dL/dp for labels in a {name}", "that of one-hot rows")

    def test_gradient_matches_differences(self):
        """Cross-entropy: dL/dp agrees with the numeric gradient, for labels and for distributions."""
        p = probabilities(3, 4)
        for target in (np.array([2, 0, 2]), probabilities(3, 4, seed=1)):
            layer = CrossEntropyLossLayer()
            layer.forward(p, target)
            p_grad, moved = layer.backward(), p.copy()
            numeric = numeric_gradient(lambda t=target, p=moved: CrossEntropyLossLayer().forward(p, t), moved)
            assert_close(p_grad, numeric, "dL/dp", "the numeric gradient", tolerance=1e-6)

    def test_upstream_gradient(self):
        """Cross-entropy: backward multiplies by the upstream gradient, which is 1 by default."""
        for upstream in (1.0, 2.5, -3, 0.0, np.float64(0.5)):
            self.check_loss(probabilities(3, 4), np.array([1, 3, 0]), upstream)
            self.check_loss(probabilities(3, 4), probabilities(3, 4, seed=1), upstream)

    def test_zero_and_one(self):
        """Cross-entropy: finite at p = 0, zero at p = 1, and the rest of the batch is unharmed."""
        p, labels = np.array([[1.0, 0.0, 0.0], [0.5, 0.25, 0.25]]), np.array([0, 1])
        for dtype in (np.float64, np.float32):
            for target in (labels, np.eye(3, dtype=dtype)[labels]):
                layer = CrossEntropyLossLayer()
                with no_warnings("the loss where p is 1 at the label"):
                    loss, p_grad = layer.forward(p.astype(dtype), target), layer.backward()
                assert_close(
                    loss, np.log(4) / 2, "the loss where p is 1 at the label", "the exact one", tolerance=1e-6
                )
                expected = [[-0.5, 0, 0], [0, -2, 0]]
                assert_close(
                    p_grad, np.array(expected), "dL/dp where p is 1", "the exact one", tolerance=1e-5
                )
            for target in (1 - labels, np.eye(3, dtype=dtype)[[1, 0]]):
                layer = CrossEntropyLossLayer()
                with no_warnings("the loss where p is 0 at the label"):
                    loss, p_grad = layer.forward(p.astype(dtype), target), layer.backward()
                self.assertTrue(np.isfinite(loss), f"the loss at p = 0 should be finite, got {loss}")
                self.assertGreater(loss, 5, "the loss at p = 0 should be large")
                self.assertTrue(np.isfinite(p_grad).all(), f"dL/dp at p = 0 should be finite, got {p_grad}")
                self.assertLess(p_grad[0, 1], -1e3, "dL/dp at p = 0 should be steep")
                assert_close(
                    p_grad[1], np.array([-1, 0, 0]), "dL/dp of the other row", "the exact one", tolerance=1e-5
                )

    @reproducible
    @given(x=matrices(largest=5), seed=st.integers(0, 100))
    def test_never_negative(self, x, seed):
        """Cross-entropy: never negative, and the mean of the losses of the single rows."""
        p = torch.softmax(torch.tensor(x), -1).numpy()
        labels = np.random.default_rng(seed).integers(0, x.shape[1], len(x))
        loss = CrossEntropyLossLayer().forward(p, labels)
        self.assertGreaterEqual(loss, -1e-7, f"the loss for p = {p} and labels {labels}")
        rows = [CrossEntropyLossLayer().forward(p[i : i + 1], labels[i : i + 1]) for i in range(len(p))]
        assert_close(loss, np.mean(rows), "the loss", "the mean of the rows' losses", tolerance=1e-10)

    def test_loss_is_a_float(self):
        """Cross-entropy: the loss is a float64 that is a float and has .item()."""
        for dtype in (np.float64, np.float32):
            for target in (np.array([1, 0]), np.eye(3, dtype=dtype)[[1, 0]]):
                loss = CrossEntropyLossLayer().forward(probabilities(2, 3).astype(dtype), target)
                self.assertIsInstance(loss, np.float64, "the loss should be an np.float64")
                self.assertIs(type(loss.item()), float, "loss.item() should be a float")
        loss = CrossEntropyLossLayer()(probabilities(2, 3), np.array([1, 0]))
        self.assertIsInstance(loss, np.float64, "calling the layer should be calling forward")

    def test_wrong_shapes_and_empty_batch(self):
        """Cross-entropy: wrong shapes and an empty batch are ValueErrors that name what came."""
        layer = CrossEntropyLossLayer()
        for p_shape, target_shape in (((5,), (5,)), ((2, 3, 4), (2,)), ((), ())):
            what = f"predictions of shape {p_shape}"
            p, target = np.ones(p_shape), np.zeros(target_shape, int)
            assert_names_shapes(lambda p=p, t=target: layer.forward(p, t), what, (), p_shape)
        for shape in ((7,), (5, 6), (6, 4), (5, 4, 1), (1, 5), ()):
            what = f"a target of shape {shape} for predictions of shape (5, 4)"
            p, target = probabilities(5, 4), np.zeros(shape, int)
            assert_names_shapes(lambda p=p, t=target: layer.forward(p, t), what, (5,), shape)
        for target in (np.empty(0, int), np.empty((0, 4))):
            what = f"an empty batch with a target of shape {target.shape}"
            assert_raises(ValueError, lambda t=target: layer.forward(np.empty((0, 4)), t), what)

    def test_bad_labels(self):
        """Cross-entropy: labels out of range or no integers are ValueErrors; a NaN never hides."""
        p, layer = probabilities(3, 7), CrossEntropyLossLayer()
        for bad in (-1, 7, 99, -7):
            for place in range(3):
                labels = np.array([0, 2, 6])
                labels[place] = bad
                what = f"a label {bad} of 7 classes"
                message = assert_raises(ValueError, lambda t=labels: layer.forward(p, t), what)
                self.assertIn(str(bad), message, f"{what}: the message should quote it")
                self.assertRegex(message, r"\b[67]\b", f"{what}: the message should say what labels may be")
        for labels in (
            np.array([0.5, 1, 2]),
            np.array([0, 1, np.nan]),
            ["a", "b", "c"],
            np.array([1, 2, 3j]),
        ):
            assert_raises(ValueError, lambda t=labels: layer.forward(p, t), f"the labels {labels}")
        p[1, 2] = np.nan
        for target in (np.array([0, 2, 1]), probabilities(3, 7)):
            with contextlib.suppress(ValueError):  # an error is even better than a loss of NaN
                loss = layer.forward(p, target)
                self.assertTrue(np.isnan(loss), "a NaN among the probabilities shouldn't vanish")

    def test_calls(self):
        """Cross-entropy: backward needs a forward and one number, and belongs to the latest forward."""
        layer, p = CrossEntropyLossLayer(), probabilities(3, 4)
        assert_raises(RuntimeError, layer.backward, "backward before forward")
        layer.forward(probabilities(7, 2), np.zeros(7, int))
        layer.forward(p, np.array([1, 2, 3]))
        expected = [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]] / p / -3
        for time in ("first", "second"):
            assert_close(
                layer.backward(),
                expected,
                f"dL/dp of the {time} backward",
                "the exact one",
                tolerance=GUARDED,
            )
        assert_raises(ValueError, lambda: layer.backward(np.ones((3, 4))), "backward of a matrix")
        assert_raises(ValueError, lambda: layer.backward(np.ones(0)), "backward of an empty array")

    def test_inputs_and_answers(self):
        """Cross-entropy: takes tensors and any memory, changes nothing it is handed; dL/dp has p's dtype."""
        p, labels, rows = probabilities(5, 4), np.array([0, 3, 1, 1, 2]), probabilities(5, 4, seed=1)
        for target in (labels, rows):
            layer, given_p, given_target = CrossEntropyLossLayer(), p.copy(), target.copy()
            with unchanged(predictions=given_p, target=given_target):
                loss, p_grad = layer.forward(given_p, given_target), layer.backward()
            self.assertFalse(np.shares_memory(p_grad, given_p), "dL/dp shares memory with the predictions")
            self.assertFalse(np.shares_memory(p_grad, given_target), "dL/dp shares memory with the target")
            with unchanged(**{"dL/dp of an earlier backward": p_grad}):
                layer.forward(rows, target)
                layer.backward(2.0)
            given_p.flags.writeable = given_target.flags.writeable = False
            layer.forward(given_p, given_target)
            for way, form in (
                ("a column-major array", np.asfortranarray(p)),
                ("every second column", np.repeat(p, 2, axis=1)[:, ::2]),
                ("a tensor", torch.tensor(p)),
                ("a tensor that requires a gradient", torch.tensor(p, requires_grad=True)),
            ):
                for targets in (target, torch.tensor(target)):
                    assert_close(
                        layer.forward(form, targets), loss, f"the loss for p in {way}", "that for an array"
                    )
                    assert_close(layer.backward(), p_grad, f"dL/dp for p in {way}", "that for an array")
            for dtype, tolerance in ((np.float64, 1e-12), (np.float32, 1e-5)):
                layer.forward(p.astype(dtype), target)
                answer = layer.backward()
                self.assertEqual(answer.dtype, dtype, "dL/dp should have p's dtype")
                assert_close(answer, p_grad, f"dL/dp in {dtype.__name__}", "the float64 one", tolerance)


if __name__ == "__main__":
    unittest.main()
