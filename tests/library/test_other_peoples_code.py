"""The modules under other people's code: their spelling, layers, criteria, optimizers, data and scripts.

What is compared is small and in float64: both models against each other, or against a loop written out here.
"""

import copy
import inspect
import math
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from fashion_mnist import CustomMLPFashionMNIST, PytorchMLPFashionMNIST
from q1 import CrossEntropyLossLayer, Dense, Layer, ReLULayer, SoftmaxLayer, TanhLayer
from q2 import MLP

pytestmark = pytest.mark.fast

torch.set_num_threads(1)
SMALL = {"hidden_size1": 6, "hidden_size2": 5}


def make_batches(sizes, seed, dtype=torch.float64):
    """Return batches of random images whose brightest tenth says what their label is, more or less."""
    random = np.random.default_rng(seed)
    batches = []
    for size in sizes:
        labels = random.integers(10, size=size)
        images = random.normal(0, 0.3, (size, 784))
        images[np.arange(size), labels * 78] += 3
        batches.append((torch.tensor(images.reshape(size, 1, 28, 28), dtype=dtype), torch.tensor(labels)))
    return batches


def make_data(dtype=torch.float64, train=(8, 8, 5), **loaders):
    """Return data whose loaders are lists of batches, or others."""
    lists = {
        "train_loader": make_batches(train, 1, dtype),
        "val_loader": make_batches((30, 7), 2, dtype),
        "test_loader": make_batches((40, 3), 3, dtype),
    }
    return SimpleNamespace(**lists | loaders)


def make_pytorch(layers=None, seed=0):
    """Return a PyTorch model in float64, with small weights of its own and perhaps with other layers."""
    model = PytorchMLPFashionMNIST(**SMALL)
    if layers is not None:
        model.layers = layers
    model.double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 1 / math.sqrt(parameter.shape[-1]), generator=generator)
    return model


def make_custom(layers=None):
    """Return a custom model in float64, perhaps with other layers."""
    model = CustomMLPFashionMNIST(**SMALL, dtype=np.float64)
    if layers is not None:
        model.layers = layers
    return model


def make_twins(torch_layers=None, layers=None):
    """Return both models with the same weights."""
    pytorch, custom = make_pytorch(torch_layers), make_custom(layers)
    custom.load_state_dict(pytorch.state_dict())
    return pytorch, custom


def parameters_of(model):
    """Return a copy of a model's parameters by name."""
    return {name: np.array(np.asarray(value)) for name, value in model.state_dict().items()}


def assert_same_parameters(model, expected, rtol=1e-9):
    found = parameters_of(model)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_allclose(found[name], value, rtol=rtol, atol=1e-12, err_msg=name)


def output_of(model, images):
    """Return a model's output as an array."""
    with torch.no_grad():
        return np.asarray(model(images))


# Spelling.


def test_input_by_pytorchs_name():
    x = np.random.default_rng(0).normal(size=(4, 3))
    network = MLP([Dense(3, 2), TanhLayer()])
    for layer in (Dense(3, 2), ReLULayer(), TanhLayer(), SoftmaxLayer(), network):
        expected = layer(x)
        assert_array_equal(layer(input=x), expected)
        assert_array_equal(layer(x=x), expected)
    for model in (PytorchMLPFashionMNIST(**SMALL), CustomMLPFashionMNIST(**SMALL)):
        images = np.zeros((2, 1, 28, 28), np.float32)
        assert_array_equal(output_of(model, images), np.asarray(detached(model(input=images))))


def detached(value):
    return value.detach() if isinstance(value, torch.Tensor) else value


def test_criterion_by_pytorchs_names():
    p, labels = np.full((2, 4), 0.25), np.array([1, 2])
    criterion = CrossEntropyLossLayer()
    for call in (
        lambda: criterion(input=p, target=labels),
        lambda: criterion(p, target=labels),
        lambda: criterion(prediction=p, target=labels),
        lambda: criterion(p, labels),
    ):
        assert call() == pytest.approx(math.log(4))


def test_call_passes_everything_on():
    """As the course's Layer does: whatever a forward of one's own takes besides, and in any spelling."""

    class Scaled(Layer):
        def forward(self, x, factor=1, *, shift=0):
            return factor * np.asarray(x) + shift

    assert_array_equal(Scaled()([1.0], 2, shift=3), [5])
    assert_array_equal(Scaled()(input=[1.0], factor=2, shift=3), [5])
    assert_array_equal(Scaled()(x=[1.0], factor=2), [2])
    with pytest.raises(TypeError):
        Scaled()([1.0], unknown=1)


def test_sizes_by_pytorchs_names():
    layer = Dense(in_features=3, out_features=2)
    assert (layer.d, layer.m) == (3, 2)
    assert_array_equal(layer.W, Dense(3, 2).W)
    assert Dense(3, out_features=2).m == 2
    assert list(inspect.signature(Dense).parameters)[:4] == ["input_size", "output_size", "dtype", "seed"]
    with pytest.raises(ValueError, match="input_size to be a whole number >= 1, got 0"):
        Dense(in_features=0, out_features=2)


