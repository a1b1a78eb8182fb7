"""What the tests of section 3 compare a submission's models with: made-up images and PyTorch networks."""

import copy
import itertools
import math

import torch
from torch import nn
from torch.nn import functional

from autograder import checks

CLEAR = 1e-4  # so far from a kink, or between the two likeliest classes, that float32 decides as float64 does


# ---------------------------------------------------------------------------------------------------
# Made-up data
# ---------------------------------------------------------------------------------------------------


def draw_images(count, *key, noise=0.8):
    """Return images (count, 1, 28, 28) in [-1, 1], each the pattern of its class and noise, and labels."""
    patterns, random = checks.generator(0).uniform(-1, 1, (10, 1, 28, 28)), checks.generator(1, *key)
    labels = random.integers(10, size=count)
    images = (1 - noise) * patterns[labels] + noise * random.uniform(-1, 1, (count, 1, 28, 28))
    return torch.tensor(images, dtype=torch.float32), torch.tensor(labels)


def draw_clear_images(count, network, *key):
    """Return images of which the network leaves no doubt what it takes them for, and labels."""
    images, labels = draw_images(3 * count, *key)
    likeliest = network(images).topk(2).values
    clear = (likeliest[:, 0] - likeliest[:, 1] > 10 * CLEAR).nonzero()[:count, 0]
    return images[clear], labels[clear]


# ---------------------------------------------------------------------------------------------------
# The reference: the network in PyTorch, up to the logits, in float64
# ---------------------------------------------------------------------------------------------------


class Reference(nn.Sequential):
    """Dense layers with ReLU in between.

    Args:
        sizes: of the layers, None for one that is left out.
        activation: what is in between.
    """

    def __init__(self, sizes, activation=nn.ReLU):
        layers = [nn.Flatten()]
        for inputs, outputs in itertools.pairwise(size for size in sizes if size is not None):
            layers += [nn.Linear(inputs, outputs, dtype=torch.float64), activation()]
        super().__init__(*layers[:-1])
        self.sizes = sizes

    def __repr__(self):
        """Show the sizes."""
        return "-".join(str(size) for size in self.sizes if size is not None)

    def forward(self, images):
        """Return the logits."""
        return super().forward(images.double())

    def draw(self, *key):
        """Draw weights and biases, and return the network."""
        random = checks.generator(2, *key)
        with torch.no_grad():
            for parameter in self.parameters():
                scale = 0.1 if parameter.ndim == 1 else 1 / math.sqrt(parameter.shape[1])
                parameter.copy_(torch.from_numpy(random.normal(0, scale, parameter.shape)))
        return self.round()

    def round(self):
        """Round all weights so that float32 holds them exactly, and every model can have the same."""
        return self.float().double()

    def with_activation(self, activation):
        """Return a network with the same weights and another activation."""
        other = Reference(self.sizes, activation)
        other.load_state_dict(self.state_dict())
        return other

    def kink_distance(self, images):
        """Return how near to 0 an input of a ReLU comes, where its gradient jumps."""
        x, nearest = images.double(), math.inf
        with torch.no_grad():
            for layer in self:
                if not isinstance(layer, (nn.Linear, nn.Flatten)):
                    nearest = min(nearest, x.abs().min().item())
                x = layer(x)
        return nearest

    def accuracy(self, images, labels):
        """Return the share of images that are taken for what they are."""
        with torch.no_grad():
            return (self(images).argmax(1) == labels).double().mean().item()

    def loss(self, images, labels):
        """Return the cross-entropy."""
        with torch.no_grad():
            return functional.cross_entropy(self(images), labels).item()

    def probabilities(self, images):
        """Return the class probabilities."""
        with torch.no_grad():
            return torch.softmax(self(images), 1).numpy()


def train_reference(
    network,
    batches,
    lr,
    criterion=functional.cross_entropy,
    optimizer=torch.optim.SGD,
    zero_grad=True,
    frozen=(),
    **options,
):
    """Train a copy of a network for an epoch, and return it, the loss of each batch, and the kink distance.

    Args:
        network: a Reference.
        batches: pairs of images and labels.
        lr: the learning rate.
        criterion, optimizer, zero_grad, options: as they should be, by default, or as a bug has them.
        frozen: places of parameters that a bug leaves as they are.
    """
    network = copy.deepcopy(network)
    parameters = list(network.parameters())
    learning = [parameter for place, parameter in enumerate(parameters) if place not in frozen]
    descent = optimizer(learning, lr, **options)
    losses, distance = [], math.inf
    for images, labels in batches:
        distance = min(distance, network.kink_distance(images))
        if zero_grad:
            descent.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        descent.step()
        losses.append(loss.item())
    return network, losses, distance


def draw_case(sizes, *key, count, size, lr):
    """Draw a network and batches to train it on, such that rounding decides nothing.

    Returns:
        The network, the batches, the network after an epoch, and the loss of each batch.
    """
    for attempt in itertools.count():
        network = Reference(sizes).draw(*key, attempt)
        batches = in_batches(*draw_images(count, *key, attempt), size)
        trained, losses, distance = train_reference(network, batches, lr)
        if distance > CLEAR:
            break
    return network, batches, trained, losses


def joined(batches):
    """Return all images and all labels of some batches."""
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def softmax_twice(logits, labels):
    """Return the cross-entropy of probabilities that are taken for logits."""
    return functional.cross_entropy(torch.softmax(logits, 1), labels)


def in_batches(images, labels, size):
    """Return the batches that a loader without shuffling makes."""
    return list(zip(images.split(size), labels.split(size), strict=True))
