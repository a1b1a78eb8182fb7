"""What each part of assignment 4 takes and returns: kinds and shapes, no numbers."""

import types

import numpy as np
from sanity.expect import ProblemError, expect_array, expect_number, expect_one_of

N, D, M, K = 6, 4, 3, 5  # the batch, inputs, outputs, classes


def numbers(*shape):
    """Return an array of this shape."""
    return np.linspace(-1, 1, int(np.prod(shape))).reshape(shape)


def dense(q1):
    """Try a Dense layer."""
    layer = q1.Dense(D, M)
    expect_one_of(layer, {"weights": (D, M), "W": (M, D)})
    expect_one_of(layer, {"bias": (1, M), "b": (M,)})
    expect_array(layer.forward(numbers(N, D)), "What Dense.forward returns", (N, M))
    expect_array(layer.backward(numbers(N, M)), "What Dense.backward returns", (N, D))
    expect_one_of(layer, {"weights_grad": (D, M), "dW": (M, D)})
    expect_one_of(layer, {"bias_grad": (1, M), "db": (M,)})
    layer.update(0.1)
    layer.init_weights()


def activation(name):
    """Return a function that tries an activation."""

    def try_it(q1):
        layer = getattr(q1, name)()
        expect_array(layer.forward(numbers(N, D)), f"What {name}.forward returns", (N, D))
        expect_array(layer.backward(numbers(N, D)), f"What {name}.backward returns", (N, D))

    return try_it


def cross_entropy(q1):
    """Try the loss."""
    criterion = q1.CrossEntropyLossLayer()
    loss = criterion.forward(np.full((N, K), 1 / K), np.arange(N) % K)
    expect_number(loss, "What CrossEntropyLossLayer.forward returns")
    expect_array(criterion.backward(1.0), "What CrossEntropyLossLayer.backward returns", (N, K))


def mlp(q2):
    """Try an MLP, of layers that leave everything as it is."""

    class Identity(q2.MLP.__mro__[1]):
        def forward(self, x):
            return x

        def backward(self, output_grad):
            return output_grad

    network = q2.MLP([Identity(), Identity()])
    network.init_weights()
    expect_array(network.forward(numbers(N, D)), "What MLP.forward returns", (N, D))
    expect_array(network.backward(numbers(N, D)), "What MLP.backward returns", (N, D))
    network.update(0.1)


def data(fashion_mnist):
    """Look whether there is such a class; loading the data set takes time, and perhaps a download."""
    if not callable(fashion_mnist.FashionMNIST):
        raise ProblemError("FashionMNIST should be a class")


def small_data():
    """Return what models can be trained and tested with as with a FashionMNIST: some made-up images."""
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    images = torch.linspace(-1, 1, 10 * 784).reshape(10, 1, 28, 28)
    loader = DataLoader(TensorDataset(images, torch.arange(10)), 4)
    return types.SimpleNamespace(
        batch_size=4, val_perc=0.5, train_loader=loader, val_loader=loader, test_loader=loader
    )


def models(fashion_mnist):
    """Return a small model of each kind, by its name."""
    names = "PytorchMLPFashionMNIST", "CustomMLPFashionMNIST"
    return {name: getattr(fashion_mnist, name)(784, 8, 6, 10) for name in names}


def networks(fashion_mnist):
    """Try what the models answer."""
    images = next(iter(small_data().train_loader))[0]
    for name, model in models(fashion_mnist).items():
        output = model.forward(images)
        output = output.detach().numpy() if hasattr(output, "detach") else output
        expect_array(output, f"What {name}.forward returns", (4, 10))


def training(fashion_mnist):
    """Try an epoch of training."""
    for name, model in models(fashion_mnist).items():
        result = model.train(small_data(), lr=0.01)
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise ProblemError(f"{name}.train should return two numbers, and returns {result!r:.60}")
        expect_number(result[0], f"The training loss that {name}.train returns")
        expect_number(result[1], f"The validation accuracy that {name}.train returns")


def testing(fashion_mnist):
    """Try testing."""
    for name, model in models(fashion_mnist).items():
        expect_number(model.test(small_data()), f"What {name}.test returns")


def figures(fashion_mnist):
    """Try plot."""
    import matplotlib.pyplot as plt

    plt.close("all")
    fashion_mnist.plot([2.0, 1.5], [0.25, 0.5], "a title")
    if not plt.get_fignums():
        raise ProblemError("plot draws no figure with matplotlib.pyplot")
    plt.close("all")


ASKED = {
    "Fully-connected layer": "forward, backward, Xavier-uniform weights, a bias of zeros, dimensions checked",
    "Softmax": "forward and backward, for numbers of any size",
    "Tanh": "forward and backward, for numbers of any size",
    "ReLU": "forward and backward",
    "Cross-entropy": "the mean over the batch of -log p of the right class, and its gradient",
    "Multi-layer perceptron": "init_weights, forward and backward through any layers",
    "FashionMNIST": "provided: 48,000 images to train, 12,000 to validate, 10,000 to test, in batches",
    "The two networks": "784-256-128-10 with ReLU and softmax: PyTorch's is provided, and your own layers'",
    "Training": "an epoch of plain SGD, its mean loss, the validation accuracy; PyTorch's is provided",
    "Testing": "the test accuracy; PyTorch's is provided",
    "Figures": "provided: both curves, with a title and labels",
}
"""What is asked for, for README.md."""

CHECKS = {
    "Fully-connected layer": dense,
    "Softmax": activation("SoftmaxLayer"),
    "Tanh": activation("TanhLayer"),
    "ReLU": activation("ReLULayer"),
    "Cross-entropy": cross_entropy,
    "Multi-layer perceptron": mlp,
    "FashionMNIST": data,
    "The two networks": networks,
    "Training": training,
    "Testing": testing,
    "Figures": figures,
}
