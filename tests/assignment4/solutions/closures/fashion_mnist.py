"""Fashion-MNIST in a functional style; the learning rate belongs to the model."""

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from q1 import CrossEntropyLossLayer, Dense, Layer, ReLULayer, SoftmaxLayer
from q2 import MLP

RAW = "data/FashionMNIST/raw"


class Batches:
    """A loader of my own."""

    def __init__(self, images, labels, batch_size, shuffle=False):
        self.images, self.labels = images, labels
        self.batch_size, self.shuffle = batch_size, shuffle

    def __len__(self):
        return -(-len(self.images) // self.batch_size)

    def __iter__(self):
        order = torch.randperm(len(self.images)) if self.shuffle else torch.arange(len(self.images))
        for chosen in order.split(self.batch_size):
            yield self.images[chosen].float() / 255 * 2 - 1, self.labels[chosen].long()


class FashionMNIST:
    def __init__(self, batch_size: int = 16):
        images, labels = self.read("train")
        self.train_loader = Batches(
            images[len(images) // 5 :], labels[len(labels) // 5 :], batch_size, shuffle=True
        )
        self.val_loader = Batches(images[: len(images) // 5], labels[: len(labels) // 5], batch_size)
        self.test_loader = Batches(*self.read("t10k"), batch_size)

    @staticmethod
    def read(part):
        images = np.fromfile(f"{RAW}/{part}-images-idx3-ubyte", np.uint8, offset=16)
        labels = np.fromfile(f"{RAW}/{part}-labels-idx1-ubyte", np.uint8, offset=8)
        return torch.from_numpy(images.reshape(-1, 1, 28, 28)), torch.from_numpy(labels)


def chain(linear, activation, end, sizes):
    sizes = [size for size in sizes if size]
    *hidden, last = [linear(d, m) for d, m in zip(sizes, sizes[1:])]  # noqa: B905, RUF007
    return [part for layer in hidden for part in (layer, activation())] + [last, end]


def share(predict, loader):
    hits = [predict(images) == labels.numpy() for images, labels in loader]
    return float(np.mean(np.concatenate(hits)))


class PytorchMLPFashionMNIST(nn.Module):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10, lr=0.002):
        super().__init__()
        sizes = (input_size, hidden_size1, hidden_size2, output_size)
        self.net = nn.Sequential(*chain(nn.Linear, nn.ReLU, nn.LogSoftmax(-1), sizes))
        self.optimizer = torch.optim.SGD(self.parameters(), lr=lr)

    def forward(self, images):
        return self.net(images.flatten(1)).exp()

    def train(self, data):
        losses = [self.step(images, labels) for images, labels in data.train_loader]
        return sum(losses) / len(losses), share(self.predict, data.val_loader)

    def step(self, images, labels):
        loss = nn.functional.nll_loss(self.net(images.flatten(1)), labels)
        self.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss)

    def predict(self, images):
        return self(images).argmax(-1).numpy()

    def test(self, data):
        return share(self.predict, data.test_loader)


class CustomMLPFashionMNIST(Layer):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10, lr=0.002):
        sizes = (input_size, hidden_size1, hidden_size2, output_size)
        network, criterion = MLP(chain(Dense, ReLULayer, SoftmaxLayer(), sizes)), CrossEntropyLossLayer()
        self.lr = lr

        def step(images, labels):
            loss = criterion.forward(network.forward(images), labels)
            network.backward(criterion.backward())
            network.update(self.lr)
            return loss

        self.apply_network, self.step = network.apply, step

    def apply(self, images):
        return self.apply_network(np.asarray(images).reshape(len(images), -1))

    def train(self, data):
        flat = [(images.flatten(1).numpy(), labels.numpy()) for images, labels in data.train_loader]
        losses = [self.step(*batch) for batch in flat]
        return sum(losses) / len(losses), share(self.predict, data.val_loader)

    def predict(self, images):
        return self.forward(images).argmax(-1)

    def test(self, data):
        return share(self.predict, data.test_loader)


def plot(losses, accuracies):
    for place, (values, name) in enumerate([(losses, "Loss"), (accuracies, "Accuracy")], 1):
        plt.subplot(1, 2, place)
        plt.plot(values, marker=".")
        plt.title(name)
        plt.xlabel("Epoch")
        plt.ylabel(name)
