"""The data set: where it is looked for and fetched from, what is refused, and the batches made of it."""

import gzip
import hashlib
import inspect
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import fashion_mnist
from fashion_mnist import BatchLoader, DataError, FashionMNIST, import_torchvision, load_idx_files

SHAPES = {
    "train-images-idx3-ubyte": (30, 28, 28),
    "train-labels-idx1-ubyte": (30,),
    "t10k-images-idx3-ubyte": (12, 28, 28),
    "t10k-labels-idx1-ubyte": (12,),
}
RANDOM = np.random.RandomState(0)
ARRAYS = {
    name: RANDOM.randint(256 if len(shape) > 1 else 10, size=shape).astype(np.uint8)
    for name, shape in SHAPES.items()
}
CONTENTS = {
    # The IDX format: 00 00, 08 for unsigned bytes, the number of axes, each axis as four bytes, the bytes.
    name: bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
    for name, array in ARRAYS.items()
}
NAMES = list(SHAPES)
IDX_FILES = fashion_mnist.IDX_FILES


@pytest.fixture(autouse=True)
def small_set(nothing_around, monkeypatch):
    """Let a small made-up set stand for the real one, and nothing fetch it."""
    files = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENTS.items()}
    monkeypatch.setattr(fashion_mnist, "IDX_FILES", files)
    monkeypatch.setenv("PATH", "/nowhere")  # no apt-get
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(missing))


class Torchvision:
    """Stands for torchvision: its data set is what ``download`` puts into the folder that it is given."""

    def __init__(self, download):
        self.datasets = SimpleNamespace(FashionMNIST=self.make)
        self.download = download
        self.calls = 0

    def make(self, root, train=True, transform=None, target_transform=None, download=False):
        assert download
        self.calls += 1
        self.download(Path(root, "FashionMNIST", "raw"))


def missing(folder):
    raise RuntimeError("Error downloading train-images-idx3-ubyte.gz")


def put(folder, names=NAMES, gzipped=False):
    """Write files of the made-up set into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        if gzipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(CONTENTS[name]))
        else:
            (folder / name).write_bytes(CONTENTS[name])
    return folder


def put_gzipped(folder):
    put(folder, gzipped=True)


def files_below(folder):
    """Return the paths of all files below a folder."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def assert_is_the_set(arrays):
    for (name, expected), array in zip(ARRAYS.items(), arrays, strict=True):
        np.testing.assert_array_equal(array, expected, name)
        assert array.dtype == np.uint8


# Where it is looked for.


@pytest.mark.parametrize("gzipped", [False, True], ids=["raw", "gzipped"])
@pytest.mark.parametrize("below", ["", "FashionMNIST/raw"], ids=["flat", "torchvision's folders"])
def test_folder_that_is_named(tmp_path, below, gzipped):
    put(tmp_path / "mine" / below, gzipped=gzipped)
    assert_is_the_set(load_idx_files(tmp_path / "mine"))
    assert_is_the_set(load_idx_files(str(tmp_path / "mine")))
    assert not Path("data").exists()


def test_raw_and_gzipped_mixed(tmp_path):
    put(tmp_path / "mine", NAMES[:1])
    put(tmp_path / "mine", NAMES[1:], gzipped=True)
    assert_is_the_set(load_idx_files(tmp_path / "mine"))


PLACES = ["mine", "environment", "data", "debian"]


@pytest.mark.parametrize("place", PLACES)
def test_order_of_the_places(tmp_path, monkeypatch, place):
    """Every place before is empty, every one after it has broken files, which must not be looked at."""
    monkeypatch.setenv("FASHION_MNIST_DIR", str(tmp_path / "environment"))
    for later in PLACES[PLACES.index(place) + 1 :]:
        for path in put(tmp_path / later).iterdir():
            path.write_bytes(b"broken")
    put(tmp_path / place, gzipped=place == "debian")
    assert_is_the_set(load_idx_files(tmp_path / "mine" if place == "mine" else None))


def test_named_folder_takes_the_place_of_the_environment_variable(tmp_path, monkeypatch):
    monkeypatch.setenv("FASHION_MNIST_DIR", str(tmp_path / "environment"))
    for path in put(tmp_path / "environment").iterdir():
        path.write_bytes(b"broken")
    put(tmp_path / "data")
    assert_is_the_set(load_idx_files(tmp_path / "mine"))


