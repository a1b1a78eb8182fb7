"""What is handed out: the data and PyTorch's model are provided, the rest is to be filled in."""

import argparse
import random

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, random_split
from torchvision import datasets, transforms

from q1 import Layer

SEED = 6666
random.seed(SEED)
np.random.seed(SEED)
torch.manual_seed(SEED)


class FashionMNIST:
    def __init__(self, batch_size, val_perc=0.2):
        self.batch_size = batch_size
        self.val_perc = val_perc
        self.generator = torch.Generator().manual_seed(SEED)
        transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
        train = datasets.FashionMNIST("./data", train=True, download=True, transform=transform)
        self.test_dataset = datasets.FashionMNIST("./data", train=False, download=True, transform=transform)
        if self.val_perc is not None and self.val_perc > 0:
            sizes = [int((1 - self.val_perc) * len(train)), int(self.val_perc * len(train))]
            self.train_dataset, self.val_dataset = random_split(train, sizes, generator=self.generator)
            self.val_loader = self._loader(self.val_dataset, shuffle=False)
        else:
            self.train_dataset = train
        self.train_loader = self._loader(self.train_dataset, shuffle=True)
        self.test_loader = self._loader(self.test_dataset, shuffle=False)

    def _loader(self, dataset, shuffle):
        return DataLoader(
            dataset,
            batch_size=self.batch_size,
            shuffle=shuffle,
            num_workers=4,
            pin_memory=True,
            generator=self.generator,
        )


class PytorchMLPFashionMNIST(nn.Module):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__()
        self.input_size = input_size
        self.layers = nn.Sequential(
            nn.Linear(input_size, hidden_size1),
            nn.ReLU(),
            nn.Linear(hidden_size1, hidden_size2),
            nn.ReLU(),
            nn.Linear(hidden_size2, output_size),
        )
        self.optimizer = None

    def forward(self, x):
        return self.layers(x.view(-1, 784))

    def train(self, data, criterion=nn.CrossEntropyLoss(), lr=0.001):  # noqa: B008
        if self.optimizer is None:
            self.optimizer = torch.optim.SGD(self.parameters(), lr=lr)
        running_loss = 0.0
        for images, labels in data.train_loader:
            self.optimizer.zero_grad()
            loss = criterion(self(images), labels)
            loss.backward()
            self.optimizer.step()
            running_loss += loss.item()
        accuracy = None
        if data.val_perc is not None and data.val_perc > 0:
            accuracy = self._accuracy(data.val_loader)
        return running_loss / len(data.train_loader), accuracy

    def test(self, data):
        return self._accuracy(data.test_loader)

    @torch.no_grad()
    def _accuracy(self, loader):
        correct = total = 0
        for images, labels in loader:
            correct += (self(images).argmax(dim=1) == labels).sum().item()
            total += labels.size(0)
        return correct / total


class CustomMLPFashionMNIST(Layer):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        pass

    def forward(self, x):
        pass

    def backward(self, output_grad):
        pass

    def update(self, learning_rate):
        pass

    def train(self, data, criterion=None, lr=0.001):
        pass

    def test(self, data):
        pass


def plot(train_losses, val_accuracies, title):
    pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", default=["pytorch", "custom"])
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--val-perc", type=float, default=0.2)
    parser.add_argument("--plot", action="store_true")
    args = parser.parse_args()
    data = FashionMNIST(args.batch_size, args.val_perc)
    for name in args.models:
        model = PytorchMLPFashionMNIST() if name == "pytorch" else CustomMLPFashionMNIST()
        losses, accuracies = [], []
        for _ in range(args.epochs):
            loss, accuracy = model.train(data, lr=args.lr)
            losses.append(loss)
            accuracies.append(accuracy)
        print(f"{name}: {model.test(data):.4f}")
        if args.plot:
            plot(losses, accuracies, name)


if __name__ == "__main__":
    main()
