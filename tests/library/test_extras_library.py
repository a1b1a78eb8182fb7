"""What this library has beyond its contract: seeds, logits, parts of networks, ...; no points."""

from __future__ import annotations

import copy
import pickle
import unittest
import warnings

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn

from q1 import CrossEntropyLossLayer, Dense, Layer, ReLULayer, SoftmaxLayer, TanhLayer
from q2 import MLP

pytestmark = pytest.mark.fast

ACTIVATIONS = (ReLULayer, TanhLayer, SoftmaxLayer)


def random_batch(*shape, seed=0):
    """Return normally distributed numbers, the same for the same seed."""
    return np.random.default_rng(seed).normal(size=shape)


def make_layers(**dense):
    """Return layers from 5 inputs to 4 outputs; the weights of the three Dense are different ones."""
    return [
        *(Dense(5, 6, seed=1, **dense), TanhLayer(), Dense(6, 3, seed=2, **dense), ReLULayer()),
        *(Dense(3, 4, seed=3, **dense), SoftmaxLayer()),
    ]


def make_network(**dense):
    """Return an MLP of ``make_layers()``."""
    return MLP(make_layers(**dense))


def step(network, seed=0, learning_rate=0.5):
    """Take one step of training with random numbers; return the output and dL/dx."""
    output = network.forward(random_batch(7, 5, seed=seed)).copy()
    x_grad = network.backward(random_batch(7, 4, seed=seed + 1)).copy()
    network.update(learning_rate)
    return output, x_grad


def assert_same_training(network, other, steps=3):
    """Check that two networks train alike from here on."""
    for seed in range(steps):
        for answer, expected in zip(step(network, seed), step(other, seed), strict=True):
            assert_allclose(answer, expected, rtol=1e-12)
    for key, value in other.state_dict().items():
        assert_allclose(network.state_dict()[key], value, rtol=1e-12)


def parameters_of(layer):
    """Return a copy of all parameters, one after the other."""
    return np.concatenate([value.ravel() for value in layer.state_dict().values()])


def gradients_of(layer):
    """Return a copy of the gradients of all parameters, in the order of ``parameters_of``."""
    if isinstance(layer, MLP):
        return np.concatenate([np.empty(0), *map(gradients_of, layer)])
    return np.append(layer.dW, layer.db) if isinstance(layer, Dense) else np.empty(0)


