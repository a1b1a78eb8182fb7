"""The strict contract of fashion_mnist.py: what this library promises beyond the handout; no points.

The models are tried in float64 on small made-up data, for which everything can be computed by hand: an
object with ``train_loader``, ``val_loader`` and ``test_loader``, each a list of batches (images
(B, 1, 28, 28), labels (B,)). ``FashionMNIST`` itself is tried on the real set where that is at hand, else
on ``FashionMNIST(dataset="synthetic")``; nothing is downloaded, and no test is skipped.
"""

import math
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from fixtures import USUAL_FOLDERS

import fashion_mnist
from fashion_mnist import CustomMLPFashionMNIST, FashionMNIST, PytorchMLPFashionMNIST
from q1 import Dense, Layer, ReLULayer, SoftmaxLayer
from q2 import MLP

pytestmark = pytest.mark.fast

SMALL = {"hidden_size1": 12, "hidden_size2": 7}
PATTERNS = np.random.RandomState(0).uniform(-1, 1, (10, 1, 28, 28))


def setUpModule():
    """Compute on one thread: for such small networks more of them only get in each other's way."""
    torch.set_num_threads(1)


# ---------------------------------------------------------------------------------------------------
# Data
# ---------------------------------------------------------------------------------------------------


def make_batches(sizes, seed, noise, dtype):
    """Return batches of these sizes: each class has a pattern, its images are that pattern and noise."""
    random = np.random.RandomState(seed)
    batches = []
    for size in sizes:
        labels = random.randint(10, size=size)
        images = (1 - noise) * PATTERNS[labels] + noise * random.uniform(-1, 1, (size, 1, 28, 28))
        batches.append((torch.tensor(images, dtype=dtype), torch.tensor(labels)))
    return batches


def make_data(train=(5, 5, 2), val=(4, 3), test=(6, 1), noise=0.9, dtype=torch.float64):
    """Return made-up data; the batches of each part have the sizes given."""
    return SimpleNamespace(
        train_loader=make_batches(train, 1, noise, dtype),
        val_loader=make_batches(val, 2, noise, dtype),
        test_loader=make_batches(test, 3, noise, dtype),
    )


def find_data():
    """Return what asks for the real Fashion-MNIST where a usual folder has it, else for the made-up set."""
    for folder in USUAL_FOLDERS:
        if folder and fashion_mnist.find_idx_files(Path(folder)):
            return {"dataset": "fashion-mnist", "data_dir": str(folder)}
    return {"dataset": "synthetic"}


DATA = find_data()


def collect(loader):
    """Return all images and all labels of a loader, in its order, as arrays."""
    batches = list(loader)
    if not batches:
        return np.zeros((0, 1, 28, 28)), np.zeros(0, int)
    return tuple(np.concatenate([np.asarray(part) for part in parts]) for parts in zip(*batches, strict=True))


def fingerprints(loader):
    """Return, for each image of a loader in its order, a pair that tells it and its label from others."""
    return [(image.tobytes(), int(label)) for image, label in zip(*collect(loader), strict=True)]


# ---------------------------------------------------------------------------------------------------
# The network by hand, in NumPy and float64
# ---------------------------------------------------------------------------------------------------


def parameters_of(model):
    """Return a copy of a model's parameters by name, as float64 arrays."""
    return {key: np.asarray(value).astype(np.float64) for key, value in model.layers.state_dict().items()}


def pairs(parameters):
    """Return (weight, bias) of each dense layer, first to last."""
    values = list(parameters.values())
    return list(zip(values[::2], values[1::2], strict=True))


def forward_by_hand(parameters, images):
    """Return the probabilities, and the input of each dense layer."""
    x = np.asarray(images, np.float64).reshape(len(images), -1)
    inputs = []
    for W, b in pairs(parameters):
        inputs.append(x)
        z = x @ W.T + b
        x = np.maximum(z, 0)
    z = np.exp(z - z.max(axis=1, keepdims=True))
    return z / z.sum(axis=1, keepdims=True), inputs


def loss_by_hand(parameters, batches):
    """Return the cross-entropy, the mean over every image of the batches."""
    losses = [
        -np.log(forward_by_hand(parameters, images)[0][np.arange(len(labels)), labels])
        for images, labels in batches
    ]
    return np.concatenate(losses).mean()


