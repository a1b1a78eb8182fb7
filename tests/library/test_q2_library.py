"""The strict contract of q2.py: what this library promises beyond the handout; no points."""

from __future__ import annotations

import unittest

import numpy as np
import pytest
import torch
from contract import (
    assert_close,
    assert_names_shapes,
    assert_raises,
    check_against_torch,
    check_answers_stay,
    check_any_memory,
    check_calls,
    check_dtypes,
    check_imports,
    check_inputs_unchanged,
    check_latest_forward_counts,
    check_numeric_gradient,
    numeric_gradient,
    random_batch,
)
from torch import nn

import q2
from q1 import CrossEntropyLossLayer, Dense, Layer, ReLULayer, SoftmaxLayer, TanhLayer
from q2 import MLP

pytestmark = pytest.mark.fast

# Networks of different depths and activations, in PyTorch; each has 5 inputs and 4 outputs.
NETWORKS = {
    "one layer": lambda: [nn.Linear(5, 4)],
    "a perceptron with ReLU": lambda: [nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 4)],
    "the handout's": lambda: [
        *(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.ReLU()),
        *(nn.Linear(6, 4), nn.Softmax(-1)),
    ],
    "a deep one": lambda: [
        *(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1), nn.Linear(1, 6), nn.ReLU()),
        *(nn.Linear(6, 6), nn.Softmax(-1), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4), nn.Softmax(-1)),
    ],
    "one that starts with an activation": lambda: [nn.Tanh(), nn.Linear(5, 4), nn.ReLU()],
}


def counterpart(module):
    """Return our layer for a module of PyTorch, with the same weights."""
    if isinstance(module, nn.Linear):
        layer = Dense(module.in_features, module.out_features)
        layer.W, layer.b = module.weight.detach().numpy(), module.bias.detach().numpy()
        return layer
    return {nn.ReLU: ReLULayer, nn.Tanh: TanhLayer, nn.Softmax: SoftmaxLayer}[type(module)]()


def twins(name, seed=0):
    """Return an nn.Sequential in float64 with random weights, and an MLP with the same."""
    sequential = nn.Sequential(*NETWORKS[name]()).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in sequential.parameters():
            parameter.uniform_(-1, 1, generator=generator)
    return sequential, MLP([counterpart(module) for module in sequential])


def parameters(network):
    """Yield the name, the value and the gradient of every parameter of a list of our layers, in order."""
    for place, layer in enumerate(network):
        if isinstance(layer, Dense):
            yield f"{place}.weight", layer.W, layer.dW
            yield f"{place}.bias", layer.b, layer.db


class Double(Layer):
    """A layer that this library does not have: y = 2x."""

    def forward(self, x):
        return 2 * x

    def backward(self, output_grad):
        return 2 * output_grad


class Scale(Layer):
    """A layer of one's own that learns: y = a x, with a number a."""

    def __init__(self):
        self.a = self.a_grad = 0.0

    def init_weights(self):
        self.a = 3.0

    def forward(self, x):
        self.x = x
        return self.a * x

    def backward(self, output_grad):
        self.a_grad = float(np.sum(output_grad * self.x))
        return self.a * output_grad

    def update(self, learning_rate):
        self.a -= learning_rate * self.a_grad