class TestDense(unittest.TestCase):
    def test_sizes_are_checked(self):
        for sizes in ((0, 3), (3, 0), (-1, 3), (2.0, 3), (3, "4"), (True, 3), (3, None)):
            with self.assertRaisesRegex(ValueError, "whole number >= 1, got"):
                Dense(*sizes)
        layer = Dense(np.int64(4), np.int32(3))
        self.assertIs(type(layer.input_size), int)
        self.assertIs(type(layer.output_size), int)
        self.assertEqual(Dense(1, 1).forward([[2.0]]).shape, (1, 1))

    def test_dtype_is_checked(self):
        for dtype in (np.int64, np.float16, np.complex128):
            with self.assertRaisesRegex(ValueError, "float32 or float64"):
                Dense(4, 3, dtype=dtype)

    def test_seeds(self):
        assert_array_equal(Dense(4, 3, seed=33).W, Dense(4, 3).W)
        bound = np.sqrt(6 / 7)
        assert_array_equal(
            Dense(4, 3, seed=5).weights, np.random.RandomState(5).uniform(-bound, bound, (4, 3))
        )
        for make in (np.random.RandomState, np.random.default_rng):
            source, expected = make(7), make(7)
            first, second = Dense(4, 3, seed=source), Dense(4, 3, seed=source)
            assert_array_equal(first.weights, expected.uniform(-bound, bound, (4, 3)))
            assert_array_equal(second.weights, expected.uniform(-bound, bound, (4, 3)))
        self.assertFalse(np.array_equal(Dense(4, 3, seed=None).W, Dense(4, 3, seed=None).W))

    def test_gradients_before_backward(self):
        layer = Dense(4, 3)
        assert_array_equal(layer.dW, np.zeros((3, 4)))
        assert_array_equal(layer.db, np.zeros(3))
        before = layer.W.copy()
        layer.dW = np.ones((3, 4))
        layer.update(0.25)
        assert_array_equal(layer.W, before - 0.25)

    def test_learning_rates_are_checked(self):
        for network in (Dense(5, 4), make_network()):
            network.forward(random_batch(2, 5))
            network.backward(random_batch(2, 4))
            before = parameters_of(network)
            for wrong in (-0.1, np.inf, -np.inf, np.nan):
                with self.assertRaisesRegex(ValueError, "learning rate >= 0"):
                    network.update(wrong)
            network.update(0)
            assert_array_equal(parameters_of(network), before)

    def test_backward_parameters(self):
        x, g = random_batch(5, 4), random_batch(5, 3, seed=1)
        layer, other = Dense(4, 3), Dense(4, 3)
        with self.assertRaises(RuntimeError):
            layer.backward_parameters(g)
        layer.forward(x)
        other.forward(x)
        other.backward(g)
        self.assertIsNone(layer.backward_parameters(g))
        assert_array_equal(layer.dW, other.dW)
        assert_array_equal(layer.db, other.db)
        with self.assertRaises(ValueError):
            layer.backward_parameters(g[:2])
        layer.update(0.1)
        activation = TanhLayer()
        activation.forward(x)
        self.assertIsNone(activation.backward_parameters(x))

    def test_answers_have_the_dtype_of_what_was_handed_in(self):
        for dtype in (np.float32, np.float64):
            for given in (np.float32, np.float64):
                layer = Dense(4, 3, dtype=dtype)
                self.assertEqual(layer.forward(np.ones((2, 4), given)).dtype, given)
                self.assertEqual(layer.backward(np.ones((2, 3), given)).dtype, given)
                self.assertEqual(layer.dW.dtype, dtype)

    def test_copies(self):
        layer = Dense(4, 3)
        for make_copy in (copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))):  # noqa: S301
            twin = make_copy(layer)
            twin.W[:] = 0
            assert_array_equal(twin.weights, np.zeros((4, 3)))
            assert_array_equal(twin.forward(np.ones((2, 4))), np.zeros((2, 3)))
            assert_array_equal(layer.W, Dense(4, 3).W)


class TestInputs(unittest.TestCase):
    """What counts as an array of numbers."""

    def test_other_numbers_become_floats(self):
        expected = ReLULayer().forward(np.array([[0.0, 1.0]]))
        for x in ([[0, 1]], ((False, True),), np.array([[0, 1]], np.uint8), np.array([[0, 1]], np.float16)):
            y = ReLULayer().forward(x)
            self.assertEqual(y.dtype, np.float64)
            assert_array_equal(y, expected)
        self.assertEqual(Dense(2, 3, dtype=np.float32).forward([[0, 1]]).dtype, np.float32)

    def test_other_byte_order(self):
        y = TanhLayer().forward(np.array([0.5, 1.0], ">f4"))
        self.assertEqual(y.dtype, np.float32)
        self.assertTrue(y.dtype.isnative)
        assert_array_equal(y, TanhLayer().forward(np.array([0.5, 1.0], np.float32)))

    def test_subclasses_of_arrays(self):
        matrix = np.ma.masked_array([[1.0, -2.0]])
        self.assertIs(type(ReLULayer().forward(matrix)), np.ndarray)

    def test_no_numbers(self):
        for layer, x in ((Dense(2, 3), [["a", "b"]]), (TanhLayer(), [[1j, 0]]), (ReLULayer(), [[1, 2], [3]])):
            with self.assertRaisesRegex(ValueError, rf"{type(layer).__name__}.*\.forward: x: expected"):
                layer.forward(x)
        layer = ReLULayer()
        layer.forward([1.0])
        with self.assertRaisesRegex(ValueError, "backward: output_grad: expected"):
            layer.backward([None])
        with self.assertRaisesRegex(ValueError, r"Dense\(2, 3\)\.W: expected"):
            Dense(2, 3).W = "weights"

    def test_numbers_without_axes(self):
        for layer, module in ((ReLULayer(), nn.ReLU()), (TanhLayer(), nn.Tanh())):
            y = layer.forward(0.5)
            self.assertEqual(y.shape, ())
            assert_allclose(y, module(torch.tensor(0.5, dtype=torch.float64)), rtol=1e-15)
            self.assertEqual(layer.backward(2.0).shape, ())


