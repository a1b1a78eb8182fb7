"""The data folder that a submission finds as ``./data``: Fashion-MNIST, laid out as torchvision has it.

It is the real set where this machine has it, and else one of the same form and sizes, made up: each class is
a pattern with noise, easy to learn. Nothing is downloaded.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SOLUTION = Path(__file__).resolve().parent.parent
RAW = Path("FashionMNIST", "raw")
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # the reference's, which takes PyTorch to import
CLASSES = 10
SIZES = {"train": 60_000, "t10k": 10_000}


@contextmanager
def provide(seed: int = 0) -> Iterator[Path]:
    """Provide the folder, which everybody may read, for as long as the context lasts.

    Args:
        seed: what the set is drawn from, if it has to be made up.
    """
    from autograder.inside.scratch import scratch_folder  # not to be had by ``main``

    with scratch_folder() as folder:
        raw = folder / RAW
        raw.mkdir(parents=True)
        if not copy_real_files(raw):
            make_up_files(raw, seed)
        for path in (folder, *folder.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield folder


def copy_real_files(raw: Path) -> bool:
    """Write the real set's four files, and return whether this machine has them.

    The reference's own finder looks for them, in a process of its own: it takes PyTorch to import, and its
    ``import q1`` must not meet a submission's ``q1``.
    """
    command = [sys.executable, __file__, str(raw)]
    own = os.environ.get("FASHION_MNIST_DIR")
    folder = Path(os.path.expanduser(own or "data")).resolve()
    if not any(map(has_files, (folder, SOLUTION / "data", DEBIAN_FOLDER))):
        return False
    environment = {**os.environ, "FASHION_MNIST_DIR": str(folder)}
    done = subprocess.run(command, cwd=SOLUTION, env=environment, stdout=sys.stderr)
    return done.returncode == 0


def has_files(folder: Path) -> bool:
    """Say whether there are any of the set's files in a folder, whole or not."""
    return any(any(place.glob("*-ubyte*")) for place in (folder, folder / RAW))


def main(raw: str) -> int:
    """Look for the real set and write its files into a folder; return 1 if it is nowhere."""
    sys.path.insert(0, str(SOLUTION))
    import fashion_mnist as reference

    for place in (Path(os.environ["FASHION_MNIST_DIR"]), Path("data"), reference.DEBIAN_FOLDER):
        try:
            paths = reference.find_idx_files(place)
            if paths is None:
                continue
            for name, path in paths.items():
                write_idx(Path(raw, name), reference.read_idx_file(path, name))
            return 0
        except (reference.DataError, OSError) as error:
            print(f"{error}; this copy of Fashion-MNIST is not used", file=sys.stderr)
    return 1


def make_up_files(raw: Path, seed: int) -> None:
    """Draw a set of the real one's form and sizes, and write its files."""
    random = np.random.default_rng(seed)
    patterns = np.kron(random.integers(2, size=(CLASSES, 7, 7)), np.ones((4, 4))) * 191
    for part, size in SIZES.items():
        labels = random.integers(CLASSES, size=size, dtype=np.uint8)
        images = random.integers(256, size=(size, 28, 28), dtype=np.uint8) // 4
        for label, pattern in enumerate(patterns.astype(np.uint8)):
            images[labels == label] += pattern
        write_idx(raw / f"{part}-images-idx3-ubyte", images)
        write_idx(raw / f"{part}-labels-idx1-ubyte", labels)


def write_idx(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an array as an IDX file: two zeros, 8 for bytes, the number of axes, the axes, the bytes."""
    axes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    path.write_bytes(bytes([0, 0, 8, array.ndim]) + axes + array.tobytes())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
