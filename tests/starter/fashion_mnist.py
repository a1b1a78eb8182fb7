"""Question 3: Fashion-MNIST, with a model of PyTorch's and with one made of your own layers.

    python fashion_mnist.py                                       both models, 10 epochs
    python fashion_mnist.py --models custom --lr 0.02 --epochs 5  one of them
    python fashion_mnist.py --plot                                also draw the curves, into curves.png

The data, the PyTorch model, `plot` and the command line are there. `CustomMLPFashionMNIST` is yours to write:
the same network, of nothing but your layers in q1.py and q2.py. You may change what is there, as question 3.2
asks you to, but keep the names, and what each method takes and returns.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset, random_split

from q1 import CrossEntropyLossLayer, Dense, Layer, ReLULayer, SoftmaxLayer
from q2 import MLP

SEED = 6666  # fixes the split, and in `main` the weights
RAW = Path("data", "FashionMNIST", "raw")  # where torchvision keeps the files


class FashionMNIST:
    """Fashion-MNIST in batches: 48,000 images to train, 12,000 to validate, 10,000 to test.

    The files are looked for in ./data, and downloaded to there the first time (30 MB).

    Args:
        batch_size: how many images make a batch, an int >= 1.
        val_perc: the share of the 60,000 training images that is set aside for validation, in [0, 1).

    Attributes:
        train_loader, val_loader, test_loader: iterate over batches of images, a float32 tensor (B, 1, 28, 28)
            with pixels from -1 to 1, and labels, an int64 tensor (B,) of 0 to 9. The last one may be smaller.
    """

    def __init__(self, batch_size=8, val_perc=0.2):
        self.batch_size = batch_size
        self.val_perc = val_perc
        train, test = self._load("train"), self._load("t10k")
        val_size = int(val_perc * len(train))
        split = torch.Generator().manual_seed(SEED)
        train, val = random_split(train, [len(train) - val_size, val_size], generator=split)
        self.train_loader = DataLoader(train, batch_size, shuffle=True)
        self.val_loader = DataLoader(val, batch_size)
        self.test_loader = DataLoader(test, batch_size)

    def _load(self, part):
        files = [RAW / f"{part}-images-idx3-ubyte", RAW / f"{part}-labels-idx1-ubyte"]
        if not all(file.is_file() for file in files):
            from torchvision import datasets  # needed for nothing else

            datasets.FashionMNIST("data", download=True)
        images, labels = (np.fromfile(file, np.uint8) for file in files)
        images = torch.from_numpy(images[16:].reshape(-1, 1, 28, 28)).float()
        images /= 127.5  # in place: a copy would be another 200 MB
        images -= 1
        return TensorDataset(images, torch.from_numpy(labels[8:]).long())


class PytorchMLPFashionMNIST(nn.Module):
    """The handout's network in PyTorch.

    Args:
        input_size: the pixels of an image.
        hidden_size1: the width of the first hidden layer.
        hidden_size2: the width of the second hidden layer.
        output_size: the number of classes.

    Attributes:
        layers: the network, without the softmax at its end: `nn.CrossEntropyLoss` has that in it.
    """

    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(input_size, hidden_size1),
            nn.ReLU(),
            nn.Linear(hidden_size1, hidden_size2),
            nn.ReLU(),
            nn.Linear(hidden_size2, output_size),
        )

    def forward(self, input):
        """Return the output (N, 10) for images (N, 1, 28, 28) or (N, 784).

        Args:
            input: a float32 tensor.

        Returns:
            A float32 tensor, of which softmax makes the probabilities.
        """
        return self.layers(input.flatten(1))

    def train(self, data, criterion=None, lr=0.002):
        """Train for one epoch with plain SGD, then measure the accuracy on the validation set.

        Args:
            data: a FashionMNIST.
            criterion: the loss; by default `nn.CrossEntropyLoss()`.
            lr: the learning rate.

        Returns:
            The mean training loss of the epoch, and the validation accuracy after it, two floats.
        """
        criterion = criterion or nn.CrossEntropyLoss()
        optimizer = torch.optim.SGD(self.parameters(), lr=lr)
        losses = []
        for images, labels in data.train_loader:
            optimizer.zero_grad()
            loss = criterion(self.forward(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return np.mean(losses), self._accuracy(data.val_loader)

    def test(self, data):
        """Return the accuracy on the test set.

        Args:
            data: a FashionMNIST.

        Returns:
            The share of the test images that are taken for what they are, a float from 0 to 1.
        """
        return self._accuracy(data.test_loader)

    @torch.no_grad()
    def _accuracy(self, loader):
        correct = total = 0
        for images, labels in loader:
            correct += (self.forward(images).argmax(dim=1) == labels).sum().item()
            total += len(labels)
        return correct / total if total else float("nan")


class CustomMLPFashionMNIST(Layer):
    """The same network, of the layers in q1 and q2 alone.

    784 inputs → Dense → ReLU → Dense → ReLU → Dense → softmax. The grader looks whether every answer, and all
    that is learned, has come from your own `Dense` layers: PyTorch may have no part in it.

    Args:
        input_size: the pixels of an image.
        hidden_size1: the width of the first hidden layer.
        hidden_size2: the width of the second hidden layer.
        output_size: the number of classes.

    Attributes:
        layers: the network, an `MLP`.
    """

    def __init__(self, input_size=784, hidden_size1=256, hidden_size2=128, output_size=10):
        super().__init__()
        # BEGIN SOLUTION
        self.layers = MLP(
            [
                Dense(input_size, hidden_size1),
                ReLULayer(),
                Dense(hidden_size1, hidden_size2),
                ReLULayer(),
                Dense(hidden_size2, output_size),
                SoftmaxLayer(),
            ]
        )
        # END SOLUTION

    def forward(self, x):
        """Return the output (N, 10) for images (N, 1, 28, 28) or (N, 784).

        Args:
            x: a float32 tensor, as the loaders yield it, or an np.ndarray.

        Returns:
            np.ndarray, the probabilities of the classes.
        """
        # BEGIN SOLUTION
        return self.layers.forward(np.asarray(x).reshape(len(x), -1))
        # END SOLUTION

    def backward(self, output_grad):
        """Compute the gradients of all parameters, and return that of the images.

        Args:
            output_grad: np.ndarray (N, 10), the gradient of the loss with respect to the latest output.

        Returns:
            np.ndarray (N, 784), the gradient of the loss with respect to the pixels.
        """
        # BEGIN SOLUTION
        return self.layers.backward(output_grad)
        # END SOLUTION

    def update(self, learning_rate):
        """Take one step of gradient descent with the latest gradients.

        Args:
            learning_rate: a float.
        """
        # BEGIN SOLUTION
        self.layers.update(learning_rate)
        # END SOLUTION

    def train(self, data, criterion=None, lr=0.002):
        """Train for one epoch and validate, as ``PytorchMLPFashionMNIST.train`` does.

        For each batch: forward, the loss, its gradient, backward, update.

        Args:
            data: a FashionMNIST.
            criterion: the loss; by default `CrossEntropyLossLayer()`.
            lr: the learning rate.

        Returns:
            The mean training loss of the epoch, and the validation accuracy after it, two floats.
        """
        # BEGIN SOLUTION
        criterion = criterion or CrossEntropyLossLayer()
        losses = []
        for images, labels in data.train_loader:
            losses.append(criterion.forward(self.forward(images), labels.numpy()))
            self.backward(criterion.backward(1.0))
            self.update(lr)
        return np.mean(losses), self._accuracy(data.val_loader)
        # END SOLUTION

    def test(self, data):
        """Return the accuracy on the test set.

        Args:
            data: a FashionMNIST.

        Returns:
            The share of the test images that are taken for what they are, a float from 0 to 1.
        """
        # BEGIN SOLUTION
        return self._accuracy(data.test_loader)

    def _accuracy(self, loader):
        correct = total = 0
        for images, labels in loader:
            correct += np.sum(np.argmax(self.forward(images), axis=1) == labels.numpy())
            total += len(labels)
        return correct / total if total else float("nan")
        # END SOLUTION


def plot(train_losses, val_accuracies, title="Fashion-MNIST"):
    """Plot the training loss and the validation accuracy over the epochs, side by side.

    Args:
        train_losses: a list with a number for each epoch, or several such lists by the name of the model, as
            in {"PyTorch": [...], "custom": [...]}.
        val_accuracies: likewise.
        title: the figure's title.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained")
    figure.suptitle(title)
    for ax, name, curves in zip(
        axes, ["Training loss", "Validation accuracy"], [train_losses, val_accuracies], strict=True
    ):
        for model, values in (curves if isinstance(curves, dict) else {"": curves}).items():
            ax.plot(range(1, len(values) + 1), values, marker="o", label=model)
        ax.set(title=name, xlabel="Epoch", ylabel=name)
        ax.xaxis.get_major_locator().set_params(integer=True)
        if isinstance(curves, dict):
            ax.legend()
    return figure