class TestActivations(unittest.TestCase):
    def test_softmax_of_infinities(self):
        rows = np.array([[-np.inf, 0, 1], [np.inf, 0, 1], [np.nan, 0, 1], [-np.inf] * 3])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            y = SoftmaxLayer().forward(rows)
        assert_allclose(y, torch.softmax(torch.tensor(rows), -1), rtol=1e-15)

    def test_gradient_of_another_dtype(self):
        """A layer answers backward in the dtype of the gradient, whatever that of its input was."""
        x, g = random_batch(3, 4), random_batch(3, 4, seed=1)
        for activation in ACTIVATIONS:
            for given in (np.float32, np.float64):
                layer = activation()
                layer.forward(x)
                expected = layer.backward(g)
                layer.forward(x.astype(given))
                for upstream in (np.float32, np.float64):
                    x_grad = layer.backward(g.astype(upstream))
                    self.assertEqual(x_grad.dtype, upstream)
                    assert_allclose(x_grad, expected, rtol=1e-4, atol=1e-6)

    def test_softmax_of_no_classes(self):
        self.assertEqual(SoftmaxLayer().forward(np.empty((3, 0))).shape, (3, 0))

    def test_tanh_keeps_the_sign_of_zero_and_of_the_smallest_numbers(self):
        x = np.array([0.0, -0.0, 5e-324, -5e-324])
        y = TanhLayer().forward(x)
        assert_array_equal(y, x)
        assert_array_equal(np.signbit(y), np.signbit(x))