def accuracy_by_hand(parameters, batches):
    """Return the share of the images of the batches whose likeliest class is their label."""
    right = [forward_by_hand(parameters, images)[0].argmax(1) == labels.numpy() for images, labels in batches]
    return np.concatenate(right).mean()


def step_by_hand(parameters, images, labels, lr):
    """Return the parameters after one step of gradient descent with one batch."""
    probabilities, inputs = forward_by_hand(parameters, images)
    gradient = (probabilities - np.eye(10)[labels]) / len(labels)
    updated = []
    for (W, b), x in zip(reversed(pairs(parameters)), reversed(inputs), strict=True):
        updated = [W - lr * gradient.T @ x, b - lr * gradient.sum(axis=0), *updated]
        gradient = gradient @ W * (x > 0)
    return dict(zip(parameters, updated, strict=True))


def epoch_by_hand(parameters, batches, lr):
    """Return the parameters after a step with each batch, and the mean of each image's loss before its."""
    losses, count = 0.0, 0
    for images, labels in batches:
        losses += len(labels) * loss_by_hand(parameters, [(images, labels)])
        count += len(labels)
        parameters = step_by_hand(parameters, images, labels, lr)
    return parameters, losses / count


def probabilities_of(model, images):
    """Return a model's output for a tensor of images, as an array."""
    with torch.no_grad():
        return np.asarray(model(images if isinstance(model, torch.nn.Module) else images.numpy()))


def make_pytorch(*sizes, **named_sizes):
    """Return a PyTorch model in float64."""
    return PytorchMLPFashionMNIST(*sizes, **named_sizes).double()


def make_custom(*sizes, **named_sizes):
    """Return a custom model in float64."""
    return CustomMLPFashionMNIST(*sizes, **named_sizes, dtype=np.float64)


def make_small(make):
    """Return a small model whose weights are known, so that all turns out as it did here."""
    model, random = make(**SMALL), np.random.RandomState(0)
    model.layers.load_state_dict(
        {
            key: torch.from_numpy(random.normal(0, 1 / math.sqrt(value.shape[-1]), value.shape))
            for key, value in parameters_of(model).items()
        }
    )
    return model


def make_twins(**sizes):
    """Return a PyTorch and a custom model in float64 with the same weights."""
    pytorch, custom = make_pytorch(**sizes), make_custom(**sizes)
    custom.layers.load_state_dict(pytorch.layers.state_dict())
    return pytorch, custom


class Section3(unittest.TestCase):
    """What the tests of section 3 share."""

    def setUp(self):
        torch.manual_seed(0)

    def check_shapes(self, model, shapes):
        found = [value.shape for value in parameters_of(model).values()]
        self.assertEqual(found, shapes, "the shapes of the model's weights and biases, first layer to last")

    def check_is_the_network(self, model):
        """Check the probabilities against those computed by hand from the model's own weights."""
        (images, _), *_ = make_data(train=[9]).train_loader
        expected, _ = forward_by_hand(parameters_of(model), images)
        np.testing.assert_allclose(
            probabilities_of(model, images), expected, rtol=1e-9, err_msg="the model's probabilities"
        )

    def check_epoch(self, model):
        """Check the weights after an epoch against those computed by hand, batch by batch."""
        data = make_data()
        expected, _ = epoch_by_hand(parameters_of(model), data.train_loader, lr=0.3)
        model.train(data, lr=0.3)
        for key, value in parameters_of(model).items():
            np.testing.assert_allclose(
                value, expected[key], rtol=1e-9, atol=1e-12, err_msg=f"{key} after an epoch"
            )

    def check_loss(self, model):
        """Check the loss of an epoch against the one by hand, the mean over all 12 images."""
        data = make_data()
        _, expected = epoch_by_hand(parameters_of(model), data.train_loader, lr=0.3)
        train_loss, _ = model.train(data, lr=0.3)
        self.assertTrue(
            math.isclose(train_loss, expected, rel_tol=1e-9),
            f"the training loss: expected {expected}, the mean over every image, got {train_loss}",
        )

    def check_validation(self, model):
        """Check the validation accuracy of an epoch that changes it against the one by hand."""
        data = make_data(train=[10] * 10, val=[40, 9], noise=0.8)
        before = accuracy_by_hand(parameters_of(model), data.val_loader)
        _, val_accuracy = model.train(data, lr=0.1)
        expected = accuracy_by_hand(parameters_of(model), data.val_loader)
        self.assertGreater(expected, before, "the validation accuracy after the epoch and before it")
        self.assertAlmostEqual(
            val_accuracy, expected, 12, "the share of the validation images that are right after the epoch"
        )

    def check_test(self, model):
        """Check the test accuracy against the one by hand, and that testing changes no weights."""
        data = make_data(train=[10] * 10, val=[30, 9], test=[40, 40, 9], noise=0.8)
        model.train(data, lr=0.1)
        before = parameters_of(model)
        expected = accuracy_by_hand(before, data.test_loader)
        self.assertAlmostEqual(model.test(data), expected, 12, "the share of the test images that are right")
        for key, value in parameters_of(model).items():
            np.testing.assert_array_equal(value, before[key], f"test changed {key}")