def test_load_state_dict_says_what_did_not_fit():
    for layer in (Dense(3, 2), MLP([Dense(3, 2)]), CustomMLPFashionMNIST(**SMALL)):
        state = layer.state_dict()
        result = layer.load_state_dict(state)
        assert (result.missing_keys, result.unexpected_keys) == ([], [])
        first, *others = state
        given = {name: state[name] for name in others} | {"more": 1}
        result = layer.load_state_dict(given, strict=False)
        assert (result.missing_keys, result.unexpected_keys) == ([first], ["more"])
        missing, unexpected = result
        assert (missing, unexpected) == ([first], ["more"])
        with pytest.raises(ValueError, match="expected the keys"):
            layer.load_state_dict(given)


FLOATS = [name for name in ("bfloat16", "float16", "float8_e4m3fn", "float8_e5m2") if hasattr(torch, name)]


@pytest.mark.parametrize("name", FLOATS)
def test_tensors_of_short_floats(name):
    """What every one of these floats can hold comes through exactly, as input and in a state dict."""
    dtype = getattr(torch, name)
    x = torch.tensor([[0.5, -1.0, 2.0], [0.0, 1.5, -0.25]])
    layer = Dense(3, 2)
    assert_array_equal(layer.forward(x.to(dtype)), layer.forward(x))
    assert_array_equal(ReLULayer().forward(x.to(dtype)), x.clamp(min=0).numpy())
    layer.load_state_dict({"weight": x.to(dtype), "bias": x[0, :2].to(dtype)})
    assert_array_equal(layer.W, x.numpy())
    assert_array_equal(layer.b, [0.5, -1])
    layer.bias = x[1, :2].to(dtype)
    assert_array_equal(layer.b, [0, 1.5])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_state_dict_of_a_model_of_short_floats(dtype):
    pytorch, custom = PytorchMLPFashionMNIST(**SMALL).to(dtype), CustomMLPFashionMNIST(**SMALL)
    custom.load_state_dict(pytorch.state_dict())
    for name, value in pytorch.state_dict().items():
        assert_array_equal(custom.state_dict()[name], value.float().numpy())
    pytorch.load_state_dict(custom.state_dict())
    assert pytorch.layers[0].weight.dtype == dtype


def test_arrays_of_short_floats():
    """NumPy has no bfloat16 of its own; that of ml_dtypes is what JAX's arrays have."""
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = np.array([[0.5, -1.0, 2.0]])
    for dtype in (ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn):
        assert_array_equal(Dense(3, 2).forward(x.astype(dtype)), Dense(3, 2).forward(x))


# Layers.