def test_home_folder(tmp_path, monkeypatch):
    """``~`` is the home folder, in either way to name one, also for what is downloaded."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    put(tmp_path / "home" / "mine")
    assert_is_the_set(load_idx_files("~/mine"))
    monkeypatch.setenv("FASHION_MNIST_DIR", "~/mine")
    assert_is_the_set(load_idx_files())
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(put))
    assert_is_the_set(load_idx_files("~/new"))
    assert {path.split("/")[0] for path in files_below(tmp_path)} == {"home"}
    assert (tmp_path / "home/new/FashionMNIST/raw" / NAMES[0]).exists()


@pytest.mark.parametrize("by_variable", [False, True], ids=["named", "by the variable"])
@pytest.mark.parametrize("place", ["data", "debian"])
def test_another_place_than_the_one_named(tmp_path, monkeypatch, capsys, place, by_variable):
    """Where the set is not in the folder that was named, but elsewhere, a line says so."""
    put(tmp_path / place)
    if by_variable:
        monkeypatch.setenv("FASHION_MNIST_DIR", "mine")
    assert_is_the_set(load_idx_files(None if by_variable else "mine"))
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert len(stderr.splitlines()) == 1
    assert "mine" in stderr
    assert place in stderr


def test_the_place_that_was_named(tmp_path, monkeypatch, capsys):
    """Where it is there, or no folder was named, there is nothing to say."""
    put(tmp_path / "mine")
    load_idx_files("mine")
    load_idx_files(tmp_path / "mine")
    put(tmp_path / "data")
    load_idx_files()
    assert capsys.readouterr() == ("", "")


# What is refused.


def truncate(path):
    path.write_bytes(path.read_bytes()[:-5])


def lengthen(path):
    path.write_bytes(path.read_bytes() + b"!")


def empty(path):
    path.write_bytes(b"")


def change_magic(path):
    path.write_bytes(b"\0\0\x08\x02" + path.read_bytes()[4:])


def change_size(path):
    content = path.read_bytes()
    path.write_bytes(content[:7] + b"\x1d" + content[8:])


def change_last_pixel(path):
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def change_middle(path):
    content = path.read_bytes()
    middle = len(content) // 2
    path.write_bytes(content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :])


def change_head(path):
    """Write a block that there is no such kind of where a gzip file's first block begins."""
    content = path.read_bytes()
    path.write_bytes(content[:10] + b"\xff" + content[11:])


def not_gzip(path):
    path.write_bytes(b"<html>404</html>")


def wrong_within(change):
    """Return a function that applies ``change`` to what a gzip file holds."""

    def apply(path):
        path.write_bytes(gzip.decompress(path.read_bytes()))
        change(path)
        path.write_bytes(gzip.compress(path.read_bytes()))

    return apply


@pytest.mark.parametrize(
    ("change", "gzipped", "words"),
    [
        (truncate, False, "got 23531 bytes"),
        (lengthen, False, "got 23537 bytes"),
        (empty, False, "got 0 bytes"),
        (change_magic, False, "sha256"),
        (change_size, False, "sha256"),
        (change_last_pixel, False, "sha256"),
        (truncate, True, "gzip"),
        (empty, True, "got 0 bytes"),
        (change_middle, True, "gzip"),
        (change_head, True, "gzip"),
        (not_gzip, True, "gzip"),
        (wrong_within(truncate), True, "got 23531 bytes"),
        (wrong_within(lengthen), True, "got 23537 bytes"),
        (wrong_within(change_magic), True, "sha256"),
        (wrong_within(change_last_pixel), True, "sha256"),
    ],
)
def test_broken_file(tmp_path, change, gzipped, words):
    """A broken file is named, with what was expected; no other place is taken instead."""
    folder = put(tmp_path / "mine", gzipped=gzipped)
    put(tmp_path / "data")
    path = folder / f"{NAMES[0]}{'.gz' if gzipped else ''}"
    change(path)
    with pytest.raises(DataError, match=f"{path}: expected .*{words}") as error:
        load_idx_files(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("missing", NAMES)
def test_three_of_four_files(tmp_path, monkeypatch, place, missing):
    monkeypatch.setenv("FASHION_MNIST_DIR", str(tmp_path / "environment"))
    put(tmp_path / place, [name for name in NAMES if name != missing])
    with pytest.raises(DataError, match=f"{place}: expected 4 files.*{missing}"):
        load_idx_files(tmp_path / "mine" if place == "mine" else None)
    assert len(files_below(tmp_path)) == 3


# Fetching it.


def test_download(tmp_path, monkeypatch):
    """What torchvision downloads is kept where it was to go, and is found there from then on."""
    torchvision = Torchvision(put_gzipped)
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: torchvision)
    for _ in range(2):
        assert_is_the_set(load_idx_files(tmp_path / "mine"))
    assert torchvision.calls == 1
    assert files_below(tmp_path) == sorted(f"mine/FashionMNIST/raw/{name}.gz" for name in NAMES)