class TestData(Section3):
    """FashionMNIST."""

    def test_batches(self):
        """Batches are float32 images (B, 1, 28, 28) from -1 to 1 and int64 labels (B,); the last is short."""
        data = FashionMNIST(batch_size=70, **DATA)
        for name in ("train_loader", "val_loader", "test_loader"):
            sizes = []
            smallest, largest, classes = math.inf, -math.inf, set()
            for images, labels in getattr(data, name):
                self.assertEqual((images.dtype, labels.dtype), (torch.float32, torch.int64), name)
                self.assertEqual(images.shape, (len(labels), 1, 28, 28), f"{name}: the shape of the images")
                self.assertEqual(labels.shape, (len(labels),), f"{name}: the shape of the labels")
                smallest, largest = min(smallest, images.min().item()), max(largest, images.max().item())
                classes.update(labels.tolist())
                sizes.append(len(labels))
            self.assertEqual((smallest, largest), (-1, 1), f"{name}: the smallest and the largest pixel")
            self.assertEqual(classes, set(range(10)), f"{name}: the labels")
            if name == "train_loader":
                self.assertEqual(set(sizes[:-1]), {70}, "the sizes of all training batches but the last")
                self.assertTrue(0 < sizes[-1] < 70, "the last training batch has what is left")

    def test_split(self):
        """A fifth of the training images is set aside for validation, and no image is lost or comes twice."""
        data = FashionMNIST(batch_size=100, **DATA)
        everything = FashionMNIST(batch_size=100, val_perc=0, **DATA)
        train, val, whole = map(fingerprints, (data.train_loader, data.val_loader, everything.train_loader))
        self.assertEqual(len(val), round(0.2 * len(whole)), "the number of validation images")
        self.assertTrue(
            sorted(train + val) == sorted(whole),
            "training and validation images together are not all the images, each of them once",
        )
        if DATA["dataset"] == "fashion-mnist":
            sizes = (len(train), len(val), len(fingerprints(data.test_loader)))
            self.assertEqual(sizes, (48_000, 12_000, 10_000), "images to train, to validate and to test")

    def test_order(self):
        """Training images are shuffled anew each epoch; split and orders are the same every time."""
        first, second = (FashionMNIST(batch_size=100, **DATA) for _ in range(2))
        epochs = [fingerprints(first.train_loader) for _ in range(2)]
        self.assertTrue(epochs[0] != epochs[1], "the first two epochs have the images in the same order")
        self.assertTrue(sorted(epochs[0]) == sorted(epochs[1]), "the first two epochs have other images")
        again = [fingerprints(second.train_loader) for _ in range(2)]
        self.assertTrue(again == epochs, "a second FashionMNIST has the training images in other orders")
        self.assertTrue(
            fingerprints(first.val_loader) == fingerprints(second.val_loader),
            "a second FashionMNIST has other validation images",
        )

    def test_no_validation(self):
        """With val_perc=0 every image is there to train with, and the validation set is empty."""
        data = FashionMNIST(batch_size=100, val_perc=0, **DATA)
        usual = FashionMNIST(batch_size=100, **DATA)
        self.assertEqual(len(collect(data.val_loader)[1]), 0, "the number of validation images")
        expected = len(collect(usual.train_loader)[1]) + len(collect(usual.val_loader)[1])
        self.assertEqual(len(collect(data.train_loader)[1]), expected, "the number of training images")