class OwnModule(nn.Module):
    """A network of one's own, as one writes them without ``nn.Sequential``."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(784, 6), nn.Linear(6, 10)

    def forward(self, x):
        return self.last(torch.tanh(self.first(x)))


class OwnLayer(Layer):
    """The same as a layer: it holds others, and has no place in an MLP."""

    def __init__(self):
        self.first, self.tanh, self.last = Dense(784, 6), TanhLayer(), Dense(6, 10)

    def forward(self, x):
        return self.last(self.tanh(self.first(x)))

    def backward(self, output_grad):
        return self.first.backward(self.tanh.backward(self.last.backward(output_grad)))

    def update(self, learning_rate):
        self.first.update(learning_rate)
        self.last.update(learning_rate)

    def state_dict(self):
        layers = {"first": self.first, "last": self.last}
        return {f"{of}.{key}": it for of, layer in layers.items() for key, it in layer.state_dict().items()}


NETWORKS = {
    "softmax at the end": (
        lambda: nn.Sequential(nn.Linear(784, 6), nn.ReLU(), nn.Linear(6, 10), nn.Softmax(dim=1)),
        lambda: MLP([Dense(784, 6), ReLULayer(), Dense(6, 10), SoftmaxLayer()]),
    ),
    "no softmax": (
        lambda: nn.Sequential(nn.Linear(784, 6), nn.ReLU(), nn.Linear(6, 10)),
        lambda: MLP([Dense(784, 6), ReLULayer(), Dense(6, 10)]),
    ),
    "one layer": (lambda: nn.Sequential(nn.Linear(784, 10)), lambda: MLP([Dense(784, 10)])),
    "a layer alone": (lambda: nn.Linear(784, 10), lambda: Dense(784, 10)),
    "nested": (
        lambda: nn.Sequential(
            nn.Sequential(nn.Linear(784, 6), nn.Tanh()), nn.Sequential(nn.Linear(6, 10), nn.Softmax(dim=-1))
        ),
        lambda: MLP([MLP([Dense(784, 6), TanhLayer()]), MLP([Dense(6, 10), SoftmaxLayer()])]),
    ),
    "nested, no softmax": (
        lambda: nn.Sequential(nn.Sequential(nn.Linear(784, 6), nn.Tanh()), nn.Sequential(nn.Linear(6, 10))),
        lambda: MLP([MLP([Dense(784, 6), TanhLayer()]), MLP([Dense(6, 10)])]),
    ),
    "an empty one at the end": (
        lambda: nn.Sequential(nn.Linear(784, 10), nn.Sequential()),
        lambda: MLP([Dense(784, 10), MLP([])]),
    ),
    "an activation at the end": (
        lambda: nn.Sequential(nn.Linear(784, 10), nn.Tanh()),
        lambda: MLP([Dense(784, 10), TanhLayer()]),
    ),
    "softmax inside": (
        lambda: nn.Sequential(nn.Linear(784, 6), nn.Softmax(dim=-1), nn.Linear(6, 10), nn.Softmax(dim=-1)),
        lambda: MLP([Dense(784, 6), SoftmaxLayer(), Dense(6, 10), SoftmaxLayer()]),
    ),
    "no network in a row": (OwnModule, OwnLayer),
}
ENDS_WITH_SOFTMAX = ("softmax at the end", "nested", "softmax inside")


@pytest.mark.parametrize("name", NETWORKS)
def test_layers_of_ones_own(name):
    """Both models train all of them, with the cross-entropy over the ten classes, and to the same curves."""
    pytorch, custom = make_twins(*(make() for make in NETWORKS[name]))
    data = make_data()
    images = torch.cat([images for images, _ in data.train_loader])
    labels = torch.cat([labels for _, labels in data.train_loader])
    outputs = torch.tensor(output_of(pytorch, images))
    log_p = outputs.log() if name in ENDS_WITH_SOFTMAX else outputs.log_softmax(1)
    before = parameters_of(pytorch)
    for model in (pytorch, custom):
        assert model.train(data, lr=0)[0] == pytest.approx(functional.nll_loss(log_p, labels).item())
        assert_same_parameters(model, before)
    curves = [[model.train(data, lr=0.1) for _ in range(3)] for model in (pytorch, custom)]
    assert_allclose(curves[1], curves[0], rtol=1e-9)
    assert curves[0][2][0] < curves[0][0][0], "the loss falls"
    assert_same_parameters(custom, parameters_of(pytorch))
    for model in (pytorch, custom):
        for key, value in parameters_of(model).items():
            assert not np.any(np.all(value == before[key], axis=-1)), f"{key} is not trained"


@pytest.mark.parametrize("name", NETWORKS)
def test_forward_is_the_network(name):
    """``forward`` gives what the layers give, whatever the loss is taken from; ``test`` goes by that."""
    pytorch, custom = make_twins(*(make() for make in NETWORKS[name]))
    data = make_data()
    images = torch.cat([images for images, _ in data.test_loader])
    labels = torch.cat([labels for _, labels in data.test_loader]).numpy()
    for model in (pytorch, custom):
        model.train(data, lr=0.1)
        if model is custom:
            expected = model.layers.forward(images.flatten(1).numpy())
        else:
            expected = model.layers(images.flatten(1)).detach().numpy()
        output = output_of(model, images)
        assert output.shape == (43, 10)
        assert_allclose(output, expected, rtol=1e-12)
        if name in ENDS_WITH_SOFTMAX:
            assert_allclose(output.sum(axis=1), 1, rtol=1e-12)
        assert model.test(data) == np.mean(output.argmax(axis=1) == labels)


def test_log_softmax():
    """The cross-entropy of log-probabilities is that of the logits."""
    layers = nn.Sequential(nn.Linear(784, 6), nn.ReLU(), nn.Linear(6, 10), nn.LogSoftmax(dim=1))
    pytorch, custom = make_twins(layers, MLP([Dense(784, 6), ReLULayer(), Dense(6, 10)]))
    data = make_data()
    curves = [[model.train(data, lr=0.1) for _ in range(3)] for model in (pytorch, custom)]
    assert_allclose(curves[1], curves[0], rtol=1e-9)
    output = output_of(pytorch, data.test_loader[0][0])
    assert_allclose(np.exp(output).sum(axis=1), 1)
    assert pytorch.test(data) == custom.test(data)


def test_dropout():
    """It drops while training, and neither in the validation nor in ``test``; the switch stays as it was."""
    seen = []

    class Noted(nn.Dropout):
        def forward(self, input):
            seen.append(self.training)
            return super().forward(input)

    layers = nn.Sequential(nn.Linear(784, 20), Noted(0.5), nn.Linear(20, 10), Noted(0.0), nn.Softmax(dim=1))
    model, data = make_pytorch(layers), make_data()
    model.eval()
    model.train(data, lr=0.1)
    assert seen == [True] * 6 + [False] * 4
    assert model.training
    model.eval()
    assert model.test(data) == model.test(data)
    assert not model.training
    model.train()
    seen.clear()
    model.test(data)
    assert seen == [False] * 4
    assert model.layers[1].training


def test_no_layers():
    """A network of none gives the rows of pixels, and there is nothing to train."""
    images = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    pytorch, custom = make_pytorch(nn.Sequential()), make_custom(MLP([]))
    for model in (pytorch, custom):
        assert_array_equal(output_of(model, images), images.flatten(1).numpy())
    with pytest.raises(ValueError) as error:
        pytorch.train(make_data())
    assert "\n" not in str(error.value)


def test_layers_of_the_other_kind():
    model = make_custom(nn.Sequential(nn.Linear(784, 10)))
    with pytest.raises(TypeError, match="expected layers to be an MLP"):
        model.train(make_data())


# Criteria for the PyTorch model.


def trained_by_hand(model, data, criterion, optimizer=None, lr=0.1, epochs=2):
    """Train a copy of a model, whose layers end with a softmax, in a loop as everyone writes it.

    Returns:
        The parameters that it comes to.
    """
    twin = copy.deepcopy(model)
    make_optimizer = optimizer or (lambda parameters: torch.optim.SGD(parameters, lr=lr))
    optimizer = make_optimizer(twin.parameters())
    for _ in range(epochs):
        for images, labels in data.train_loader:
            optimizer.zero_grad()
            criterion(twin.layers[:-1](images.flatten(1)), labels).backward()
            optimizer.step()
    return parameters_of(twin)


def losses_by_hand(model, data, criterion):
    """Return the mean of a criterion over all training images, of a model as it is."""
    with torch.no_grad():
        losses = [
            criterion(model.layers[:-1](images.flatten(1)), labels).item() * len(labels)
            for images, labels in data.train_loader
        ]
    return sum(losses) / sum(len(labels) for _, labels in data.train_loader)


def log_p_first(loss):
    """Return a criterion of logits, given one of log-probabilities."""
    return lambda logits, labels: loss(logits.log_softmax(1), labels)


WEIGHTS = torch.linspace(0.5, 2, 10, dtype=torch.float64)


def doubled(logits, labels):
    return 2 * functional.cross_entropy(logits, labels)


def smoothed(logits, labels):
    return functional.cross_entropy(logits, labels, label_smoothing=0.2)


def weighted(logits, labels):
    return functional.cross_entropy(logits, labels, weight=WEIGHTS)


class Focal(nn.Module):
    """A loss as one writes it as a module."""

    def forward(self, logits, labels):
        losses = functional.cross_entropy(logits, labels, reduction="none")
        return ((1 - torch.exp(-losses)) ** 2 * losses).mean()


CRITERIA = {
    # The criterion for ``train``, the same for logits, and whether it is the cross-entropy, averaged.
    "none": (None, functional.cross_entropy, True),
    "CrossEntropyLoss": (nn.CrossEntropyLoss(), functional.cross_entropy, True),
    "cross_entropy": (functional.cross_entropy, functional.cross_entropy, True),
    "NLLLoss": (nn.NLLLoss(), log_p_first(functional.nll_loss), True),
    "nll_loss": (functional.nll_loss, log_p_first(functional.nll_loss), True),
    "a function": (doubled, doubled, False),
    "a module of one's own": (Focal(), Focal(), False),
    "label smoothing": (nn.CrossEntropyLoss(label_smoothing=0.2), smoothed, False),
    "weights": (nn.CrossEntropyLoss(weight=WEIGHTS), weighted, False),
    "MultiMarginLoss": (nn.MultiMarginLoss(), functional.multi_margin_loss, False),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_criteria_of_pytorch(name):
    """Each is handed what it is made for, and trained with as in a loop of one's own."""
    criterion, of_logits, is_cross_entropy = CRITERIA[name]
    model, data = make_pytorch(), make_data()
    expected = trained_by_hand(model, data, of_logits)
    loss = losses_by_hand(model, data, of_logits)
    assert model.train(data, criterion=criterion, lr=0)[0] == pytest.approx(loss)
    if is_cross_entropy:
        assert loss == pytest.approx(losses_by_hand(model, data, functional.cross_entropy))
    for _ in range(2):
        model.train(data, criterion, 0.1)
    assert_same_parameters(model, expected)


