"""Fashion-MNIST with PyTorch and with our own layers; reads the files in ./data itself."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from q1 import CrossEntropyLossLayer, Dense, Layer, ReLULayer, SoftmaxLayer
from q2 import MLP


def read(name, header):
    with open(f"data/FashionMNIST/raw/{name}", "rb") as file:
        return np.frombuffer(file.read(), dtype=np.uint8, offset=header)


def load(prefix):
    images = read(f"{prefix}-images-idx3-ubyte", 16).reshape(-1, 1, 28, 28)
    labels = read(f"{prefix}-labels-idx1-ubyte", 8)
    return torch.tensor(images).float() / 127.5 - 1, torch.tensor(labels).long()


class FashionMNIST:
    def __init__(self, batch_size=64, val_perc=0.2):
        images, labels = load("train")
        order = torch.randperm(len(images))
        n_val = int(val_perc * len(images))
        val, train = order[:n_val], order[n_val:]
        self.train_loader = DataLoader(TensorDataset(images[train], labels[train]), batch_size, shuffle=True)
        self.val_loader = DataLoader(TensorDataset(images[val], labels[val]), batch_size)
        self.test_loader = DataLoader(TensorDataset(*load("t10k")), batch_size)


class PytorchMLPFashionMNIST(nn.Module):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__()
        if hidden_size2 is None:
            hidden = [nn.Linear(input_size, hidden_size1), nn.ReLU(), nn.Linear(hidden_size1, output_size)]
        else:
            hidden = [
                nn.Linear(input_size, hidden_size1),
                nn.ReLU(),
                nn.Linear(hidden_size1, hidden_size2),
                nn.ReLU(),
                nn.Linear(hidden_size2, output_size),
            ]
        self.layers = nn.Sequential(nn.Flatten(), *hidden, nn.Softmax(dim=1))

    def forward(self, x):
        return self.layers(x)

    def train(self, data, lr=0.002):
        optimizer = torch.optim.SGD(self.parameters(), lr=lr)
        losses = []
        for x, y in data.train_loader:
            optimizer.zero_grad()
            loss = nn.functional.nll_loss(torch.log(self(x) + 1e-12), y)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return np.mean(losses), self.accuracy(data.val_loader)

    def test(self, data):
        return self.accuracy(data.test_loader)

    @torch.no_grad()
    def accuracy(self, loader):
        right = [(self(x).argmax(1) == y).float() for x, y in loader]
        return torch.cat(right).mean().item()


class CustomMLPFashionMNIST(Layer):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        sizes = [input_size, hidden_size1, hidden_size2, output_size]
        sizes = [size for size in sizes if size]
        layers = []
        for i in range(len(sizes) - 1):
            layers += [Dense(sizes[i], sizes[i + 1]), ReLULayer()]
        layers[-1] = SoftmaxLayer()
        self.mlp = MLP(layers)
        self.loss = CrossEntropyLossLayer()

    def forward(self, x):
        return self.mlp.forward(np.asarray(x).reshape(len(x), -1))

    def backward(self, output_grad):
        return self.mlp.backward(output_grad)

    def update(self, lr):
        self.mlp.update(lr)

    def train(self, data, lr=0.002):
        losses = []
        for x, y in data.train_loader:
            losses.append(self.loss.forward(self.forward(x), y.numpy()))
            self.backward(self.loss.backward())
            self.update(lr)
        return np.mean(losses), self.accuracy(data.val_loader)

    def test(self, data):
        return self.accuracy(data.test_loader)

    def accuracy(self, loader):
        right = [self.forward(x).argmax(axis=1) == y.numpy() for x, y in loader]
        return np.concatenate(right).mean()


def plot(train_losses, val_accuracies, title="Fashion-MNIST"):
    for values, name in ((train_losses, "training loss"), (val_accuracies, "validation accuracy")):
        plt.figure()
        plt.plot(range(1, len(values) + 1), values)
        plt.title(f"{title}: {name}")
        plt.xlabel("epoch")
        plt.ylabel(name)
    plt.show()


if __name__ == "__main__":
    fashion_mnist = FashionMNIST(batch_size=8)
    for model in (PytorchMLPFashionMNIST(), CustomMLPFashionMNIST()):
        history = [model.train(fashion_mnist) for _ in range(10)]
        plot(*zip(*history, strict=True), title=type(model).__name__)
        print(model.test(fashion_mnist))
