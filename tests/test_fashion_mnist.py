"""Graded tests of section 3, ``fashion_mnist.py``: 35 points.

They ask for what the handout asks for, however a solution does it. A model is given known weights and
small made-up data, in loaders like those of ``FashionMNIST``, and compared with the same network in PyTorch
and float64. The tests see the models from outside alone: they may live in another process, behind proxies.
"""

import functools
import gzip
import hashlib
import inspect
import itertools
import math
import os
import time
import unittest
import warnings
import zlib
from collections import Counter
from pathlib import Path

import adapters
import numpy as np
import probe
import torch
from gradescope_utils.autograder_utils.decorators import leaderboard, number, visibility, weight
from networks import (
    Reference,
    draw_case,
    draw_clear_images,
    draw_images,
    in_batches,
    joined,
    softmax_twice,
    train_reference,
)
from torch import nn
from torch.nn.utils import parameters_to_vector

import fashion_mnist
import q1
from autograder import checks
from autograder.checks import CheckError

PYTORCH, CUSTOM = "PytorchMLPFashionMNIST", "CustomMLPFashionMNIST"
HANDOUT = (784, 256, 128, 10)  # the network's sizes
SMALL = (784, 12, 7, 10)
MIDDLE = (784, 32, 16, 10)

CASES = 3  # of an accuracy: one of 40 images is another one by chance too often

SOFTMAX_TWICE = (
    "softmax is applied twice: once in the model and again in a loss such as `nn.CrossEntropyLoss`, "
    "which wants the values before the softmax"
)
COUNT = "this is the number of images that are right: divide by the number of images"
MOMENTUM = "there is momentum: plain SGD is asked for"
ADDING_UP = "the gradients of all batches add up: set them to zero before each `backward`"


def require(condition, what, *details, **options):
    """Raise a CheckError, with these options of its, unless the condition holds."""
    if not condition:
        raise CheckError(what, *details, **options)


def require_custom_model():
    """Check that somebody has begun to write the custom model; what is wrong with it is for its own tests.

    The data, PyTorch's model and the figures are handed out. As long as nothing is written they earn nothing.
    """
    model = None
    try:
        model = make(CUSTOM)
        begun = outputs_of(CUSTOM, model, draw_images(2, 18)[0]).dtype != object  # as None becomes
    except Exception as error:
        kind = (
            getattr(error, "name", None) or type(error).__name__
        )  # what it is called in the student's process
        begun = kind != "NotImplementedError" and (model is None or bool(probe.find_dense_layers(model)))
    require(
        begun,
        f"`{CUSTOM}` is not written yet: section 3 has points only once it is",
        "nothing that is handed out earns points by itself",
    )


class Section3(unittest.TestCase):
    """What all tests of section 3 share."""

    def setUp(self):
        torch.set_num_threads(1)  # for such small networks more of them only get in each other's way
        quiet = warnings.catch_warnings()
        quiet.__enter__()
        self.addCleanup(quiet.__exit__, None, None, None)
        warnings.simplefilter("ignore")  # one about worker processes, say, costs nothing
        require_custom_model()


# ---------------------------------------------------------------------------------------------------
# FashionMNIST
# ---------------------------------------------------------------------------------------------------

LOADERS = {
    "training": ("train_loader", "training_loader", "trainloader"),
    "validation": ("val_loader", "valid_loader", "validation_loader", "valloader"),
    "test": ("test_loader", "testing_loader", "testloader"),
}
SIZES = {"training": 48_000, "validation": 12_000, "test": 10_000}
TEST_LABELS_SUM = "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"  # of the real ones


def find_data():
    """Return the folder with the data set's files that the submission finds, or None."""
    usual = (os.environ.get("FASHION_MNIST_DIR"), "data", "/usr/share/datasets/fashion-mnist")
    for folder in (checks.submission_data, *usual):
        for place in (Path(folder), Path(folder, "FashionMNIST", "raw")) if folder else ():
            if any(place.glob("t10k-labels-idx1-ubyte*")):
                return place
    return None


def read_file(folder, name):
    """Return the bytes of one of the data set's files, which may be gzipped; else they stay on the disk."""
    path = folder / name
    if path.is_file():
        return np.memmap(path, mode="r")
    return np.frombuffer(gzip.decompress(Path(f"{path}.gz").read_bytes()), np.uint8)


def read_images(folder, part):
    """Return the images, (n, 784), and the labels of "train" or "t10k"."""
    images = read_file(folder, f"{part}-images-idx3-ubyte")[16:]
    return images.reshape(-1, 784), read_file(folder, f"{part}-labels-idx1-ubyte")[8:]