@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_criteria_that_sum(kind):
    """A step goes by the sum, as one has asked for; the loss that is returned is still the mean."""
    model, data = make_pytorch(), make_data()
    expected = trained_by_hand(
        model, data, lambda z, y: functional.cross_entropy(z, y, reduction="sum"), lr=0.01, epochs=1
    )
    loss = losses_by_hand(model, data, functional.cross_entropy)
    assert model.train(data, kind(reduction="sum"), lr=0)[0] == pytest.approx(loss)
    model.train(data, kind(reduction="sum"), lr=0.01)
    assert_same_parameters(model, expected)


REFUSED = {
    "MSELoss": nn.MSELoss(),
    "L1Loss": nn.L1Loss(),
    "BCELoss": nn.BCELoss(),
    "KLDivLoss": nn.KLDivLoss(),
    "one that does not reduce": nn.CrossEntropyLoss(reduction="none"),
    "NLLLoss that does not reduce": nn.NLLLoss(reduction="none"),
    "one that returns a float": lambda z, y: nn.functional.cross_entropy(z, y).item(),
    "one that is detached": lambda z, y: nn.functional.cross_entropy(z, y).detach(),
    "one that returns nothing": lambda z, y: None,
    "a layer of ours": CrossEntropyLossLayer(),
    "a class": nn.CrossEntropyLoss,
    "a name": "cross-entropy",
    "a number": 3,
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_the_pytorch_model(name):
    """One sentence, that says what came; and nothing is trained."""
    model = make_pytorch()
    before = parameters_of(model)
    with pytest.raises(TypeError, match=r"^train: expected (a|the) criterion .*, got ") as error:
        model.train(make_data(), criterion=REFUSED[name])
    assert "\n" not in str(error.value)
    assert_same_parameters(model, before, rtol=0)
    assert model.epoch_seconds == []


# Criteria for the custom model.


class PlainCrossEntropy:
    """A criterion as a student writes it: no Layer, a plain float, an argument that it ignores."""

    def forward(self, prediction, target):
        self.prediction, self.target = np.asarray(prediction), np.asarray(target)
        return float(-np.log(self.prediction[np.arange(len(self.target)), self.target]).mean())

    def backward(self, output_grad=1):
        gradient = np.zeros_like(self.prediction)
        rows = np.arange(len(self.target))
        gradient[rows, self.target] = -1 / self.prediction[rows, self.target] / len(rows)
        return gradient


class WithoutArgument(PlainCrossEntropy):
    def backward(self):
        return super().backward()


class OfShapeOne(PlainCrossEntropy):
    def forward(self, prediction, target):
        return np.array([super().forward(prediction, target)])


class Heeding(PlainCrossEntropy):
    def backward(self, output_grad):
        assert float(output_grad) == 1, "whoever writes such a criterion expects dL/dL, which is 1"
        return super().backward() * output_grad


class Derived(CrossEntropyLossLayer):
    """Derived from ours, with a backward of its own that ignores its argument."""

    def backward(self, output_grad=1.0):
        return super().backward()


class OfTheCourse(Layer):
    """As the course's class documentation has it: asserts, and 1e-10 before the logarithm."""

    def forward(self, prediction, target):
        assert np.all(np.abs(prediction.sum(axis=1) - 1) < 1e-6)
        assert target.ndim == 1
        self.prediction, self.target = prediction, target
        return -np.mean(np.log(prediction[np.arange(len(target)), target] + 1e-10))

    def backward(self, output_grad):
        rows = np.arange(len(self.target))
        gradient = np.zeros_like(self.prediction)
        gradient[rows, self.target] = -1 / (self.prediction[rows, self.target] + 1e-10)
        return output_grad * gradient / len(rows)


OWN_CRITERIA = [
    *(CrossEntropyLossLayer, PlainCrossEntropy, WithoutArgument, OfShapeOne, Heeding, Derived, OfTheCourse),
]


@pytest.mark.parametrize("softmax", [True, False], ids=["softmax at the end", "no softmax"])
@pytest.mark.parametrize("kind", OWN_CRITERIA, ids=lambda kind: kind.__name__)
def test_criteria_of_ones_own(kind, softmax):
    """The custom model trains with each as with its own: the same loss and weights, with the lr asked for.

    Each is one of probabilities, and gets probabilities, also where the network has no softmax.
    """
    layers = [Dense(784, 6), TanhLayer(), Dense(6, 10)]
    model = make_custom(MLP([*layers, SoftmaxLayer()] if softmax else layers))
    twin, data = copy.deepcopy(model), make_data()
    expected = [twin.train(data, lr=0.1) for _ in range(2)]
    found = [model.train(data, criterion=kind(), lr=0.1) for _ in range(2)]
    assert all(type(number) is float for number in found[0])
    assert_allclose(found, expected, rtol=1e-7)
    assert_same_parameters(model, parameters_of(twin), rtol=1e-6)


def test_criterion_that_is_called():
    """One with ``__call__`` alone will do, as long as it has a backward."""

    class Called:
        def __init__(self):
            self.criterion = PlainCrossEntropy()

        def __call__(self, prediction, target):
            return self.criterion.forward(prediction, target)

        def backward(self, output_grad):
            return self.criterion.backward(output_grad)

    model = make_custom()
    twin, data = copy.deepcopy(model), make_data()
    assert_allclose(model.train(data, Called(), 0.1), twin.train(data, lr=0.1), rtol=1e-9)
    assert_same_parameters(model, parameters_of(twin))


@pytest.mark.parametrize(
    "criterion",
    [
        nn.CrossEntropyLoss(),
        nn.NLLLoss(),
        nn.MSELoss(),
        functional.cross_entropy,
        doubled,
        CrossEntropyLossLayer,
        3,
        "loss",
    ],
    ids=lambda criterion: getattr(criterion, "__name__", type(criterion).__name__),
)
def test_refused_by_the_custom_model(criterion):
    model = make_custom()
    before = parameters_of(model)
    with pytest.raises(TypeError, match=r"^train: expected a criterion .*, got ") as error:
        model.train(make_data(), criterion=criterion)
    assert "\n" not in str(error.value)
    assert_same_parameters(model, before, rtol=0)


def test_loss_per_image_is_refused():
    class PerImage(PlainCrossEntropy):
        def forward(self, prediction, target):
            super().forward(prediction, target)
            return np.ones(len(target))

    model = make_custom()
    before = parameters_of(model)
    with pytest.raises(TypeError, match=r"one number, got shape \(8,\)"):
        model.train(make_data(), criterion=PerImage())
    assert_same_parameters(model, before, rtol=0)


# PyTorch's switch, copies, optimizers, kinds of numbers.


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        (lambda model: model.train(mode=False), False),
        (lambda model: model.train(False), False),
        (lambda model: model.train(mode=True), True),
        (lambda model: model.train(True), True),
        (lambda model: model.train(), True),
        (lambda model: model.eval(), False),
    ],
    ids=["train(mode=False)", "train(False)", "train(mode=True)", "train(True)", "train()", "eval()"],
)
def test_switch(switch, expected):
    model = PytorchMLPFashionMNIST(**SMALL)
    nn.Module.train(model, not expected)
    assert switch(model) is model
    assert {module.training for module in model.modules()} == {expected}
    holder = nn.Sequential(model)
    nn.Module.train(holder, not expected)
    switch(holder)
    assert {module.training for module in holder.modules()} == {expected}