class TestArchitecture(Section3):
    """The two networks."""

    shapes = ((256, 784), (256,), (128, 256), (128,), (10, 128), (10,))

    def test_pytorch(self):
        """The PyTorch model is 784-256-128-10 with ReLU in between and softmax at the end."""
        model = make_pytorch()
        self.assertIsInstance(model, torch.nn.Module)
        self.check_shapes(model, list(self.shapes))
        self.check_is_the_network(model)

    def test_custom(self):
        """The custom model is the same network, and made of the layers of q1 and q2 alone."""
        model = make_custom()
        self.assertIsInstance(model, Layer)
        self.assertIsInstance(model.layers, MLP)
        self.assertEqual(
            [type(layer) for layer in model.layers],
            [Dense, ReLULayer, Dense, ReLULayer, Dense, SoftmaxLayer],
            "the layers of the custom model",
        )
        self.check_shapes(model, list(self.shapes))
        self.check_is_the_network(model)

    def test_exchange(self):
        """Either model takes the other's state dict, and gives the same probabilities then; they sum to 1."""
        (images, _), *_ = make_data(train=[20]).train_loader
        for source, target in ((make_pytorch(), make_custom()), (make_custom(), make_pytorch())):
            self.assertEqual(list(source.layers.state_dict()), list(target.layers.state_dict()))
            before = probabilities_of(target, images)
            target.layers.load_state_dict(source.layers.state_dict())
            expected, found = (probabilities_of(model, images) for model in (source, target))
            self.assertFalse(np.allclose(before, expected), "the models began with different weights")
            np.testing.assert_allclose(found, expected, rtol=1e-9, err_msg="the two models' probabilities")
            np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-12, err_msg="the sums of the rows")

    def test_sizes(self):
        """Every size can be chosen, and hidden_size2=None leaves the second hidden layer out."""
        for make in (make_pytorch, make_custom):
            self.check_shapes(make(hidden_size1=8), [(8, 784), (8,), (128, 8), (128,), (10, 128), (10,)])
            self.check_shapes(make(hidden_size2=16), [(256, 784), (256,), (16, 256), (16,), (10, 16), (10,)])
            self.check_shapes(make(9, 4, 3, 2), [(4, 9), (4,), (3, 4), (3,), (2, 3), (2,)])
            model = make(hidden_size2=None)
            self.check_shapes(model, [(256, 784), (256,), (10, 256), (10,)])
            self.check_is_the_network(model)


