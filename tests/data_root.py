"""Lets torchvision find Fashion-MNIST whatever folder it is told: students keep it at many places."""

from pathlib import Path

from torchvision import datasets

GIVEN = Path("data", "FashionMNIST", "raw")  # in the home folder, which is where a submission starts


def raw_folder(self):
    """Return the folder of a data set's files: its own if they are there, else the one that is given."""
    own = Path(self.root, type(self).__name__, "raw")
    given = Path.home() / GIVEN
    return str(given if given.is_dir() and not any(own.glob("*-ubyte*")) else own)


datasets.FashionMNIST.raw_folder = property(raw_folder)