def takes_own_data():
    """Say whether FashionMNIST is to take a made-up set of its own, as the real one is not at hand.

    Isolated it never does: what it yields is compared with what it was given.
    """
    known = inspect.signature(fashion_mnist.FashionMNIST).parameters
    if checks.submission_data is not None or "dataset" not in known:
        return False
    folder = find_data()
    if folder is None:
        return True
    labels = read_file(folder, "t10k-labels-idx1-ubyte")
    return hashlib.sha256(labels).hexdigest() != TEST_LABELS_SUM


def open_dataset(batch_size):
    """Return a FashionMNIST of the submission."""
    given = {"val_perc": 0.2, "dataset": "synthetic"}  # the second, and check_sums, as the reference has it
    if not takes_own_data():
        del given["dataset"]
        given["check_sums"] = checks.submission_data is None
    known = inspect.signature(fashion_mnist.FashionMNIST).parameters
    try:
        return fashion_mnist.FashionMNIST(
            batch_size, **{name: given[name] for name in given if name in known}
        )
    except (OSError, RuntimeError) as error:  # a download that fails is one or the other
        raise CheckError(
            "`FashionMNIST` does not load the data set",
            "nothing can be downloaded here: the files are in the folder `./data`, as torchvision lays them "
            "out, and `torchvision.datasets.FashionMNIST` finds them whatever its root",
            code=checks.trace_of(error),
        ) from None


def loader_of(dataset, part):
    """Return one of a FashionMNIST's loaders."""
    for name in LOADERS[part]:
        if hasattr(dataset, name):
            return getattr(dataset, name)
    raise CheckError(f"`FashionMNIST` has no `{LOADERS[part][0]}`")


def fingerprints(images):
    """Return a number for each image that tells it from others, however they are scaled."""
    numbers = []
    for part in np.array_split(images, len(images) // 1000 + 1):  # all as floats take too much memory
        pixels = part.reshape(len(part), -1).astype(np.float32)
        rising = np.packbits(np.diff(pixels) > 0, axis=1)
        numbers += [zlib.crc32(row.tobytes()) for row in rising]
    return np.array(numbers)


def collect(loader):
    """Return the fingerprints and the labels of all images of a loader."""
    parts = [(fingerprints(np.asarray(images)), np.asarray(labels)) for images, labels in loader]
    return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))


def overlapping(parts):
    """Return how many images are in more than one part of the data, given the fingerprints of each."""
    first, *others = (Counter(images.tolist()) for images, _ in parts.values())
    return sum((first & other).total() for other in others)


def count_missing(expected, found):
    """Return how many of the values expected, each as often as it comes, are not found."""
    return (Counter(expected) - Counter(found)).total()


class TestData(Section3):
    """FashionMNIST, 6 points."""

    @weight(2)
    @number("3.1")
    @visibility("visible")
    def test_batches(self):
        """FashionMNIST: batches are scaled float images (B, 1, 28, 28) and int64 labels (B,)."""
        dataset = open_dataset(70)
        for part in LOADERS:
            pixels = []
            for images, labels in itertools.islice(loader_of(dataset, part), 3):
                for name, tensor, shape in (("images", images, (70, 1, 28, 28)), ("labels", labels, (70,))):
                    require(
                        isinstance(tensor, torch.Tensor) and tuple(tensor.shape) == shape,
                        f"The {part} {name} of a batch of 70 should be a tensor of shape {shape}",
                        f"got {type(tensor).__name__} of shape {np.shape(tensor)}",
                    )
                require(
                    images.dtype.is_floating_point and labels.dtype == torch.int64,
                    f"The {part} images should be floats, and the labels int64",
                    f"got {images.dtype} and {labels.dtype}",
                )
                require(
                    set(labels.tolist()) <= set(range(10)),
                    f"The {part} labels should be from 0 to 9",
                    f"got {sorted(set(labels.tolist()))}",
                )
                pixels.append(images)
            pixels = torch.cat(pixels)
            if part == "test" and not takes_own_data():
                known = set(fingerprints(read_images(find_data(), "t10k")[0]).tolist())
                require(
                    known.issuperset(fingerprints(pixels.numpy()).tolist()),
                    "The test images are none of the file `t10k-images-idx3-ubyte`",
                )
            lowest, highest = pixels.min().item(), pixels.max().item()
            # [0, 1] is as good, and so are pixels with the mean 0 and the variance 1.
            require(
                -3 <= lowest <= highest - 0.9 <= 3 - 0.9,
                f"The {part} pixels should be scaled to [-1, 1]",
                f"they go from {lowest:g} to {highest:g}",
                bug="the pixels are left as they are, from 0 to 255" if highest > 200 else "",
            )

    @weight(2)
    @number("3.2")
    @visibility("visible")
    def test_split(self):
        """FashionMNIST: 48,000 images to train and 12,000 to validate; none is lost or comes twice."""
        self.check_images("train", ("training", "validation"))

    @weight(2)
    @number("3.3")
    @visibility("visible")
    def test_test_images(self):
        """FashionMNIST: the test set is the 10,000 test images."""
        self.check_images("t10k", ("test",))

    def check_images(self, file, parts):
        """Compare what loaders yield with what is in the files; each image is loaded only once for this."""
        dataset = open_dataset(500)
        found = {part: collect(loader_of(dataset, part)) for part in parts}
        images, labels = (np.concatenate(arrays).tolist() for arrays in zip(*found.values(), strict=True))
        if takes_own_data():
            sizes = {"training": 0.8 * len(images), "validation": 0.2 * len(images), "test": len(images)}
            expected, expected_labels = set(images), None
        else:
            sizes = SIZES
            files, file_labels = read_images(find_data(), file)
            expected, expected_labels = fingerprints(files).tolist(), file_labels.tolist()
        for part in parts:
            size, got = round(sizes[part]), len(found[part][1])
            all_train = part == "training" and got == 5 * len(found["validation"][1])
            require(
                got == size,
                f"The {part} set should have {size:,} images",
                f"got {got:,}",
                bug="the validation images are not taken away from those to train with" if all_train else "",
            )
        missing = count_missing(expected, images) + len(images) - len(expected)
        require(
            missing == 0,
            f"{missing:,} images of the file `{file}-images-idx3-ubyte` are missing, and others come instead",
            bug="the training and the validation set overlap" if overlapping(found) >= missing else "",
        )
        if expected_labels:
            pairs = zip(expected, expected_labels, strict=True), zip(images, labels, strict=True)
            wrong = count_missing(*pairs)
            require(wrong == 0, f"{wrong:,} images come with a wrong label")