def main():
    """Train and test the models that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--models", nargs="+", choices=["pytorch", "custom"], default=["pytorch", "custom"])
    parser.add_argument("--lr", type=float, default=0.002, help="learning rate (%(default)s)")
    parser.add_argument("--epochs", type=int, default=10, help="passes over the training set (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=8, help="images per step (%(default)s)")
    parser.add_argument("--val-perc", type=float, default=0.2, help="share for validation (%(default)s)")
    parser.add_argument(
        "--plot", action="store_true", help="draw the curves, into curves.png and on the screen"
    )
    args = parser.parse_args()

    np.random.seed(SEED)
    torch.manual_seed(SEED)
    data = FashionMNIST(args.batch_size, args.val_perc)
    train_losses, val_accuracies = {}, {}
    for name in args.models:
        model = PytorchMLPFashionMNIST() if name == "pytorch" else CustomMLPFashionMNIST()
        train_losses[name], val_accuracies[name] = [], []
        for epoch in range(1, args.epochs + 1):
            loss, accuracy = model.train(data, lr=args.lr)
            train_losses[name].append(loss)
            val_accuracies[name].append(accuracy)
            print(f"{name}, epoch {epoch}: training loss {loss:.4f}, validation accuracy {accuracy:.4f}")
        print(f"{name}: test accuracy {model.test(data):.4f}")
    if args.plot:
        plot(train_losses, val_accuracies, f"Fashion-MNIST, learning rate {args.lr:g}").savefig("curves.png")
        plt.show()


if __name__ == "__main__":
    main()