@pytest.mark.parametrize("by_variable", [True, False])
def test_folder_for_the_download(tmp_path, monkeypatch, by_variable):
    """Without --data-dir it is $FASHION_MNIST_DIR, and without that ./data."""
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(put))
    if by_variable:
        monkeypatch.setenv("FASHION_MNIST_DIR", str(tmp_path / "environment"))
    assert_is_the_set(load_idx_files())
    folder = "environment" if by_variable else "data"
    assert files_below(tmp_path) == sorted(f"{folder}/FashionMNIST/raw/{name}" for name in NAMES)


def put_some(folder):
    put(folder, NAMES[:3], gzipped=True)


def put_and_break(folder):
    put(folder, gzipped=True)
    change_middle(folder / f"{NAMES[0]}.gz")


def put_and_interrupt(folder):
    put(folder, NAMES[:2], gzipped=True)
    raise KeyboardInterrupt


def put_and_fill_the_disk(folder):
    put(folder, NAMES[:2])
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("download", [put_some, put_and_break, put_and_interrupt, put_and_fill_the_disk])
def test_download_that_fails(tmp_path, monkeypatch, download):
    """It leaves nothing half-written behind, and the next attempt succeeds."""
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(download))
    with pytest.raises((DataError, KeyboardInterrupt)):
        load_idx_files()
    assert files_below(tmp_path) == []
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(put))
    assert_is_the_set(load_idx_files())
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(missing))
    assert_is_the_set(load_idx_files())


def test_leftovers_of_a_killed_download(tmp_path, monkeypatch):
    """Whatever kill -9 leaves of a download is not taken for the set."""

    def download_and_be_killed(folder):
        put_some(folder)
        subprocess.run(["/bin/cp", "-r", tmp_path / "data", tmp_path / "as it was"], check=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(download_and_be_killed))
    with pytest.raises(KeyboardInterrupt):
        load_idx_files()
    Path("data").rmdir()
    Path("as it was").rename("data")
    assert files_below(Path("data")), "the download was interrupted before it began"
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(put))
    assert_is_the_set(load_idx_files())