# ---------------------------------------------------------------------------------------------------
# The submission's models
# ---------------------------------------------------------------------------------------------------


def make(name, sizes=None):
    """Return a model of the submission, of these sizes or by default of its own."""
    model_class = getattr(fashion_mnist, name)
    parameters = inspect.signature(model_class).parameters
    if sizes is None and not any(is_required(parameter) for parameter in parameters.values()):
        return model_class()
    names = ("input_size", "hidden_size1", "hidden_size2", "output_size")
    given = dict(zip(names, sizes or HANDOUT, strict=True))
    if {"hidden_size1", "hidden_size2"} <= parameters.keys():
        return model_class(**{name: size for name, size in given.items() if name in parameters})
    return model_class(*given.values())


def is_required(parameter):
    """Say whether a function can't be called without this parameter."""
    variable = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and parameter.kind not in variable


def make_like(network, name):
    """Return a model of the submission with the sizes and the weights of a network."""
    model = make(name, network.sizes)
    read(name, model, network.sizes)
    write(name, model, network)
    return model


def parameters_of(name, model):
    """Return the arrays that a model learns."""
    if name == PYTORCH:
        return [np.asarray(parameter.detach()) for parameter in model.parameters()]
    layers = probe.find_dense_layers(model)
    require(layers, f"`{name}` should be made of your layers", "no `Dense` of `q1.py` was found in it")
    return [array for layer in layers for array in adapters.parameters(layer)]


def fitted(array, shape):
    """Return weights or a bias in PyTorch's shape, whichever way they lie; None if they are others."""
    if array.shape in (shape, (1, *shape)):
        return array.reshape(shape)
    return array.T if array.shape == shape[::-1] else None


def read(name, model, sizes):
    """Return the network with a model's own weights, wherever it keeps them; refuse other sizes."""
    network = Reference(sizes)
    arrays = parameters_of(name, model)
    shapes = [tuple(parameter.shape) for parameter in network.parameters()]
    for parameter, shape in zip(network.parameters(), shapes, strict=True):
        found = [array for array in arrays if fitted(array, shape) is not None]
        require(
            len(found) == 1 and len(arrays) == len(shapes),
            f"The layers of `{name}` have the wrong sizes: {network} is asked for here",
            f"expected weights and biases of the shapes {', '.join(map(str, shapes))}",
            f"found {', '.join(str(array.shape) for array in arrays)}",
        )
        parameter.data.copy_(torch.tensor(fitted(found[0], shape)))
    return network


def write(name, model, network):
    """Give a model the weights of a network of the same sizes."""
    if name == CUSTOM:
        dense = {layer.weight.shape: layer for layer in network if isinstance(layer, nn.Linear)}
        for layer in probe.find_dense_layers(model):
            linear = dense[adapters.parameters(layer)[0].shape]
            adapters.set_parameters(layer, linear.weight.detach(), linear.bias.detach())
        return
    state = model.state_dict()
    for key, tensor in state.items():
        for parameter in network.parameters():
            values = fitted(parameter.detach().numpy(), tuple(tensor.shape))
            if values is not None:
                state[key] = torch.tensor(values, dtype=tensor.dtype)
    model.load_state_dict(state)


