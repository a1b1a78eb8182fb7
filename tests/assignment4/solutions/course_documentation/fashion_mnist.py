# Assignment 4, Question 3
# Name: A. Student
# Date: 2026
"""Fashion-MNIST. There is no update in the layers: train takes the step itself."""

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.utils.data import DataLoader, random_split
from torchvision import datasets, transforms

from q1 import CrossEntropyLossLayer, Dense, Layer, ReLULayer, SoftmaxLayer
from q2 import MLP


class FashionMNIST:
    def __init__(self, batch_size, val_perc=0.2):
        self.batch_size = batch_size
        transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
        full = datasets.FashionMNIST(root="./data", train=True, download=True, transform=transform)
        test = datasets.FashionMNIST(root="./data", train=False, download=True, transform=transform)
        val_size = int(len(full) * val_perc)
        train, val = random_split(full, [len(full) - val_size, val_size])
        self.train_loader = DataLoader(train, batch_size=batch_size, shuffle=True)
        self.val_loader = DataLoader(val, batch_size=batch_size, shuffle=False)
        self.test_loader = DataLoader(test, batch_size=batch_size, shuffle=False)


class PytorchMLPFashionMNIST(nn.Module):
    def __init__(self, input_size=28 * 28, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__()
        self.input_size = input_size
        self.fc1 = nn.Linear(input_size, hidden_size1)
        self.fc2 = None if hidden_size2 is None else nn.Linear(hidden_size1, hidden_size2)
        self.fc3 = nn.Linear(hidden_size2 or hidden_size1, output_size)
        self.relu = nn.ReLU()
        self.softmax = nn.Softmax(dim=1)

    def logits(self, x):
        x = x.view(-1, self.input_size)
        x = self.relu(self.fc1(x))
        if self.fc2 is not None:
            x = self.relu(self.fc2(x))
        return self.fc3(x)

    def forward(self, x):
        return self.softmax(self.logits(x))

    def train(self, data, criterion, optimizer):
        running_loss = 0.0
        for images, labels in data.train_loader:
            optimizer.zero_grad()
            loss = criterion(self.logits(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        correct, total = 0, 0
        with torch.no_grad():
            for images, labels in data.val_loader:
                _, predicted = torch.max(self(images), 1)
                total += labels.size(0)
                correct += (predicted == labels).sum().item()
        return running_loss / len(data.train_loader), correct / total

    def test(self, data):
        correct, total = 0, 0
        with torch.no_grad():
            for images, labels in data.test_loader:
                _, predicted = torch.max(self(images), 1)
                total += labels.size(0)
                correct += (predicted == labels).sum().item()
        return correct / total


class CustomMLPFashionMNIST(Layer):
    def __init__(self, input_size=28 * 28, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__()
        self.dense1 = Dense(input_size, hidden_size1)
        self.relu1 = ReLULayer()
        self.output_layer = Dense(hidden_size2 or hidden_size1, output_size)
        self.softmax = SoftmaxLayer()
        middle = [] if hidden_size2 is None else [Dense(hidden_size1, hidden_size2), ReLULayer()]
        self.model = MLP([self.dense1, self.relu1, *middle, self.output_layer, self.softmax])

    def init_weights(self):
        self.model.init_weights()

    def forward(self, input):
        return self.model.forward(input)

    def backward(self, output_grad):
        return self.model.backward(output_grad)

    def train(self, data, criterion, lr):
        running_loss = 0.0
        for images, labels in data.train_loader:
            inputs = images.view(images.shape[0], -1).numpy()
            loss = criterion.forward(self.forward(inputs), labels.numpy())
            running_loss += loss.item()
            self.backward(criterion.backward())
            for layer in self.model.layers:
                if isinstance(layer, Dense):
                    layer.weights -= lr * layer.weights_grad
                    layer.bias -= lr * layer.bias_grad
        return running_loss / len(data.train_loader), self.evaluate(data.val_loader)

    def test(self, data):
        return self.evaluate(data.test_loader)

    def evaluate(self, loader):
        correct, total = 0, 0
        for images, labels in loader:
            predicted = np.argmax(self.forward(images.view(images.shape[0], -1).numpy()), axis=1)
            correct += np.sum(predicted == labels.numpy())
            total += labels.shape[0]
        return correct / total


def plot(train_losses, val_accuracies):
    epochs = np.arange(1, len(train_losses) + 1)
    fig, (left, right) = plt.subplots(1, 2, figsize=(12, 4))
    fig.suptitle("Training on Fashion-MNIST")
    left.plot(epochs, train_losses, "r-o")
    left.set(xlabel="Epoch", ylabel="Training loss")
    right.plot(epochs, val_accuracies, "b-o")
    right.set(xlabel="Epoch", ylabel="Validation accuracy")
    plt.savefig("curves.png")
    plt.show()
    plt.close(fig)


if __name__ == "__main__":
    data = FashionMNIST(batch_size=16)
    pytorch, custom = PytorchMLPFashionMNIST(), CustomMLPFashionMNIST()
    sgd = optim.SGD(pytorch.parameters(), lr=0.002)
    for _ in range(10):
        print(pytorch.train(data, nn.CrossEntropyLoss(), sgd))
        print(custom.train(data, CrossEntropyLossLayer(), 0.002))