APT_GET = """#!/bin/sh
# Stands for apt-get: knows packages only after an update, if it is to ($UPDATE).
echo "$@" >> {log}
case "$*" in
    *update) : > {folder}/updated ;;
    *download*) [ -z "$UPDATE" ] || [ -e {folder}/updated ] ||
                    {{ echo "E: Unable to locate package" >&2; exit 100; }}
                cp {folder}/package.tar dataset-fashion-mnist_0.1_all.deb ;;
esac
"""
DPKG_DEB = """#!/bin/sh
# Stands for dpkg-deb -x PACKAGE FOLDER.
mkdir -p "$3" && tar -xf "$2" -C "$3"
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """Put programs on PATH that stand for apt-get and dpkg-deb and have the made-up set in a package."""
    folder = tmp_path / "apt"
    put(folder / "content", gzipped=True)
    with tarfile.open(folder / "package.tar", "w") as package:
        package.add(folder / "content", fashion_mnist.DEBIAN_FOLDER.relative_to("/"))
    for name, text in (("apt-get", APT_GET), ("dpkg-deb", DPKG_DEB)):
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(text.format(folder=folder, log=folder / "log"), encoding="utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}:/usr/bin:/bin")
    return folder


@pytest.mark.parametrize("update", ["", "needed"], ids=["", "after an update"])
def test_apt_get(tmp_path, monkeypatch, apt, update):
    """Where torchvision can't download, apt-get's package is unpacked, and found from then on."""
    monkeypatch.setenv("UPDATE", update)
    for _ in range(2):
        assert_is_the_set(load_idx_files(tmp_path / "mine"))
    assert files_below(tmp_path / "mine") == sorted(f"FashionMNIST/raw/{name}.gz" for name in NAMES)
    calls = (apt / "log").read_text(encoding="utf-8").splitlines()
    assert len(calls) == (3 if update else 1)
    assert all(call.endswith(("download dataset-fashion-mnist", "update")) for call in calls)


def test_download_comes_before_apt_get(monkeypatch, apt):
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(put))
    assert_is_the_set(load_idx_files())
    assert not (apt / "log").exists()


@pytest.mark.parametrize("broken", ["apt-get", "dpkg-deb"])
def test_apt_get_that_fails(tmp_path, apt, broken):
    (apt / "bin" / broken).write_text("#!/bin/sh\necho it is broken >&2; exit 1\n", encoding="utf-8")
    with pytest.raises(DataError, match="it is broken"):
        load_idx_files(tmp_path / "mine")
    assert files_below(tmp_path / "mine") == []


def test_nothing_works(tmp_path):
    """One error lists every place that was looked at, every attempt, and every way to help."""
    with pytest.raises(DataError) as error:
        load_idx_files(tmp_path / "mine")
    message = str(error.value)
    for words in (
        str(tmp_path / "mine"),
        "data",
        str(tmp_path / "debian"),
        "Error downloading",
        "no apt-get",
        *NAMES,
        "--data-dir",
        "FASHION_MNIST_DIR",
        "apt-get install dataset-fashion-mnist",
    ):
        assert words in message
    assert files_below(tmp_path) == []


def test_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    """Permissions mean nothing to root, so the folder is one below a file."""
    (tmp_path / "file").touch()
    monkeypatch.setattr(fashion_mnist, "import_torchvision", lambda: Torchvision(put))
    with pytest.raises(DataError, match="Not a directory"):
        load_idx_files(tmp_path / "file" / "mine")
    assert files_below(tmp_path) == ["file"]


def test_real_torchvision_without_network(monkeypatch):
    """torchvision tries its mirrors, all fail, and the error says so."""
    tried = []

    def refuse(request, *args, **kwargs):
        tried.append(request.full_url)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(fashion_mnist, "import_torchvision", import_torchvision)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    with pytest.raises(DataError, match="Error downloading train-images-idx3-ubyte"):
        load_idx_files("mine")
    assert tried
    assert all(url.endswith("train-images-idx3-ubyte.gz") for url in tried)


def test_torchvision_of_other_hardware(tmp_path, repository):
    """A torchvision that wants an operator which torch lacks is imported all the same."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import torch\n"
        "for name in ('nms', 'qnms'):\n"
        "    torch.library.register_fake(f'torchvision::{name}')(lambda dets, scores, iou_threshold: None)\n",
        encoding="utf-8",
    )
    code = (
        f"import sys; sys.path[:0] = [{str(repository)!r}, {str(tmp_path)!r}]\n"
        "import fashion_mnist\n"
        "print(fashion_mnist.import_torchvision().__file__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.stdout == f"{package / '__init__.py'}\n", done.stderr


def test_torchvision_with_another_fault(monkeypatch, tmp_path):
    """An error of another kind is not hidden."""
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('something else')", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(RuntimeError, match="something else"):
        inspect.unwrap(import_torchvision)()


# What FashionMNIST makes of it.


def images_of(loader):
    """Return every image and label of a loader, in its order."""
    batches = list(loader)
    return tuple(torch.cat(parts).numpy() for parts in zip(*batches, strict=True)) if batches else ([], [])


def test_pixels_and_labels(tmp_path):
    """Pixel and label n of the files are pixel and label n of the test set, scaled to [-1, 1]."""
    data = FashionMNIST(5, data_dir=put(tmp_path / "mine"))
    images, labels = images_of(data.test_loader)
    expected = (ARRAYS["t10k-images-idx3-ubyte"][:, np.newaxis] / 255 - 0.5) / 0.5
    np.testing.assert_allclose(images, expected, atol=1e-6)
    np.testing.assert_array_equal(labels, ARRAYS["t10k-labels-idx1-ubyte"])


def test_every_training_image_with_its_label(tmp_path):
    data = FashionMNIST(7, data_dir=put(tmp_path / "mine"))
    images, labels = (
        np.concatenate(parts)
        for parts in zip(*map(images_of, (data.train_loader, data.val_loader)), strict=True)
    )
    found = sorted(zip(((images.reshape(30, -1) + 1) * 127.5).round().tolist(), labels, strict=True))
    expected = zip(
        ARRAYS["train-images-idx3-ubyte"].reshape(30, -1).tolist(),
        ARRAYS["train-labels-idx1-ubyte"],
        strict=True,
    )
    assert found == sorted(expected)


def test_as_torchvision_scales(tmp_path):
    """The pixels are those of ToTensor() and Normalize(0.5, 0.5), to the last bit."""
    transforms = import_torchvision().transforms
    scale = transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    every_pixel = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    expected = scale(np.moveaxis(every_pixel, 0, -1)).numpy().ravel()
    images, _ = images_of(FashionMNIST(5, data_dir=put(tmp_path / "mine")).test_loader)
    pixels = ARRAYS["t10k-images-idx3-ubyte"]
    np.testing.assert_array_equal(images, expected[pixels][:, np.newaxis])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"batch_size": 0}, "batch_size, a whole number >= 1, got 0"),
        ({"batch_size": -3}, "got -3"),
        ({"batch_size": 2.5}, "got 2.5"),
        ({"batch_size": True}, "got True"),
        ({"batch_size": "8"}, "got '8'"),
        ({"val_perc": 1}, "val_perc < 1, got 1"),
        ({"val_perc": -0.1}, "got -0.1"),
        ({"val_perc": float("nan")}, "got nan"),
        ({"dataset": "mnist"}, "fashion-mnist, synthetic, got 'mnist'"),
    ],
    ids=str,
)
def test_bad_arguments(arguments, words):
    with pytest.raises(ValueError, match=words):
        FashionMNIST(**{"batch_size": 8, "dataset": "synthetic", **arguments})


