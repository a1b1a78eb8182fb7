"""What the second handout's tests share: one thread, no screen, and an empty folder for each test.

The environment is set before the libraries are imported, which read it then.
"""

import os

os.environ.update({"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"})

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest
import torch
from labels import check_labels  # noqa: F401

from fashion_mnist import STYLE

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def nothing_around(monkeypatch, tmp_path):
    """Let a test begin in an empty folder, save small figures, and leave none open."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(STYLE, "savefig.dpi", 30)
    monkeypatch.delenv("FASHION_MNIST_DIR", raising=False)
    yield
    plt.close("all")