class TestMLP(unittest.TestCase):
    """Multi-layer perceptron."""

    def test_forward(self):
        """MLP: forward goes through the layers in order, as nn.Sequential does."""
        for name in NETWORKS:
            sequential, mlp = twins(name)
            for n in (1, 2, 7):
                x = random_batch(n, 5, seed=n)
                expected = sequential(torch.tensor(x))
                assert_close(mlp.forward(x), expected, f"the output of {name} for {n} examples")
                assert_close(mlp(x), expected, f"mlp(x) of {name}")

    def test_backward(self):
        """MLP: backward returns dL/dx and leaves every layer's gradients, as torch's autograd has them."""
        for name in NETWORKS:
            for n in (1, 7):
                sequential, mlp = twins(name)
                check_against_torch(mlp, sequential, random_batch(n, 5), random_batch(n, 4, seed=1))
                gradients = {key: parameter.grad for key, parameter in sequential.named_parameters()}
                for key, _, gradient in parameters(mlp.layers):
                    assert_close(gradient, gradients[key], f"the gradient of {key} in {name}")

    def test_gradients_match_differences(self):
        """MLP: dL/dx and the gradient of every parameter agree with numeric gradients."""
        _, mlp = twins("a deep one")
        x, g = random_batch(3, 5), random_batch(3, 4, seed=1)
        check_numeric_gradient(mlp, x, g)
        mlp.forward(x)
        mlp.backward(g)
        for key, parameter, gradient in parameters(mlp.layers):
            numeric = numeric_gradient(lambda: np.sum(mlp.forward(x) * g), parameter)
            assert_close(gradient, numeric, f"the gradient of {key}", "the numeric gradient", tolerance=1e-6)

    def test_training(self):
        """MLP: several steps with the cross-entropy loss are those of torch.optim.SGD."""
        for name in ("the handout's", "a deep one"):
            sequential, mlp = twins(name)
            criterion = CrossEntropyLossLayer()
            optimizer = torch.optim.SGD(sequential.parameters(), lr=0.3)
            for step in range(1, 6):
                n = 8 if step < 5 else 3
                x, labels = random_batch(n, 5, seed=step), np.random.default_rng(step).integers(0, 4, n)
                loss = nn.functional.nll_loss(sequential(torch.tensor(x)).log(), torch.tensor(labels))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                ours = criterion.forward(mlp.forward(x), labels)
                mlp.backward(criterion.backward())
                mlp.update(0.3)
                assert_close(ours, loss, f"the loss of {name} in step {step}", tolerance=1e-9)
                expected = dict(sequential.named_parameters())
                for key, parameter, _ in parameters(mlp.layers):
                    assert_close(
                        parameter, expected[key], f"{key} of {name} after step {step}", tolerance=1e-9
                    )

    def test_state_dict_to_torch(self):
        """MLP: nn.Sequential.load_state_dict takes state_dict() strictly."""
        for name in NETWORKS:
            sequential, mlp = twins(name, seed=1)
            mlp_of_other_weights, fresh = twins(name, seed=2)[1], twins(name, seed=3)[0]
            self.assertEqual(list(mlp.state_dict()), list(sequential.state_dict()), f"the keys of {name}")
            fresh.load_state_dict(mlp.state_dict(), strict=True)
            for key, value in sequential.state_dict().items():
                assert_close(fresh.state_dict()[key], value, f"{key} of {name} in torch", "ours", tolerance=0)
            x = random_batch(3, 5)
            assert_close(mlp.forward(x), fresh(torch.tensor(x)), f"the output of {name}")
            mlp_of_other_weights.load_state_dict(mlp.state_dict())
            assert_close(
                mlp_of_other_weights.forward(x), mlp.forward(x), "the copy's output", "the original's"
            )

    def test_state_dict_from_torch(self):
        """MLP: load_state_dict takes nn.Sequential's state_dict, and no other keys or shapes."""
        for name in NETWORKS:
            sequential, mlp = twins(name, seed=1)[0], twins(name, seed=2)[1]
            mlp.load_state_dict(sequential.state_dict())
            expected = sequential.state_dict()
            for key, parameter, _ in parameters(mlp.layers):
                assert_close(parameter, expected[key], f"{key} of {name}", tolerance=0)
            mlp.load_state_dict({key: value.numpy() for key, value in expected.items()})
            x = random_batch(3, 5)
            assert_close(mlp.forward(x), sequential(torch.tensor(x)), f"the output of {name}")
        state = dict(twins("one layer")[0].state_dict())
        _, mlp = twins("one layer")
        missing = {"0.weight": state["0.weight"]}
        unknown = {**state, "1.weight": state["0.weight"]}
        for case, wrong in (("a missing key", missing), ("an unknown key", unknown)):
            errors = (ValueError, KeyError, RuntimeError)
            assert_raises(errors, lambda s=wrong: mlp.load_state_dict(s), f"load_state_dict with {case}")
        for came in ((5, 4), (1, 5), (4, 1), (20,)):
            wrong = {**state, "0.weight": torch.ones(came)}
            what = f"load_state_dict with 0.weight of shape {came}"
            assert_names_shapes(lambda s=wrong: mlp.load_state_dict(s), what, (4, 5), came)

    def test_weights(self):
        """MLP: keeps the weights that its layers have; init_weights draws those of every layer anew."""
        first, second = Dense(5, 6), Dense(6, 4)
        values = [
            random_batch(6, 5),
            random_batch(6, seed=1),
            random_batch(4, 6, seed=2),
            random_batch(4, seed=3),
        ]
        first.W, first.b, second.W, second.b = values
        own = Scale()
        mlp = MLP([first, TanhLayer(), own, second])
        for (key, parameter, _), value in zip(parameters([first, second]), values, strict=True):
            assert_close(
                parameter, value, f"parameter {key} of a layer in an MLP", "the one it had", tolerance=0
            )
        own.a = 1.0
        x = random_batch(3, 5)
        expected = np.tanh(x @ values[0].T + values[1]) @ values[2].T + values[3]
        assert_close(mlp.forward(x), expected, "the output", "NumPy's")
        first.weights = np.zeros((5, 6))
        second.bias[0, 1] = 7.0
        values[3][1] = 7.0
        expected = np.tanh(x * 0 @ values[0].T + values[1]) @ values[2].T + values[3]
        assert_close(mlp.forward(x), expected, "the output after writing into a layer's weights", "NumPy's")
        mlp.init_weights()
        fresh = parameters([Dense(5, 6), Dense(6, 4)])
        for (key, parameter, _), (_, value, _) in zip(parameters([first, second]), fresh, strict=True):
            assert_close(
                parameter, value, f"parameter {key} after init_weights", "a fresh layer's", tolerance=0
            )
        self.assertEqual(own.a, 3.0, "init_weights should reach every layer")

    def test_made_of_layers(self):
        """MLP: is a Layer, so that MLPs nest, and takes any Layer, one of your own too."""
        sequential, mlp = twins("a deep one")
        self.assertIsInstance(mlp, Layer, "an MLP should be a Layer")
        modules, layers = list(sequential), list(twins("a deep one")[1].layers)
        nested_torch = nn.Sequential(nn.Sequential(*modules[:3]), nn.Sequential(*modules[3:8]), *modules[8:])
        nested = MLP([MLP(layers[:3]), MLP(layers[3:8]), *layers[8:]])
        x, g = random_batch(3, 5), random_batch(3, 4, seed=1)
        check_against_torch(nested, nested_torch, x, g)
        self.assertEqual(
            list(nested.state_dict()), list(nested_torch.state_dict()), "the keys of nested MLPs"
        )
        nested.update(0.5)
        torch.optim.SGD(nested_torch.parameters(), lr=0.5).step()
        expected = dict(sequential.named_parameters())
        for key, parameter, _ in parameters(layers):
            assert_close(parameter, expected[key], f"{key} after an update of nested MLPs")

        for nested in (False, True):
            first, own, last = Dense(4, 5), Scale(), Dense(5, 4)
            own.a = 0.5
            w, v = np.array(first.W), np.array(last.W)
            mlp = MLP([MLP([first, Double(), own]), last]) if nested else MLP([first, Double(), own, last])
            case = f" with layers of one's own{' in a nested MLP' if nested else ''}"
            x = random_batch(3, 4)
            doubled = 2 * x @ w.T
            assert_close(mlp.forward(x), 0.5 * doubled @ v.T, "the output" + case, "NumPy's")
            assert_close(mlp.backward(g), g @ v @ w, "dL/dx" + case, "NumPy's")
            mlp.update(0.1)
            assert_close(own.a, 0.5 - 0.1 * np.sum(g @ v * doubled), "a after update" + case, "NumPy's")
            assert_close(first.W, w - 0.1 * (g @ v).T @ x, "the first W after update" + case, "NumPy's")
            assert_close(last.W, v - 0.1 * g.T @ (0.5 * doubled), "the last W after update" + case, "NumPy's")

    def test_errors(self):
        """MLP: calls in the wrong order are RuntimeErrors, wrong shapes ValueErrors that name both."""
        x, g = random_batch(2, 5), random_batch(2, 4)
        check_calls(twins("the handout's")[1], x, g)
        check_calls(twins("one layer")[1], x, g)
        for shape in ((2, 6), (5,), (1, 2, 5)):
            what = f"forward of shape {shape} through a network of 5 inputs"
            assert_names_shapes(lambda s=shape: twins("one layer")[1].forward(np.ones(s)), what, (5,), shape)
        misfit = MLP([Dense(5, 6), Dense(7, 4)])
        assert_names_shapes(lambda: misfit.forward(x), "forward through layers that don't fit", (7,), (2, 6))
        first, second = Dense(5, 6), Dense(6, 4)
        mlp = MLP([first, second])
        assert_raises(RuntimeError, lambda: mlp.update(0.1), "update of a fresh network")
        mlp.forward(x)
        assert_raises(RuntimeError, lambda: mlp.update(0.1), "update between forward and backward")
        assert_close(first.W, Dense(5, 6).W, "W after a refused update", "the one before", tolerance=0)

    def test_dtypes_and_batches(self):
        """MLP: float32 in gives float32 out, float64 in float64 out; an empty batch is a batch."""

        def make_layer(dtype):
            return MLP([Dense(5, 6, dtype=dtype), TanhLayer(), Dense(6, 4, dtype=dtype), SoftmaxLayer()])

        check_dtypes(make_layer, random_batch(3, 5), random_batch(3, 4, seed=1))
        sequential, mlp = twins("the handout's")
        check_against_torch(mlp, sequential, np.empty((0, 5)), np.empty((0, 4)))
        x, g = random_batch(3, 5), random_batch(3, 4, seed=1)
        check_latest_forward_counts(lambda: twins("the handout's")[1], x, g)

    def test_inputs_and_answers(self):
        """MLP: takes any memory layout and tensors, changes nothing it is handed, keeps its answers."""
        x, g = random_batch(3, 5), random_batch(3, 4, seed=1)
        for name in ("a perceptron with ReLU", "the handout's"):
            _, mlp = twins(name)
            check_inputs_unchanged(mlp, x, g)
            check_any_memory(mlp, x, g)
            check_answers_stay(mlp, x, g)

    def test_imports(self):
        """MLP: made of NumPy and q1 alone."""
        check_imports(q2, "q1")


if __name__ == "__main__":
    unittest.main()