def require_own_layers():
    """Check that the custom model needs its ``Dense`` objects for what it answers and learns.

    A PyTorch model in their place gives the right numbers as well. So their ``forward``, then their
    ``backward`` is made to answer with zeros: right numbers are then no work of theirs.
    """
    sizes, lr = (784, 4, 3, 10), 0.5
    network, batches, trained, _ = draw_case(sizes, 15, count=6, size=3, lr=lr)
    images, labels = joined(batches)
    advice = "the handout wants all the components that you worked on, and only those"
    right = network.probabilities(images)
    answers = probe.outputs_without_forward(make_like(network, CUSTOM), images, images.flatten(1))
    require(
        not any(checks.is_close(checks.detached(answer), right) for answer in answers),
        f"`{CUSTOM}` does not use the `forward` of its `Dense` layers",
        "it gives the same output when they return zeros",
        advice,
        suspicious=True,
    )
    model = make_like(network, CUSTOM)
    uses_autograd = probe.train_without_backward(model, make_data(3, (images, labels)), lr)
    learned = parameters_to_vector(read(CUSTOM, model, sizes).parameters())
    require(
        not checks.is_close(learned.detach(), parameters_to_vector(trained.parameters()).detach()),
        f"`{CUSTOM}` does not use the `backward` of its `Dense` layers",
        "it learns the same when they return zeros",
        advice,
        suspicious=True,
    )
    lets_compute = f"`{CUSTOM}.train` lets PyTorch compute the gradients"
    require(not uses_autograd, lets_compute, advice, suspicious=True)


def outputs_of(name, model, images):
    """Return a model's output for a batch of images, which ``forward`` may want in one form or another."""
    flat = images.flatten(1)
    forms = (images, flat) if name == PYTORCH else (images.numpy(), flat.numpy(), images, flat)
    for form in forms:
        try:
            output = model.forward(form)
        except Exception as raised:
            error = raised
        else:
            return np.asarray(output.detach() if isinstance(output, torch.Tensor) else output)
    raise error


def as_number(value, what):
    """Return a number, which may come as an array or a tensor of one."""
    array = checks.as_array(value, what)
    require(array.size == 1, f"{what} should be a number", f"got an array of shape {array.shape}")
    return array.item()


def as_share(value, what):
    """Return an accuracy as a share of 1; the handout leaves open whether it is in percent."""
    accuracy = as_number(value, what)
    require(
        0 <= accuracy <= 100,
        f"{what} should be from 0 to 1, or a percentage",
        f"got {accuracy}",
        bug=COUNT if accuracy > 100 and accuracy == int(accuracy) else "",
    )
    return accuracy / 100 if accuracy > 1.001 else accuracy


def make_data(size, training, validation=None, test=None):
    """Return data to train with, in batches of this size; where a part doesn't matter it is any images."""
    spare = draw_images(2 * size, 14)
    parts = {"training": training, "validation": validation or spare, "test": test or spare}
    return probe.make_data(size, parts, LOADERS)


def train(model, data, lr):
    """Train a model for an epoch, and return the loss and the accuracy."""
    result = probe.train(model, data, lr)
    require(
        isinstance(result, (tuple, list)) and len(result) == 2,
        "`train` should return two numbers, `(train_loss, val_accuracy)`",
        f"got {result!r:.80}",
    )
    return as_number(result[0], "The training loss"), as_share(result[1], "The validation accuracy")


