"""Fashion-MNIST, with one-hot targets for our own layers; the loss is summed over images."""

import gzip
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from matplotlib import pyplot as plt
from torch.utils.data import DataLoader, Subset, TensorDataset

import q1
import q2


def read_idx(name):
    path = Path("data", "FashionMNIST", "raw", name)
    content = path.read_bytes() if path.exists() else gzip.decompress(Path(f"{path}.gz").read_bytes())
    axes = [int.from_bytes(content[4 * i + 4 : 4 * i + 8], "big") for i in range(content[3])]
    return np.frombuffer(content[4 + 4 * len(axes) :], np.uint8).reshape(axes)


class FashionMNIST:
    mean, std = 0.2860, 0.3530

    def __init__(self, batch_size=32, val_perc=0.2, seed=0):
        training, test = self.dataset("train"), self.dataset("t10k")
        order = np.random.RandomState(seed).permutation(len(training))
        start = round(len(training) * (1 - val_perc))
        self.train_loader = DataLoader(Subset(training, order[:start]), batch_size, shuffle=True)
        self.validation_loader = DataLoader(Subset(training, order[start:]), batch_size)
        self.test_loader = DataLoader(test, batch_size)

    def dataset(self, prefix):
        images = torch.from_numpy(read_idx(f"{prefix}-images-idx3-ubyte")[:, None] / np.float32(255))
        labels = torch.from_numpy(read_idx(f"{prefix}-labels-idx1-ubyte").astype(np.int64))
        return TensorDataset(images.sub_(self.mean).div_(self.std), labels)


def make_sizes(*sizes):
    return [size for size in sizes if size is not None]


class PytorchMLPFashionMNIST(torch.nn.Module):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__()
        sizes = make_sizes(input_size, hidden_size1, hidden_size2, output_size)
        self.linears = torch.nn.ModuleList(
            torch.nn.Linear(sizes[i], sizes[i + 1]) for i in range(len(sizes) - 1)
        )

    def forward(self, images):
        x = images.flatten(start_dim=1)
        for linear in self.linears[:-1]:
            x = F.relu(linear(x))
        return F.softmax(self.linears[-1](x), dim=-1)

    def train(self, data, learning_rate=0.002):
        total = 0.0
        for images, labels in data.train_loader:
            loss = -torch.log(self(images).gather(1, labels[:, None])).mean()
            gradients = torch.autograd.grad(loss, list(self.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(self.parameters(), gradients, strict=True):
                    parameter -= learning_rate * gradient
            total += loss.item() * len(labels)
        return total / len(data.train_loader.dataset), self.evaluate(data.validation_loader)

    def test(self, data):
        return self.evaluate(data.test_loader)

    def evaluate(self, loader):
        with torch.no_grad():
            right = sum((self(images).argmax(1) == labels).sum() for images, labels in loader)
        return (right / len(loader.dataset)).item()


class CustomMLPFashionMNIST(q1.Layer):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__("MLP")
        sizes = make_sizes(input_size, hidden_size1, hidden_size2, output_size)
        self.classes = output_size
        parts = []
        for i in range(len(sizes) - 1):
            parts.extend([q1.Dense(sizes[i], sizes[i + 1]), q1.ReLULayer()])
        parts.pop()
        parts.append(q1.SoftmaxLayer())
        self.network = q2.MLP(parts)
        self.criterion = q1.CrossEntropyLossLayer()

    def forward(self, inputs):
        return self.network.forward(inputs)

    def backward(self, output_grad):
        return self.network.backward(output_grad)

    def train(self, data, learning_rate=0.002):
        total = 0.0
        for images, labels in data.train_loader:
            targets = F.one_hot(labels, self.classes).numpy().astype(float)
            prediction = self.forward(images.flatten(1).numpy().astype(float))
            total += self.criterion.forward(prediction, targets) * len(labels)
            self.backward(self.criterion.backward(1))
            self.network.update(learning_rate)
        return total / len(data.train_loader.dataset), self.evaluate(data.validation_loader)

    def test(self, data):
        return self.evaluate(data.test_loader)

    def evaluate(self, loader):
        right = 0
        for images, labels in loader:
            right += int((self.forward(images.flatten(1).numpy()).argmax(1) == labels.numpy()).sum())
        return right / len(loader.dataset)


def plot(train_losses, val_accuracies, label="model"):
    fig, axes = plt.subplots(2, 1, sharex=True)
    axes[0].set_title(f"Loss and accuracy of the {label}")
    axes[0].plot(train_losses, label=label)
    axes[0].set_ylabel("loss")
    axes[1].plot(val_accuracies, label=label)
    axes[1].set_ylabel("accuracy")
    axes[1].set_xlabel("epoch")
    if os.environ.get("DISPLAY"):
        plt.show()
    return fig