@pytest.mark.parametrize("data", [1, 0, None, "False", [], {}, SimpleNamespace()], ids=repr)
def test_neither_data_nor_switch(data):
    for model in (PytorchMLPFashionMNIST(**SMALL), CustomMLPFashionMNIST(**SMALL)):
        with pytest.raises(ValueError, match="train: expected a data set") as error:
            model.train(data)
        assert "\n" not in str(error.value)


def test_averaged_model():
    """Stochastic weight averaging goes through copies, the switch and ``forward``."""
    model, data = make_pytorch(), make_data()
    averaged = torch.optim.swa_utils.AveragedModel(model)
    states = []
    for _ in range(3):
        model.train(data, lr=0.1)
        averaged.update_parameters(model)
        states.append(parameters_of(model))
    averaged.eval()
    assert not any(module.training for module in averaged.modules())
    averaged.train(mode=True)
    torch.optim.swa_utils.update_bn(data.train_loader, averaged)
    expected = {name: np.mean([state[name] for state in states], axis=0) for name in states[0]}
    assert_same_parameters(averaged.module, expected)
    assert averaged(data.test_loader[0][0]).shape == (40, 10)
    assert 0 <= averaged.module.test(data) <= 1


@pytest.mark.parametrize("make", [make_pytorch, make_custom])
@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])  # noqa: S301
def test_copies(make, way):
    """A copy is trained as the original would have been, with its optimizer, and apart from it."""
    model, data = make(), make_data()
    if make is make_pytorch:
        model.optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    model.train(data, lr=0.05)
    twin, before = way(model), parameters_of(model)
    assert_same_parameters(twin, before, rtol=0)
    curve = twin.train(data, lr=0.05)
    assert_same_parameters(model, before, rtol=0)
    assert_allclose(model.train(data, lr=0.05), curve, rtol=1e-12)
    assert_same_parameters(twin, parameters_of(model))