def test_share_that_leaves_nothing_to_train_with():
    """A share below 1 that rounds to every image is refused, too."""
    with pytest.raises(ValueError, match="val_perc"):
        FashionMNIST(8, val_perc=0.99999, dataset="synthetic")


def test_permitted_shares():
    for share, expected in ((0, 0), (0.25, 500), (0.2004, 401), (0.5, 1000), (0.999, 1998)):
        data = FashionMNIST(100, val_perc=share, dataset="synthetic")
        sizes = [
            len(images_of(loader)[1]) for loader in (data.train_loader, data.val_loader, data.test_loader)
        ]
        assert sizes == [2000 - expected, expected, 500]


def test_no_validation():
    """Without validation set there is no accuracy to give: NaN."""
    data = FashionMNIST(100, val_perc=0, dataset="synthetic")
    assert len(data.val_loader) == 0
    assert list(data.val_loader) == []
    for model in (fashion_mnist.PytorchMLPFashionMNIST(), fashion_mnist.CustomMLPFashionMNIST()):
        loss, accuracy = model.train(data)
        assert loss > 0
        assert np.isnan(accuracy)


def test_seed_fixes_split_and_order():
    """Another seed makes another split and other orders, the same one the same."""
    loaders = {seed: FashionMNIST(100, seed=seed, dataset="synthetic") for seed in (0, 1)}
    again = FashionMNIST(100, seed=1, dataset="synthetic")
    for name in ("train_loader", "val_loader"):
        first, second, third = (images_of(getattr(data, name))[0] for data in (loaders[0], loaders[1], again))
        assert not np.array_equal(first, second)
        np.testing.assert_array_equal(second, third)
        assert {image.tobytes() for image in first} != {image.tobytes() for image in second}
    np.testing.assert_array_equal(images_of(loaders[0].test_loader)[0], images_of(again.test_loader)[0])


# BatchLoader.


def numbered(size, start=0):
    """Return a data set whose image and label n are full of the number n, all indices from ``start`` on."""
    images = torch.arange(size, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, 28, 28).contiguous()
    dataset = torch.utils.data.TensorDataset(images, torch.arange(size))
    return torch.utils.data.Subset(dataset, range(start, size))


def order_of(loader):
    """Return the labels of one epoch."""
    return [int(label) for _, labels in loader for label in labels]