class TestModel(Section3):
    """What is asked of either model; the tests below name the model."""

    def check_network(self, name, model, sizes):
        """Check sizes and probabilities, with weights of which none are zero."""
        read(name, model, sizes)
        network = Reference(sizes).draw(1)
        write(name, model, network)
        images, _ = draw_images(9, 1)
        expected = network.probabilities(images)
        output = outputs_of(name, model, images)
        logits = network(images).detach()
        if name == PYTORCH and output.shape == expected.shape:
            with_softmax = torch.softmax(torch.tensor(output), 1)
            if checks.is_close(with_softmax, expected):
                return  # as good: what nn.CrossEntropyLoss, which has the softmax, or nn.NLLLoss want
        checks.assert_close(
            output,
            expected,
            f"The output of `{name}`, class probabilities",
            suspects={
                "the softmax at the end is missing": logits,
                "softmax is applied twice": torch.softmax(torch.tensor(expected), 1),
                "softmax goes over the batch: it should go over the classes": torch.softmax(logits, 0),
                "there is a ReLU right before the softmax: leave it out": torch.softmax(logits.relu(), 1),
                "the ReLU layers are missing": network.with_activation(nn.Identity).probabilities(images),
                "there is tanh where the handout has ReLU": network.with_activation(nn.Tanh).probabilities(
                    images
                ),
            },
        )

    def check_sizes(self, name):
        """Check other sizes; how to leave out the second hidden layer is the student's choice."""
        for sizes in ((784, 8, 128, 10), (784, 256, 16, 10), (784, 5, 3, 10)):
            self.check_network(name, make(name, sizes), sizes)

    def check_epoch(self, name, count=15, size=5, lr=0.2):
        """Check how an epoch of training changes the weights."""
        network, batches, trained, _ = draw_case(SMALL, 3, count=count, size=size, lr=lr)
        model = make_like(network, name)
        probe.train(model, make_data(size, joined(batches)), lr)
        bugs = {
            SOFTMAX_TWICE: {"criterion": softmax_twice},
            "the loss is summed over the batch: take the mean": {"lr": lr * size},
            "the gradient is divided by the batch size twice": {"lr": lr / size},
            ADDING_UP: {"zero_grad": False},
            "the step goes up the gradient: subtract the learning rate times the gradient": {
                "maximize": True
            },
            MOMENTUM: {"momentum": 0.9},
            "the steps are Adam's: plain SGD is asked for": {"optimizer": torch.optim.Adam},
            "`train` changes no weights": {"batches": []},
            "only the weights learn: the biases should too": {"frozen": (1, 3, 5)},
            "only the biases learn: the weights should too": {"frozen": (0, 2, 4)},
            "only the last layer learns: hand its `backward` on to the others": {"frozen": (0, 1, 2, 3)},
            "the first layer does not learn": {"frozen": (0, 1)},
            "the second layer does not learn": {"frozen": (2, 3)},
            "the last layer does not learn": {"frozen": (4, 5)},
            "only the first batch is trained on": {"batches": batches[:1]},
            "only the last batch is trained on": {"batches": batches[-1:]},
            "the last batch is left out": {"batches": batches[:-1]},
            "`train` goes through the data twice: it should be one epoch": {"batches": 2 * batches},
            "the learning rate that `train` is handed is not used": {"lr": 0.002},
        }
        before, expected = (parameters_to_vector(each.parameters()) for each in (network, trained))
        actual = parameters_to_vector(read(name, model, SMALL).parameters())
        wrong = {
            bug: train_reference(network, **{"batches": batches, "lr": lr, **changes})[0]
            for bug, changes in bugs.items()
        }
        checks.assert_close(
            (actual - before).detach(),
            (expected - before).detach(),
            f"What an epoch of `{name}.train` changes in all weights and biases, as one vector,",
            tolerance=1e-3,
            scale=0,
            suspects={
                bug: (parameters_to_vector(other.parameters()) - before).detach()
                for bug, other in wrong.items()
            },
        )

    def check_loss(self, name, size=5, lr=0.2):
        """Check the training loss: the mean while training or, as good, the mean over all images after."""
        network, batches, trained, losses = draw_case(SMALL, 4, count=25, size=size, lr=lr)
        validation = draw_images(4 * size, 4)
        data = make_data(size, joined(batches), validation)
        loss, _ = train(make_like(network, name), data, lr)
        accuracy = trained.accuracy(*validation)
        _, twice, _ = train_reference(network, batches, lr, criterion=softmax_twice)
        if checks.is_close(loss, trained.loss(*joined(batches)), tolerance=1e-3):
            return
        checks.assert_close(
            loss,
            np.mean(losses),
            f"The training loss that `{name}.train` returns, the mean over the epoch,",
            tolerance=1e-3,
            scale=0,
            suspects={
                "this is the loss of the last batch: take the mean over all": losses[-1],
                "this is the loss of the first batch: take the mean over all": losses[0],
                "this is the sum over the batches: divide by their number": np.sum(losses),
                "this is the sum over the images: divide by their number": np.sum(losses) * size,
                "the sum of the batches' losses, which are means already, is divided by the number of "
                "images: divide by the number of batches": np.mean(losses) / size,
                SOFTMAX_TWICE: np.mean(twice),
                "the accuracy comes first: it should be the loss": (accuracy, 100 * accuracy),
            },
        )

    def check_epochs(self, name, size=8, lr=0.1, epochs=3):
        """Check the losses of several epochs in a row."""
        network, batches, _, _ = draw_case(SMALL, 5, count=56, size=size, lr=lr)
        data, model = make_data(size, joined(batches)), make_like(network, name)
        found = np.array([train(model, data, lr)[0] for _ in range(epochs)])
        afterwards, current = [], network
        for _ in range(epochs):
            current, _, _ = train_reference(current, batches, lr)
            afterwards.append(current.loss(*joined(batches)))
        if checks.is_close(found, afterwards, tolerance=1e-2):
            return

        def losses(**changes):
            of_batches = train_reference(network, epochs * batches, lr, **changes)[1]
            return np.reshape(of_batches, (epochs, -1)).mean(axis=1)

        checks.assert_close(
            found,
            losses(),
            f"The training losses of {epochs} epochs of `{name}.train` in a row",
            tolerance=1e-2,
            scale=0,
            suspects={
                "each epoch begins with new weights: go on with those there are": np.full(epochs, found[-1]),
                MOMENTUM: losses(momentum=0.9),
                ADDING_UP: losses(zero_grad=False),
                SOFTMAX_TWICE: losses(criterion=softmax_twice),
            },
        )

    def check_validation(self, name, size=10, lr=0.1):
        """Check the validation accuracies of epochs that change them."""
        with checks.Comparison() as compare:
            for case in range(CASES):
                for attempt in itertools.count():
                    key = case, attempt
                    network, batches, trained, _ = draw_case(SMALL, 6, *key, count=100, size=size, lr=lr)
                    validation = draw_clear_images(40, trained, 7, *key)
                    test = draw_clear_images(30, trained, 8, *key)
                    before, after = network.accuracy(*validation), trained.accuracy(*validation)
                    if 0.1 < before < after - 0.05 < 0.9:
                        break
                data = make_data(size, joined(batches), validation, test)
                _, accuracy = train(make_like(network, name), data, lr)
                self.check_accuracy(
                    compare,
                    accuracy,
                    f"The validation accuracy that `{name}.train` returns",
                    trained,
                    size,
                    validation,
                    {
                        "this is the accuracy before the epoch: measure it afterwards": before,
                        "this is the accuracy on the training images": trained.accuracy(*joined(batches)),
                        "this is the accuracy on the test images": trained.accuracy(*test),
                    },
                )

    def check_test(self, name, size=10):
        """Check test accuracies, and that testing changes no weights."""
        with checks.Comparison() as compare:
            for case in range(CASES):
                for attempt in itertools.count():
                    key = case, attempt
                    training = draw_images(200, 9, *key)
                    network, _, _ = train_reference(
                        Reference(SMALL).draw(9, *key), 3 * in_batches(*training, size), 0.1
                    )
                    network.round()
                    validation, test = (draw_clear_images(n, network, 10, *key, n) for n in (30, 40))
                    if 0.1 < network.accuracy(*test) < 0.9:
                        break
                model = make_like(network, name)
                accuracy = as_share(
                    model.test(make_data(size, training, validation, test)), f"What `{name}.test` returns"
                )
                self.check_accuracy(
                    compare,
                    accuracy,
                    f"The accuracy that `{name}.test` returns",
                    network,
                    size,
                    test,
                    {
                        "this is the accuracy on the validation images": network.accuracy(*validation),
                        "this is the accuracy on the training images": network.accuracy(*training),
                    },
                )
                for old, new in zip(network.parameters(), read(name, model, SMALL).parameters(), strict=True):
                    require(torch.equal(old, new), f"`{name}.test` changes the weights: it should only look")

    def check_accuracy(self, compare, accuracy, what, network, size, images, suspects):
        """Check an accuracy, which may have been rounded."""
        expected = network.accuracy(*images)
        compare(
            accuracy,
            expected,
            what,
            tolerance=0.006,
            scale=1,
            suspects={
                **suspects,
                "this is the share of images that are wrong": 1 - expected,
                COUNT: expected * len(images[1]) / 100,  # taken for a percentage
                "only the last batch counts": network.accuracy(*(part[-size:] for part in images)),
                "only the first batch counts": network.accuracy(*(part[:size] for part in images)),
            },
        )

    def check_returns(self, name):
        """Check what kind of answer an epoch of training gives, and that it is no constant."""
        losses = [
            train(make(name, SMALL), make_data(5, draw_images(20, 11, key)), 0.002)[0] for key in (1, 2)
        ]
        for loss in losses:
            require(0 < loss < math.inf, "The training loss should be a finite number above 0", f"got {loss}")
        require(
            losses[0] != losses[1],
            f"`{name}.train` returns the same loss for different weights and different images",
            f"got {losses[0]} both times",
        )

    def check_learning(self, name):
        """Check that a few epochs on easy images teach a fresh model; return the seconds of an epoch."""
        training, validation = draw_images(400, 12, noise=0.5), draw_images(100, 13, noise=0.5)
        data, model = make_data(10, training, validation), make(name, MIDDLE)
        began = time.perf_counter()
        losses, accuracies = zip(*(train(model, data, 0.05) for _ in range(5)), strict=True)
        seconds = (time.perf_counter() - began) / 5
        require(
            losses[-1] < 0.8 * losses[0] and accuracies[-1] > 0.7,
            f"`{name}` does not learn to tell easy images apart in 5 epochs",
            f"training losses {', '.join(f'{loss:.4g}' for loss in losses)}",
            f"validation accuracies {', '.join(f'{accuracy:.0%}' for accuracy in accuracies)}",
        )
        self.check_own_accuracy(name, model, MIDDLE, "validation accuracy", accuracies[-1], validation)
        return seconds

    def check_fashion_mnist(self, name):
        """Check that the first batches of FashionMNIST teach a fresh model; return its test accuracy."""
        dataset = open_dataset(16)
        training, validation, test = (
            joined(itertools.islice(loader_of(dataset, part), count))
            for part, count in (("training", 100), ("validation", 20), ("test", 20))
        )
        data, model = make_data(16, training, validation, test), make(name, MIDDLE)
        _, accuracy = [train(model, data, 0.05) for _ in range(2)][-1]
        test_accuracy = as_share(model.test(data), f"What `{name}.test` returns")
        require(
            accuracy > 0.3 and test_accuracy > 0.3,
            f"`{name}` does not learn from the first batches of `FashionMNIST`",
            f"after two epochs it recognises {accuracy:.0%} of the validation images",
            f"and {test_accuracy:.0%} of the test images; 10% is guessing",
        )
        self.check_own_accuracy(name, model, MIDDLE, "validation accuracy", accuracy, validation)
        self.check_own_accuracy(name, model, MIDDLE, "test accuracy", test_accuracy, test)
        return test_accuracy

    def check_own_accuracy(self, name, model, sizes, what, accuracy, images):
        """Check an accuracy against that which a model has with the weights that it has now."""
        expected = read(name, model, sizes).accuracy(*images)
        require(
            abs(accuracy - expected) < 0.021,  # rounding may decide about an image or two
            f"The {what} that `{name}` reports is not that of the model",
            f"with the weights that it has then it recognises {expected:.0%}",
            f"it reports {accuracy:.0%}",
        )