class TestCrossEntropyLossLayer(unittest.TestCase):
    def test_probabilities_as_small_as_they_come(self):
        for dtype in (np.float32, np.float64):
            tiny = np.finfo(dtype).tiny
            p = np.array([[tiny, 1], [0, 1], [tiny / 2, 1], [-1, 1]], dtype)
            layer = CrossEntropyLossLayer()
            for row in p:
                assert_allclose(layer.forward(row[None], [0]), -np.log(np.float64(tiny)), rtol=1e-6)
                assert_allclose(layer.backward(), [[-1 / np.float64(tiny), 0]], rtol=1e-6)
            self.assertEqual(layer.forward(p[:1], [1]), 0)
        p = np.array([[1e-300, 1e-30]])
        assert_allclose(layer.forward(p, [[0.5, 0.5]]), -0.5 * np.log(p).sum(), rtol=1e-15)
        assert_allclose(layer.backward(), -0.5 / p, rtol=1e-15)

    def test_numbers_that_are_not_finite(self):
        for bad in (np.nan, np.inf, -np.inf):
            p = np.full((3, 4), 0.25)
            p[1, 2] = p[2, 0] = bad
            message = rf"expected finite numbers, got {bad} at \[1, 2\]"
            for target in ([0, 1, 2], np.eye(3, 4)):
                with self.assertRaisesRegex(ValueError, f"prediction: {message}"):
                    CrossEntropyLossLayer().forward(p, target)
            with self.assertRaisesRegex(ValueError, f"target: {message}"):
                CrossEntropyLossLayer().forward(np.full((3, 4), 0.25), p)

    def test_messages_about_labels(self):
        p = np.full((3, 4), 0.25)
        for labels, message in (
            ([0, 4, 5], "labels of 0 to 3, got 4 at index 1"),
            ([0, 1, -2], "labels of 0 to 3, got -2 at index 2"),
            ([0.0, 1.0, 2.0], "whole numbers of .* got float64 of shape"),
            ([True, False, True], "whole numbers of .* got bool of shape"),
        ):
            with self.assertRaisesRegex(ValueError, message):
                CrossEntropyLossLayer().forward(p, labels)

    def test_no_classes(self):
        with self.assertRaisesRegex(ValueError, r"\(N, K\), not empty, got \(2, 0\)"):
            CrossEntropyLossLayer().forward(np.empty((2, 0)), np.empty((2, 0)))

    def test_upstream_gradient(self):
        layer = CrossEntropyLossLayer()
        layer.forward([[0.5, 0.5]], [1])
        for upstream in ([3.0], [[3]], torch.tensor(3.0), np.float32(3)):
            assert_array_equal(layer.backward(upstream), [[0, -6]])
        for wrong, shape in (([1.0, 2.0], r"\(2,\)"), ([], r"\(0,\)")):
            with self.assertRaisesRegex(ValueError, f"one number, got shape {shape}"):
                layer.backward(wrong)

    def test_float32(self):
        """A float64 target does not turn float32 predictions into float64."""
        p = np.full((2, 4), 0.25, np.float32)
        for from_logits in (False, True):
            layer = CrossEntropyLossLayer(from_logits=from_logits)
            for target in ([1, 2], np.full((2, 4), 0.25), np.eye(2, 4, dtype=int)):
                layer.forward(p, target)
                self.assertEqual(layer.backward().dtype, np.float32)

    def test_logits(self):
        criterion = nn.CrossEntropyLoss()
        for n, k in ((1, 1), (1, 4), (5, 3), (4, 4)):
            for scale in (1.0, 1e3):
                logits = scale * random_batch(n, k)
                labels = np.random.default_rng(1).integers(0, k, n)
                shares = np.abs(random_batch(n, k, seed=2))  # rows that do not sum to 1
                for target in (labels, shares, np.eye(k)[labels]):
                    tensor = torch.tensor(logits, requires_grad=True)
                    loss = criterion(tensor, torch.tensor(target))
                    (3 * loss).backward()
                    layer = CrossEntropyLossLayer(from_logits=True)
                    assert_allclose(layer.forward(logits, target), loss.item(), rtol=1e-12, atol=1e-12)
                    assert_allclose(layer.backward(3.0), tensor.grad, rtol=1e-12, atol=1e-14)

    def test_logits_that_are_infinite(self):
        logits = np.array([[-np.inf, 0.0, 1.0], [0.0, np.nan, 1.0]])
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            loss = CrossEntropyLossLayer(from_logits=True).forward(logits, [1, 2])
        self.assertTrue(np.isnan(loss))

    def test_logits_equal_softmax_and_probabilities(self):
        logits, labels = random_batch(6, 4), [0, 1, 2, 3, 0, 1]
        softmax, criterion = SoftmaxLayer(), CrossEntropyLossLayer()
        from_logits = CrossEntropyLossLayer(from_logits=True)
        loss = criterion.forward(softmax.forward(logits), labels)
        assert_allclose(from_logits.forward(logits, labels), loss, rtol=1e-12)
        assert_allclose(
            from_logits.backward(), softmax.backward(criterion.backward()), rtol=1e-12, atol=1e-15
        )
        self.assertFalse(np.shares_memory(from_logits.backward(), from_logits.backward()))