class TestTraining(Section3):
    """One epoch of ``train``, and several."""

    def test_returns(self):
        """Training for an epoch returns two floats, the training loss and the validation accuracy."""
        data = make_data(dtype=torch.float32)
        for model in (PytorchMLPFashionMNIST(**SMALL), CustomMLPFashionMNIST(**SMALL)):
            result = model.train(data, lr=0.002)
            self.assertEqual(len(result), 2, f"{type(model).__name__}.train returned {result!r}")
            for value in result:
                self.assertIsInstance(value, float, f"{type(model).__name__}.train returned {result!r}")
            self.assertTrue(result[0] > 0 and 0 <= result[1] <= 1, f"train returned {result!r}")

    def test_epoch_pytorch(self):
        """An epoch of the PyTorch model takes a plain SGD step with each batch, equal to one by hand."""
        self.check_epoch(make_small(make_pytorch))

    def test_epoch_custom(self):
        """An epoch of the custom model takes a plain SGD step with each batch, equal to one by hand."""
        self.check_epoch(make_small(make_custom))

    def test_loss_pytorch(self):
        """The PyTorch model's training loss is the mean over all images, those of a short last batch too."""
        self.check_loss(make_small(make_pytorch))

    def test_loss_custom(self):
        """The custom model's training loss is the mean over all images, those of a short last batch too."""
        self.check_loss(make_small(make_custom))

    def test_same_curves(self):
        """From the same weights, both models have the same losses and validation accuracies for 5 epochs."""
        data = make_data(train=[8] * 6 + [3], val=[30, 7], noise=0.7)
        pytorch, custom = make_twins(hidden_size1=32, hidden_size2=16)
        curves = {
            name: np.array([model.train(data, lr=0.1) for _ in range(5)])
            for name, model in (("pytorch", pytorch), ("custom", custom))
        }
        for column, quantity in enumerate(("training losses", "validation accuracies")):
            np.testing.assert_allclose(
                curves["custom"][:, column], curves["pytorch"][:, column], rtol=1e-9, err_msg=quantity
            )
        self.assertEqual(len(set(curves["pytorch"][:, 0])), 5, "the loss changes from epoch to epoch")

    def test_validation_pytorch(self):
        """The PyTorch model's validation accuracy counts the validation images that are right afterwards."""
        self.check_validation(make_small(make_pytorch))

    def test_validation_custom(self):
        """The custom model's validation accuracy counts the validation images that are right afterwards."""
        self.check_validation(make_small(make_custom))

    def test_learning(self):
        """On a small easy set both models' losses fall and their validation accuracies rise above 0.9."""
        sizes = {"hidden_size1": 64, "hidden_size2": 32}
        data = make_data(train=[10] * 40, val=[100], noise=0.5, dtype=torch.float32)
        for model in (PytorchMLPFashionMNIST(**sizes), CustomMLPFashionMNIST(**sizes)):
            losses, accuracies = zip(*(model.train(data, lr=0.05) for _ in range(5)), strict=True)
            name = type(model).__name__
            self.assertEqual(list(losses), sorted(losses, reverse=True), f"{name}'s losses")
            self.assertGreater(accuracies[-1], 0.9, f"{name}'s validation accuracies: {accuracies}")

    def test_fashion_mnist(self):
        """After one epoch of FashionMNIST both models recognise most of the validation and test images."""
        data = FashionMNIST(batch_size=16, **DATA)
        for model in (PytorchMLPFashionMNIST(), CustomMLPFashionMNIST()):
            name = type(model).__name__
            _, val_accuracy = model.train(data, lr=0.02)
            self.assertGreater(val_accuracy, 0.7, f"{name}'s validation accuracy")
            self.assertGreater(model.test(data), 0.7, f"{name}'s test accuracy")

    def test_switch(self):
        """The PyTorch model's train(True), train(False) and eval() still switch, as in every nn.Module."""
        model = PytorchMLPFashionMNIST(**SMALL)
        for switch, expected in (
            (lambda: model.eval(), False),
            (lambda: model.train(True), True),
            (lambda: model.train(False), False),
        ):
            self.assertIs(switch(), model, "the switch returns the model")
            self.assertEqual({module.training for module in model.modules()}, {expected})


class TestTesting(Section3):
    """``test``."""

    def test_pytorch(self):
        """The PyTorch model's test returns the share of the test images that it gets right."""
        self.check_test(make_small(make_pytorch))

    def test_custom(self):
        """The custom model's test returns the share of the test images that it gets right."""
        self.check_test(make_small(make_custom))


class TestPlot(Section3):
    """``plot``."""

    losses = (2.25, 1.5, 0.75)
    accuracies = (0.25, 0.5, 0.625)

    def setUp(self):
        super().setUp()
        plt.close("all")
        self.addCleanup(plt.close, "all")
        with mock.patch.object(plt, "show"):
            fashion_mnist.plot(list(self.losses), list(self.accuracies), title="How it went")
        self.figures = [plt.figure(number) for number in plt.get_fignums()]
        self.axes = [axes for figure in self.figures for axes in figure.axes]

    def test_labels(self):
        """The curves have the title that was asked for, and a title and labels of both axes each."""
        self.assertTrue(self.axes, "plot drew nothing")
        titles = [axes.get_title() for axes in self.axes] + [figure.get_suptitle() for figure in self.figures]
        self.assertTrue(any("How it went" in title for title in titles), f"found the titles {titles}")
        for axes in self.axes:
            for text in (
                axes.get_title() or axes.figure.get_suptitle(),
                axes.get_xlabel(),
                axes.get_ylabel(),
            ):
                self.assertTrue(text.strip(), "one of the axes has no title, or one of its labels is missing")

    def test_curves(self):
        """One curve shows the training loss and another the validation accuracy of each epoch."""
        curves = [tuple(map(float, line.get_ydata())) for axes in self.axes for line in axes.lines]
        self.assertIn(self.losses, curves, "the curve of the training losses")
        self.assertIn(self.accuracies, curves, "the curve of the validation accuracies")


if __name__ == "__main__":
    unittest.main()