class TestArchitecture(TestModel):
    """The two networks, 8 points."""

    @weight(2)
    @number("3.4")
    @visibility("visible")
    def test_pytorch(self):
        """PyTorch model: 784-256-128-10, ReLU in between, softmax at the end."""
        self.check_network(PYTORCH, make(PYTORCH), HANDOUT)

    @weight(2)
    @number("3.5")
    @visibility("visible")
    def test_custom(self):
        """Custom model: a Layer, 784-256-128-10, ReLU in between, softmax at the end, of your own layers."""
        model = make(CUSTOM)
        require(isinstance(model, q1.Layer), f"`{CUSTOM}` should be a subclass of `Layer`")
        self.check_network(CUSTOM, model, HANDOUT)
        require_own_layers()

    @weight(2)
    @number("3.6")
    @visibility("visible")
    def test_pytorch_sizes(self):
        """PyTorch model: other hidden sizes."""
        self.check_sizes(PYTORCH)

    @weight(2)
    @number("3.7")
    @visibility("visible")
    def test_custom_sizes(self):
        """Custom model: other hidden sizes."""
        self.check_sizes(CUSTOM)
        require_own_layers()


class TestTraining(TestModel):
    """Training, 15 points."""

    @weight(0.5)
    @number("3.8")
    @visibility("visible")
    def test_returns_pytorch(self):
        """PyTorch model: train returns two numbers, the training loss and the validation accuracy."""
        self.check_returns(PYTORCH)

    @weight(2)
    @number("3.9")
    @visibility("visible")
    def test_epoch_pytorch(self):
        """PyTorch model: an epoch of train is a step of plain SGD with each batch."""
        self.check_epoch(PYTORCH)

    @weight(0.5)
    @number("3.10")
    @visibility("visible")
    def test_short_batch_pytorch(self):
        """PyTorch model: train uses the last batch too where it is a smaller one."""
        self.check_epoch(PYTORCH, count=17)

    @weight(1)
    @number("3.11")
    @visibility("visible")
    def test_loss_pytorch(self):
        """PyTorch model: train returns the mean training loss of the epoch."""
        self.check_loss(PYTORCH)

    @weight(1.5)
    @number("3.12")
    @visibility("visible")
    def test_epochs_pytorch(self):
        """PyTorch model: several epochs in a row go on from each other."""
        self.check_epochs(PYTORCH)

    @weight(1)
    @number("3.13")
    @visibility("visible")
    def test_validation_pytorch(self):
        """PyTorch model: train returns the accuracy on the validation images after the epoch."""
        self.check_validation(PYTORCH)

    @weight(0.5)
    @number("3.14")
    @visibility("visible")
    def test_learning_pytorch(self):
        """PyTorch model: a few epochs teach a fresh model to tell easy images apart."""
        self.check_learning(PYTORCH)

    @weight(0.5)
    @number("3.15")
    @visibility("visible")
    def test_fashion_mnist_pytorch(self):
        """PyTorch model: train and test learn from the batches of FashionMNIST."""
        self.check_fashion_mnist(PYTORCH)

    @weight(0.5)
    @number("3.16")
    @visibility("visible")
    def test_returns_custom(self):
        """Custom model: train returns two numbers, the training loss and the validation accuracy."""
        self.check_returns(CUSTOM)
        require_own_layers()

    @weight(2)
    @number("3.17")
    @visibility("visible")
    def test_epoch_custom(self):
        """Custom model: an epoch of train is a step of plain SGD with each batch."""
        self.check_epoch(CUSTOM)
        require_own_layers()

    @weight(0.5)
    @number("3.18")
    @visibility("visible")
    def test_short_batch_custom(self):
        """Custom model: train uses the last batch too where it is a smaller one."""
        self.check_epoch(CUSTOM, count=17)
        require_own_layers()

    @weight(1)
    @number("3.19")
    @visibility("visible")
    def test_loss_custom(self):
        """Custom model: train returns the mean training loss of the epoch."""
        self.check_loss(CUSTOM)
        require_own_layers()

    @weight(1.5)
    @number("3.20")
    @visibility("visible")
    def test_epochs_custom(self):
        """Custom model: several epochs in a row go on from each other."""
        self.check_epochs(CUSTOM)
        require_own_layers()

    @weight(1)
    @number("3.21")
    @visibility("visible")
    def test_validation_custom(self):
        """Custom model: train returns the accuracy on the validation images after the epoch."""
        self.check_validation(CUSTOM)
        require_own_layers()

    @leaderboard("Seconds per epoch", "asc")
    @weight(0.5)
    @number("3.22")
    @visibility("visible")
    def test_learning_custom(self, set_leaderboard_value=None):
        """Custom model: a few epochs teach a fresh model to tell easy images apart."""
        set_leaderboard_value(self.check_learning(CUSTOM))
        require_own_layers()

    @leaderboard("Test accuracy")
    @weight(0.5)
    @number("3.23")
    @visibility("visible")
    def test_fashion_mnist_custom(self, set_leaderboard_value=None):
        """Custom model: train and test learn from the batches of FashionMNIST."""
        set_leaderboard_value(self.check_fashion_mnist(CUSTOM))
        require_own_layers()