class TestMLP(unittest.TestCase):
    def test_layers_are_checked(self):
        with self.assertRaisesRegex(TypeError, r"Layer at place 1, got 'relu'"):
            MLP([Dense(2, 3), "relu"])
        relu = ReLULayer()
        with self.assertRaisesRegex(ValueError, r"ReLULayer\(\) again at 2"):
            MLP([relu, Dense(2, 3), relu])

    def test_no_layers(self):
        network, x = MLP([]), random_batch(2, 3)
        assert_array_equal(network.forward(x), x)
        assert_array_equal(network.backward(x), x)
        self.assertIsInstance(network.forward([[1, 2]]), np.ndarray)
        self.assertIsInstance(network.backward([[1, 2]]), np.ndarray)
        network.backward_parameters(x)
        network.update(0.1)
        network.init_weights()
        self.assertEqual(network.state_dict(), {})
        self.assertEqual(len(network), 0)
        self.assertTrue(network.has_gradients)

    def test_parts(self):
        network = make_network()
        self.assertEqual(len(network), 6)
        self.assertEqual(list(network), list(network.layers))
        self.assertIs(network[0], network.layers[0])
        self.assertIs(network[-1], network.layers[5])
        x = random_batch(3, 5)
        body, head = network[:-1], network[-1:]
        self.assertIsInstance(body, MLP)
        assert_array_equal(head.forward(body.forward(x)), network.forward(x))
        body[0].W[:] = 0
        assert_array_equal(network[0].W, np.zeros((6, 5)))

    def test_has_gradients(self):
        """It tells whether ``update`` has what it needs, for a layer and for a network of any depth."""
        self.assertTrue(ReLULayer().has_gradients)
        network = MLP([make_network(), SoftmaxLayer()])
        self.assertFalse(network.has_gradients)
        network.forward(random_batch(2, 5))
        self.assertFalse(network.has_gradients)
        network.backward(random_batch(2, 4))
        self.assertTrue(network.has_gradients)
        network[0][2].init_weights()
        self.assertFalse(network.has_gradients, "the gradients of the old weights")
        network[0][2].dW = np.ones((3, 6))
        self.assertTrue(network.has_gradients, "assigned ones")

    def test_gradients_come_along(self):
        """A layer that has been through backward may be updated in a network."""
        layer = Dense(5, 4)
        layer.forward(random_batch(2, 5))
        layer.backward(random_batch(2, 4))
        expected = layer.W - 0.5 * layer.dW
        MLP([layer]).update(0.5)
        assert_allclose(layer.W, expected, rtol=1e-15)

    def test_layers_of_several_networks(self):
        network, alone = make_network(), make_network()
        larger = MLP([TanhLayer(), *network.layers])
        part = network[:3]
        self.assertTrue(np.shares_memory(larger[1].W, network[0].W))
        assert_same_training(network, alone)
        output = larger.forward(random_batch(2, 5))
        larger.backward(np.ones_like(output))
        before = {key: value.copy() for key, value in network.state_dict().items()}
        larger.update(0.5)
        for key, value in network.state_dict().items():
            place, _, name = key.partition(".")
            gradient = getattr(network[int(place)], {"weight": "dW", "bias": "db"}[name])
            assert_allclose(value, before[key] - 0.5 * gradient, rtol=1e-14)
        assert_array_equal(part.state_dict()["0.weight"], network.state_dict()["0.weight"])

    def test_nested_networks_train_alike(self):
        layers = make_layers()
        nested = MLP([MLP(layers[:2]), MLP([MLP(layers[2:4]), *layers[4:]])])
        alone = make_network()
        for seed in range(3):
            for answer, expected in zip(step(nested, seed), step(alone, seed), strict=True):
                assert_allclose(answer, expected, rtol=1e-12)
        assert_allclose(parameters_of(nested), parameters_of(alone), rtol=1e-12)
        self.assertEqual(list(nested.state_dict())[:3], ["0.0.weight", "0.0.bias", "1.0.0.weight"])

    def test_layers_of_two_dtypes(self):
        network = MLP([Dense(5, 6, dtype=np.float32), TanhLayer(), Dense(6, 4)])
        with self.assertRaises(RuntimeError):
            network.update(0.1)
        network.forward(random_batch(3, 5))
        network.backward(random_batch(3, 4))
        expected = [network[place].W - 0.5 * network[place].dW for place in (0, 2)]
        network.update(0.5)
        for place, value in zip((0, 2), expected, strict=True):
            assert_allclose(network[place].W, value, rtol=1e-6)
        self.assertEqual(network[0].W.dtype, np.float32)
        self.assertEqual(network[2].W.dtype, np.float64)

    def test_update_changes_all_or_nothing(self):
        network = make_network()
        before = parameters_of(network)
        network[0].forward(random_batch(2, 5))
        network[0].backward(random_batch(2, 6))
        with self.assertRaisesRegex(RuntimeError, r"\.update was called before backward"):
            network.update(0.5)
        assert_array_equal(parameters_of(network), before)

    def test_layers_with_an_update_of_their_own(self):
        """A network asks every layer to update itself, so that a subclass can do it differently."""

        class Frozen(Dense):
            def update(self, learning_rate):
                """Keep the weights."""

        frozen, learning = Frozen(5, 6), Dense(6, 4)
        network = MLP([frozen, learning])
        step(network)
        assert_array_equal(frozen.W, Dense(5, 6).W)
        self.assertFalse(np.array_equal(learning.W, Dense(6, 4).W))

    def test_backward_parameters(self):
        for network, other in (
            (make_network(), make_network()),
            (MLP([make_network(), SoftmaxLayer()]), MLP([make_network(), SoftmaxLayer()])),
            (MLP([Dense(5, 6), Dense(6, 4)]), MLP([Dense(5, 6), Dense(6, 4)])),
        ):
            network.forward(random_batch(3, 5))
            other.forward(random_batch(3, 5))
            other.backward(random_batch(3, 4))
            self.assertIsNone(network.backward_parameters(random_batch(3, 4)))
            assert_array_equal(gradients_of(network), gradients_of(other))

    def test_copies(self):
        for make_copy in (copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))):  # noqa: S301
            network = make_network()
            step(network)
            twin, other = make_copy(network), make_copy(network)
            for place in (0, 2, 4):
                self.assertFalse(np.shares_memory(twin[place].W, network[place].W))
                self.assertTrue(np.shares_memory(twin.state_dict()[f"{place}.weight"], twin[place].W))
            assert_same_training(twin, network)
            self.assertFalse(np.array_equal(other[0].W, network[0].W), "a copy stays where it was")


