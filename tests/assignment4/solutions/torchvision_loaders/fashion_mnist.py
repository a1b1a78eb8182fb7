"""Fashion-MNIST from torchvision, with worker processes; PyTorch's model gives logits."""

import os

import matplotlib.pyplot as plt
import numpy as np
import torch
import torchvision
from torch import nn
from torch.utils.data import DataLoader, random_split

from q1 import CrossEntropyLossLayer, Dense, Layer, ReLULayer, SoftmaxLayer
from q2 import MLP


class FashionMNIST:
    def __init__(self, batch_size=64, val_split=0.2, root="./data", num_workers=2):
        transform = torchvision.transforms.ToTensor()
        train_set = torchvision.datasets.FashionMNIST(root, train=True, download=True, transform=transform)
        self.test_set = torchvision.datasets.FashionMNIST(root, train=False, transform=transform)
        generator = torch.Generator().manual_seed(42)
        self.train_set, self.val_set = random_split(train_set, [1 - val_split, val_split], generator)
        options = {"batch_size": batch_size, "num_workers": num_workers}
        self.train_loader = DataLoader(self.train_set, shuffle=True, **options)
        self.val_loader = DataLoader(self.val_set, **options)
        self.test_loader = DataLoader(self.test_set, **options)


def percent_correct(predict, loader):
    correct, total = 0, 0
    for images, labels in loader:
        correct += (predict(images) == labels.numpy()).sum()
        total += len(labels)
    return 100.0 * correct / total


class PytorchMLPFashionMNIST(nn.Module):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__()
        self.flatten = nn.Flatten()
        stack = [nn.Linear(input_size, hidden_size1), nn.ReLU()]
        if hidden_size2:
            stack += [nn.Linear(hidden_size1, hidden_size2), nn.ReLU()]
        self.stack = nn.Sequential(*stack, nn.Linear(hidden_size2 or hidden_size1, output_size))
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.to(self.device)

    def forward(self, x):
        return self.stack(self.flatten(x))  # the softmax is in nn.CrossEntropyLoss

    def predict(self, x):
        with torch.no_grad():
            return torch.softmax(self(x.to(self.device)), dim=1).argmax(dim=1).cpu().numpy()

    def train(self, fashion_mnist, criterion=None, optimizer=None, lr=0.002):
        criterion = criterion or nn.CrossEntropyLoss()
        optimizer = optimizer or torch.optim.SGD(self.parameters(), lr=lr)
        total_loss = torch.zeros(())
        for x, y in fashion_mnist.train_loader:
            loss = criterion(self(x.to(self.device)), y.to(self.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss.detach().cpu()
        return total_loss / len(fashion_mnist.train_loader), percent_correct(
            self.predict, fashion_mnist.val_loader
        )

    def test(self, fashion_mnist):
        return percent_correct(self.predict, fashion_mnist.test_loader)


class CustomMLPFashionMNIST(Layer):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        stack = [Dense(input_size, hidden_size1), ReLULayer()]
        if hidden_size2:
            stack += [Dense(hidden_size1, hidden_size2), ReLULayer()]
        self.stack = MLP([*stack, Dense(hidden_size2 or hidden_size1, output_size), SoftmaxLayer()])

    def forward(self, x):
        return self.stack.forward(x.reshape(x.shape[0], -1))

    def backward(self, output_grad):
        return self.stack.backward(output_grad)

    def predict(self, x):
        return self.forward(x.numpy()).argmax(axis=1)

    def train(self, fashion_mnist, criterion=None, lr=0.002):
        criterion = criterion or CrossEntropyLossLayer()
        total_loss = 0.0
        for x, y in fashion_mnist.train_loader:
            total_loss += criterion.forward(self.forward(x.numpy()), y.numpy())
            self.backward(criterion.backward())
            self.stack.update(lr)
        return total_loss / len(fashion_mnist.train_loader), percent_correct(
            self.predict, fashion_mnist.val_loader
        )

    def test(self, fashion_mnist):
        return percent_correct(self.predict, fashion_mnist.test_loader)


def plot(train_losses, val_accuracies, model_name="MLP", path="plots"):
    os.makedirs(path, exist_ok=True)
    epochs = np.arange(1, len(train_losses) + 1)
    fig, ax1 = plt.subplots()
    ax1.plot(epochs, train_losses, color="tab:red")
    ax1.set_xlabel("Epochs")
    ax1.set_ylabel("Training loss", color="tab:red")
    ax2 = ax1.twinx()
    ax2.plot(epochs, val_accuracies, color="tab:blue")
    ax2.set_ylabel("Validation accuracy (%)", color="tab:blue")
    plt.title(f"{model_name} on Fashion-MNIST")
    fig.tight_layout()
    fig.savefig(os.path.join(path, f"{model_name}.png"))
    plt.close("all")