class TestTesting(TestModel):
    """Testing, 4 points."""

    @weight(2)
    @number("3.24")
    @visibility("visible")
    def test_pytorch(self):
        """PyTorch model: test returns the accuracy on the test images, and changes no weights."""
        self.check_test(PYTORCH)

    @weight(2)
    @number("3.25")
    @visibility("visible")
    def test_custom(self):
        """Custom model: test returns the accuracy on the test images, and changes no weights."""
        self.check_test(CUSTOM)
        require_own_layers()


def with_any_curves(test):
    """Give a test, as its argument, each form of curves in turn; it has to pass with one of them."""

    @functools.wraps(test)
    def run(self):
        failures = []
        for form in ("one model", "a dictionary of both models", "a list of both models"):
            try:
                return test(self, form)
            except Exception as failure:
                failures.append(failure)
        # What is not meant for a form raises an error; what it draws, it draws for the form it is meant for.
        raise next((failure for failure in failures if isinstance(failure, CheckError)), failures[0])

    return run


class TestPlot(Section3):
    """Figures, 2 points."""

    def draw(self, form, key=16):
        """Have curves drawn, and return a description of each axes."""
        random = checks.generator(key)
        self.losses = np.sort(random.uniform(0.2, 2.3, 3))[::-1].round(4).tolist()
        self.accuracies = np.sort(random.uniform(0.1, 0.9, 3)).round(4).tolist()
        drawn = probe.draw(self.losses, self.accuracies, "Fashion-MNIST", form)
        require(drawn, "`plot` draws no curves with `matplotlib.pyplot`")
        return drawn

    @weight(1)
    @number("3.26")
    @visibility("visible")
    @with_any_curves
    def test_labels(self, form):
        """plot: every figure has a title, and labels at both axes."""
        drawn = self.draw(form)
        require(
            [axes["curves"] for axes in drawn] != [axes["curves"] for axes in self.draw(form, 17)],
            "`plot` draws the same curves whatever it is given",
        )
        for axes in drawn:
            texts = {name: axes[name] for name in ("title", "xlabel", "ylabel")}
            missing = " and the ".join(name for name, text in texts.items() if not text)
            require(not missing, f"The {missing} of a figure is missing", f"its texts are {texts}")

    @weight(1)
    @number("3.27")
    @visibility("visible")
    @with_any_curves
    def test_curves(self, form):
        """plot: a curve shows the training loss of each epoch, and another the validation accuracy."""
        curves = [curve for axes in self.draw(form) for curve in axes["curves"]]
        percent = np.multiply(100, self.accuracies)
        for what, choices in (
            ("training losses", [self.losses]),
            ("validation accuracies", [self.accuracies, percent]),
        ):
            require(
                any(checks.is_close(curve, values) for curve in curves for values in choices),
                f"No curve shows the {what} {choices[0]}",
                *(f"there is a curve of {curve}"[:80] for curve in curves),
            )


if __name__ == "__main__":
    unittest.main()