OPTIMIZERS = {
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=0.01),
    "momentum": lambda parameters: torch.optim.SGD(parameters, lr=0.05, momentum=0.9),
    "weight decay": lambda parameters: torch.optim.SGD(parameters, lr=0.05, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_of_ones_own(name):
    """One that is set is used, with its own learning rate, and goes on from epoch to epoch."""
    model, data = make_pytorch(), make_data()
    expected = trained_by_hand(model, data, functional.cross_entropy, OPTIMIZERS[name], epochs=3)
    model.optimizer = OPTIMIZERS[name](model.parameters())
    for _ in range(3):
        model.train(data, lr=0.5)
    assert_same_parameters(model, expected)


def test_optimizer_of_some_parameters():
    """The others stay as they are, which is how layers are frozen."""
    model = make_pytorch()
    before = parameters_of(model)
    model.optimizer = torch.optim.SGD(model.layers[4].parameters(), lr=0.1)
    model.train(make_data())
    for name, value in parameters_of(model).items():
        assert np.array_equal(value, before[name]) == ("layers.4" not in name)


def test_optimizer_of_stale_parameters():
    """Layers that were replaced after the optimizer was made would never be trained."""
    model, data = make_pytorch(), make_data()
    model.optimizer = torch.optim.Adam(model.parameters())
    model.layers = nn.Sequential(nn.Linear(784, 10)).double()
    before = parameters_of(model)
    with pytest.raises(ValueError, match="optimizer of the model's parameters"):
        model.train(data)
    assert_same_parameters(model, before, rtol=0)
    model.optimizer = None
    model.train(data, lr=0.1)
    assert not np.array_equal(parameters_of(model)["layers.0.weight"], before["layers.0.weight"])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("of_data", [torch.float32, torch.float64], ids=str)
def test_kinds_of_numbers(dtype, of_data):
    """``model.double()``, ``half()`` and ``bfloat16()`` train with whatever the loaders yield."""
    model, data = make_pytorch().to(dtype), make_data(of_data)
    losses = [model.train(data, lr=0.1)[0] for _ in range(6)]
    assert all(type(loss) is float for loss in losses)
    assert losses[-1] < losses[0] < 10
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert 0 < model.test(data) <= 1
    assert model(data.test_loader[0][0]).dtype == dtype


def test_meta():
    """Parameters that hold no numbers are one clear error."""
    model, data = PytorchMLPFashionMNIST(**SMALL).to("meta"), make_data()
    for call in (
        lambda: model(data.train_loader[0][0]),
        lambda: model.train(data),
        lambda: model.test(data),
    ):
        with pytest.raises(ValueError, match="expected a device with numbers, got meta"):
            call()


# Images in all forms.

IMAGES = np.random.default_rng(0).integers(0, 3, (3, 1, 28, 28))
FORMS = {
    "float64": lambda: IMAGES.astype(np.float64),
    "float32": lambda: IMAGES.astype(np.float32),
    "uint8": lambda: IMAGES.astype(np.uint8),
    "int64": lambda: IMAGES,
    "a list": lambda: IMAGES.tolist(),
    "a list of arrays": lambda: list(IMAGES.astype(np.float32)),
    "rows": lambda: IMAGES.reshape(3, 784).astype(float),
    "without channel": lambda: IMAGES.reshape(3, 28, 28).astype(float),
    "column-major": lambda: np.asfortranarray(IMAGES.astype(float)),
    "mirrored twice": lambda: IMAGES[..., ::-1].astype(float).copy()[..., ::-1],
    "read-only": lambda: np.broadcast_to(IMAGES.astype(float), IMAGES.shape),
    "big-endian": lambda: IMAGES.astype(">f4"),
    "tensor": lambda: torch.tensor(IMAGES),
    "float tensor": lambda: torch.tensor(IMAGES).float(),
    "bfloat16 tensor": lambda: torch.tensor(IMAGES).bfloat16(),
    "tensor with gradient": lambda: torch.tensor(IMAGES).double().requires_grad_(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_images(form):
    """Both models take arrays, lists and tensors of any numbers, in turn."""
    for model in make_twins():
        expected = output_of(model, torch.tensor(IMAGES, dtype=torch.float64))
        assert_allclose(np.asarray(detached(model(FORMS[form]()))), expected, rtol=1e-6)
        assert_allclose(output_of(model, torch.tensor(IMAGES, dtype=torch.float64)), expected)


@pytest.mark.parametrize("form", ["arrays", "lists"])
def test_loaders_of_arrays_and_lists(form):
    """They give what those of tensors give."""
    data = make_data()
    turn = np.asarray if form == "arrays" else (lambda tensor: tensor.tolist())
    other = SimpleNamespace(
        **{
            name: [(turn(images), turn(labels)) for images, labels in loader]
            for name, loader in vars(data).items()
        }
    )
    for model in make_twins():
        twin = copy.deepcopy(model)
        assert_allclose(model.train(other, lr=0.1), twin.train(data, lr=0.1), rtol=1e-12)
        assert model.test(other) == twin.test(data)


# Data in all forms.


@pytest.mark.parametrize("how", ["there is none", "None", "empty"])
def test_no_validation_loader(how):
    """As the course's FashionMNIST has it without validation: no accuracy, NaN, and no error."""
    data = make_data()
    if how == "there is none":
        del data.val_loader
    else:
        data.val_loader = None if how == "None" else []
    for model in make_twins():
        loss, accuracy = model.train(data, lr=0.1)
        assert loss > 0
        assert math.isnan(accuracy)


class Stream(IterableDataset):
    """Images that come one by one, nobody knows how many."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        for images, labels in self.batches:
            yield from zip(images, labels, strict=True)


def tensors(batches):
    images, labels = zip(*batches, strict=True)
    return TensorDataset(torch.cat(images), torch.cat(labels))


LOADERS = {
    "in order": lambda batches: DataLoader(tensors(batches), 8),
    "shuffled": lambda batches: DataLoader(
        tensors(batches), 8, shuffle=True, generator=torch.Generator().manual_seed(6666)
    ),
    "num_workers=0, pin_memory=False": lambda batches: DataLoader(
        tensors(batches), 8, num_workers=0, pin_memory=False
    ),
    "drop_last": lambda batches: DataLoader(tensors(batches), 8, drop_last=True),
    "one by one": lambda batches: DataLoader(tensors(batches)),
    "without length": lambda batches: DataLoader(Stream(batches), 8),
    "a tuple": tuple,
}


@pytest.mark.parametrize("name", LOADERS)
def test_loaders(name):
    """Both models train with them alike, and as with a list of the same batches."""
    batches = make_data().train_loader
    make = LOADERS[name]
    lists = list(make(batches))
    pytorch, custom = make_twins()
    data = SimpleNamespace(train_loader=lists)
    by_hand = trained_by_hand(pytorch, data, functional.cross_entropy, epochs=1)
    calls = []
    for model in (pytorch, custom):
        data = make_data(train_loader=make(batches), val_loader=make(batches), test_loader=make(batches))
        model.train(data, lr=0.1, progress=lambda *call: calls.append(call))
        assert_same_parameters(model, by_hand)
        assert 0 <= model.test(data) <= 1
    assert sum(count for count, _ in calls) == 2 * len(lists)


def test_generator_that_is_exhausted():
    """A generator makes one epoch; for the second there is nothing left, which is an error and no success."""
    for model in make_twins():
        data = make_data()
        data.train_loader = iter(data.train_loader)
        assert model.train(data, lr=0.1)[0] > 0
        before = parameters_of(model)
        with pytest.raises(ValueError, match="expected batches, got none"):
            model.train(data, lr=0.1)
        assert_same_parameters(model, before, rtol=0)
        with pytest.raises(ValueError, match="expected batches, got none"):
            model.train(make_data(train_loader=[]))
        assert len(model.epoch_seconds) == 1


# Subclasses.


def test_subclasses():
    """A model of one's own may bring its layers, and have a ``train`` around ours."""

    class Shallow(PytorchMLPFashionMNIST):
        def __init__(self):
            super().__init__(hidden_size2=None)
            self.layers = nn.Sequential(nn.Linear(784, 6), nn.Tanh(), nn.Linear(6, 10))
            self.history = []

        def train(self, data=True, **options):
            result = super().train(data, **options)
            if not isinstance(data, bool):
                self.history.append(result)
            return result

    class ShallowToo(CustomMLPFashionMNIST):
        def __init__(self):
            super().__init__(hidden_size2=None, dtype=np.float64)
            self.layers = MLP([Dense(784, 6), TanhLayer(), Dense(6, 10)])
            self.history = []

        def train(self, data, **options):
            self.history.append(super().train(data, **options))
            return self.history[-1]

    pytorch, custom, data = Shallow().double(), ShallowToo(), make_data()
    custom.load_state_dict(pytorch.state_dict())
    for _ in range(3):
        pytorch.train(data, lr=0.1)
        custom.train(data, lr=0.1)
        pytorch.eval()
    assert len(pytorch.history) == 3
    assert_allclose(custom.history, pytorch.history, rtol=1e-9)
    assert pytorch.test(data) == custom.test(data)


def test_subclass_with_a_forward_of_its_own():
    """What a subclass's ``forward`` computes is what is trained, validated and tested."""

    class Mirrored(PytorchMLPFashionMNIST):
        def forward(self, input):
            return super().forward(input.flip(-1))

    class MirroredToo(CustomMLPFashionMNIST):
        def forward(self, x):
            return super().forward(np.asarray(x)[..., ::-1])

    pytorch, custom = make_twins()
    data = make_data()
    mirrored = SimpleNamespace(
        **{name: [(images.flip(-1), labels) for images, labels in it] for name, it in vars(data).items()}
    )
    for model, kind in ((pytorch, Mirrored), (custom, MirroredToo)):
        own = copy.deepcopy(model)
        own.__class__ = kind
        assert_allclose(own.train(data, lr=0.1), model.train(mirrored, lr=0.1), rtol=1e-9)
        assert_same_parameters(own, parameters_of(model))
        assert own.test(data) == model.test(mirrored)


@pytest.mark.parametrize("rate", [np.inf, -np.inf, np.nan, -0.1])
def test_learning_rates_that_are_none(rate):
    """A step of no finite length is refused, and changes nothing."""
    layer = Dense(2, 3)
    layer.dW, before = np.ones((3, 2)), layer.W.copy()
    with pytest.raises(ValueError, match="expected a finite learning rate >= 0, got"):
        layer.update(rate)
    np.testing.assert_array_equal(layer.W, before)