@pytest.mark.parametrize("batch_size", [1, 7, 64, 1000, 1024, 3000])
@pytest.mark.parametrize("seed", [None, 5])
def test_batches(batch_size, seed):
    """Every index comes once, every image with its label, only the last batch is smaller."""
    loader = BatchLoader(numbered(2500, start=3), batch_size, seed)
    seen, sizes = [], []
    for images, labels in loader:
        assert images.shape == (len(labels), 1, 28, 28)
        assert torch.equal(images[:, 0, 0, 0].long(), labels)
        assert torch.equal(images[:, 0, 27, 27].long(), labels)
        seen += labels.tolist()
        sizes.append(len(labels))
    assert len(loader) == len(sizes) == -(-2497 // batch_size)
    assert set(sizes[:-1]) <= {batch_size}
    assert 0 < sizes[-1] <= batch_size
    assert (sorted(seen) if seed else seen) == list(range(3, 2500))


def test_orders():
    """Data set, seed and epoch fix the order; another epoch or another seed makes another one."""
    loaders = [BatchLoader(numbered(200), 8, seed) for seed in (5, 5, 6)]
    epochs = [[order_of(loader) for _ in range(3)] for loader in loaders]
    assert epochs[0] == epochs[1]
    assert len({tuple(order) for order in epochs[0] + epochs[2]}) == 6
    loaders[0].set_epoch(1)
    assert order_of(loaders[0]) == epochs[0][1]
    assert order_of(loaders[0]) == epochs[0][2]


def test_every_model_sees_the_same_orders():
    """One after the other on the same data, two models with the same weights have the same losses."""
    data = FashionMNIST(50, dataset="synthetic")
    models = [fashion_mnist.CustomMLPFashionMNIST(hidden_size1=8) for _ in range(2)]
    losses = [[model.train(data, lr=0.1)[0] for _ in range(2)] for model in models]
    assert losses[0] == losses[1]


def test_order_does_not_depend_on_the_batch_size():
    small, large = (BatchLoader(numbered(2500), size, seed=5) for size in (3, 999))
    assert order_of(small) == order_of(large)


def test_unshuffled():
    """Validation and test images come in the same order in every epoch."""
    data = FashionMNIST(64, dataset="synthetic")
    for loader in (data.val_loader, data.test_loader):
        first, second = (images_of(loader)[0] for _ in range(2))
        np.testing.assert_array_equal(first, second)
    test_images = images_of(data.test_loader)[1]
    np.testing.assert_array_equal(test_images, fashion_mnist.make_synthetic_images()[3])


def test_batches_that_are_kept():
    """A batch stays what it is when the loader goes on, and nothing done to it reaches the data set."""
    loader = BatchLoader(numbered(3000), 100, seed=5)
    kept = list(loader)
    for images, labels in kept:
        assert torch.equal(images[:, 0, 5, 5].long(), labels)
    for images, labels in kept:
        images.zero_()
        labels.zero_()
    for images, labels in loader:
        assert torch.equal(images[:, 0, 5, 5].long(), labels)


def test_no_global_random_state():
    """Neither data nor models draw from, or seed, the generators that everybody shares."""
    np.random.seed(1)
    torch.manual_seed(1)
    expected = np.random.random(), torch.rand(1)
    np.random.seed(1)
    torch.manual_seed(1)
    data = FashionMNIST(100, dataset="synthetic")
    fashion_mnist.CustomMLPFashionMNIST().train(data)
    assert (np.random.random(), torch.rand(1)) == expected


class Operations(TorchDispatchMode):
    """Notes which of PyTorch's operations compute something; those that only make views do not."""

    def __init__(self):
        super().__init__()
        self.computing = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        if not operation.is_view:
            self.computing.add(str(operation))
        return operation(*args, **kwargs or {})


def test_pytorch_has_no_part_in_the_custom_model():
    """Feeding, training and testing it calls no operation of PyTorch's that would wake its threads."""
    data = FashionMNIST(64, dataset="synthetic")
    model = fashion_mnist.CustomMLPFashionMNIST()
    with Operations() as operations:
        model.train(data)
        model.test(data)
        order_of_images = [images.shape for images, _ in data.train_loader]
    assert order_of_images
    assert operations.computing == set()
    with Operations() as operations:
        fashion_mnist.PytorchMLPFashionMNIST().train(data)
    assert operations.computing, "the operations of PyTorch were not noticed"


# The real set.


@pytest.fixture
def real_files(real_set, monkeypatch):
    """Return the real set's folder, with ``IDX_FILES`` as it is outside these tests."""
    monkeypatch.setattr(fashion_mnist, "IDX_FILES", IDX_FILES)
    return real_set


def test_real_set(real_files):
    """48,000 / 12,000 / 10,000 images, ten classes of 7,000 each, pixels from -1 to 1."""
    data = FashionMNIST(1000, data_dir=real_files)
    sizes, labels = [], []
    for loader in (data.train_loader, data.val_loader, data.test_loader):
        sizes.append(0)
        for images, batch_labels in loader:
            sizes[-1] += len(images)
            labels.append(batch_labels.numpy())
            assert images.abs().max() == 1
    assert sizes == [48_000, 12_000, 10_000]
    assert np.bincount(np.concatenate(labels)).tolist() == [7_000] * 10