class TestStateDict(unittest.TestCase):
    def test_layers(self):
        linear, layer = nn.Linear(4, 3, dtype=torch.float64), Dense(4, 3)
        linear.load_state_dict(layer.state_dict(), strict=True)
        assert_array_equal(linear.weight.detach(), layer.W)
        other = Dense(4, 3, seed=1)
        other.load_state_dict(linear.state_dict())
        assert_array_equal(other.W, layer.W)
        self.assertEqual(ReLULayer().state_dict(), {})

    def test_parameters_keep_their_kind_in_torch(self):
        linear = nn.Linear(4, 3, dtype=torch.float32)
        linear.load_state_dict(Dense(4, 3).state_dict())
        self.assertEqual(linear.weight.dtype, torch.float32)
        self.assertIs(type(linear.weight), nn.Parameter)
        assert_allclose(linear.weight.detach(), Dense(4, 3).W, rtol=1e-6)

    def test_entries_are_views(self):
        layer = Dense(4, 3)
        layer.state_dict()["weight"][0] = 7
        assert_array_equal(layer.W[0], [7] * 4)
        self.assertIsInstance(layer.state_dict()["bias"], np.ndarray)

    def test_not_strict(self):
        layer, weight = Dense(4, 3), random_batch(3, 4)
        layer.load_state_dict({"weight": weight, "more": 1}, strict=False)
        assert_array_equal(layer.W, weight)
        with self.assertRaisesRegex(ValueError, r"expected the keys \['weight', 'bias'\], got \['weight'\]"):
            layer.load_state_dict({"weight": weight})

    def test_all_or_nothing(self):
        network = make_network()
        state = {key: np.ones(value.shape) for key, value in network.state_dict().items()}
        state["4.bias"] = np.ones(5)
        before = parameters_of(network)
        with self.assertRaisesRegex(ValueError, r"4\.bias: expected shape \(4,\), got \(5,\)"):
            network.load_state_dict(state)
        assert_array_equal(parameters_of(network), before)
        state["4.bias"] = [None] * 4
        with self.assertRaisesRegex(ValueError, r"load_state_dict: 4\.bias: expected"):
            network.load_state_dict(state)


class TestRepr(unittest.TestCase):
    def test_short_names(self):
        for layer, name in (
            (Dense(784, 256), "Dense(784, 256)"),
            (ReLULayer(), "ReLULayer()"),
            (CrossEntropyLossLayer(), "CrossEntropyLossLayer()"),
            (MLP([Dense(2, 3), TanhLayer()]), "MLP([Dense(2, 3), TanhLayer()])"),
            (Layer(), "Layer()"),
        ):
            self.assertEqual(repr(layer), name)
