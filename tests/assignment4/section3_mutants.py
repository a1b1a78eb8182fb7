"""Common mistakes of section 3: the reference fashion_mnist.py with one bug each, and what to call it."""

from __future__ import annotations

from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[2] / "fashion_mnist.py"


class Mutant:
    """The reference with one bug.

    Args:
        bug: words that should be in the feedback.
        *changes: pairs of text in the reference, and what to put in its place, wherever it is.
    """

    def __init__(self, bug: str, *changes: tuple[str, str]) -> None:
        self.bug = bug
        self.changes = changes

    def source(self) -> str:
        """Return the text of fashion_mnist.py.

        Raises:
            ValueError: the reference has changed, and text to replace is not there.
        """
        source = REFERENCE.read_text(encoding="utf-8")
        for old, new in self.changes:
            if old not in source:
                raise ValueError(f"{self}: expected {old!r} in {REFERENCE.name}")
            source = source.replace(old, new)
        return source

    def __str__(self) -> str:
        """Return a short name."""
        return f"{self.bug} ({self.changes[0][1].strip()[:40]})"


SOFTMAX_TWICE = "softmax is applied twice"
SGD = "torch.optim.SGD(self.parameters(), lr=lr)"
TORCH_OUTPUT = "output = self(images)"
LAST_ALONE = "output = self.layers[-1](self.layers[:-1](self._read(images)).detach())"
BACKWARD = "criterion.backward(*arguments)"
CUSTOM_NETWORK = "        layers = before_softmax(self.layers)\n        if not getattr(criterion"
EPOCH = "in enumerate(batches, 1):"
SUM = "total += step(images, labels) * len(labels)"
RESULT = "return total / images_seen, math.nan if val_loader is None else accuracy(model, val_loader)"
TEST = "return accuracy(self, data.test_loader)"
CORRECT = "float(np.mean(logits.argmax(axis=1) == labels))"
BATCH = "(np.asarray(detached(model.logits(batch)), np.float64), labels)"
SPLIT = "np.split(np.random.default_rng(seed).permutation(len(train)), [val_size])"
LINEAR = "layers += [nn.Linear(inputs, outputs), nn.ReLU()]"
SIZES = "pairs_of_sizes(input_size, hidden_size1, hidden_size2, output_size)"
TORCH_NETWORK = "nn.Sequential(*layers[:-1], nn.Softmax(dim=-1))"
LABELS = 'axes.set(title=title or quantity, xlabel="Epoch", ylabel=QUANTITIES[quantity][1])'
CURVES = "draw_curves(right, val_accuracies"

MUTANTS = {
    "TestData": [
        Mutant("are not taken away", (SPLIT, "np.arange(val_size), np.arange(len(train))")),
        Mutant("overlap", (SPLIT, "np.arange(val_size), np.arange(len(train) - val_size)")),
        Mutant("set should have", ("round((val_perc or 0) *", "round((val_perc or 0) / 2 *")),
        Mutant("from 0 to 255", ("    scaled /= 255\n    scaled -= 0.5\n    scaled /= 0.5\n", "")),
        Mutant("shape (70, 1, 28, 28)", ("reshape(-1, 1, 28, 28)", "reshape(-1, 28, 28)")),
        Mutant("labels int64", ("array.astype(np.int64)", "array.astype(np.int32)")),
        Mutant("no `val_loader`", ("self.val_loader = ", "self.loader = ")),
    ],
    "TestArchitecture": [
        Mutant("wrong sizes", ("hidden_size1: int = 256,", "hidden_size1: int = 128,")),
        Mutant("wrong sizes", (SIZES, "pairs_of_sizes(784, hidden_size1, 128, 10)")),
        Mutant("ReLU layers are missing", (LINEAR, LINEAR.replace("ReLU", "Identity"))),
        Mutant("tanh where the handout has ReLU", (LINEAR, LINEAR.replace("ReLU", "Tanh"))),
        Mutant("over the batch", ("nn.Softmax(dim=-1)", "nn.Softmax(dim=0)")),
        Mutant("ReLU right before the softmax", (TORCH_NETWORK, TORCH_NETWORK.replace("[:-1]", ""))),
        Mutant("softmax at the end is missing", ("MLP([*layers[:-1], SoftmaxLayer()])", "MLP(layers[:-1])")),
        Mutant("subclass of `Layer`", ("(MLPFashionMNIST, Layer):", "(MLPFashionMNIST):")),
    ],
    "TestTraining": [
        Mutant(SOFTMAX_TWICE, (TORCH_OUTPUT, f"{TORCH_OUTPUT}.softmax(dim=-1)")),
        Mutant("summed over the batch", (BACKWARD, f"{BACKWARD} * len(labels)")),
        Mutant("batch size twice", (BACKWARD, f"{BACKWARD} / len(labels)")),
        Mutant("up the gradient", (BACKWARD, f"-{BACKWARD}")),
        Mutant("add up", ("            optimizer.zero_grad()\n", "")),
        Mutant("momentum", (SGD, "torch.optim.SGD(self.parameters(), lr=lr, momentum=0.9)")),
        Mutant("Adam's", (SGD, "torch.optim.Adam(self.parameters(), lr=lr)")),
        Mutant("is handed is not used", (SGD, "torch.optim.SGD(self.parameters(), lr=0.002)")),
        Mutant(
            "only the weights learn",
            (SGD, "torch.optim.SGD([p for p in self.parameters() if p.ndim == 2], lr)"),
        ),
        Mutant("only the last layer learns", (TORCH_OUTPUT, LAST_ALONE)),
        Mutant("changes no weights", ("            self.update(step_size)\n", "")),
        Mutant("the last batch is left out", (EPOCH, "in enumerate(list(batches)[:-1], 1):")),
        Mutant("only the first batch is trained on", (EPOCH, "in enumerate(list(batches)[:1], 1):")),
        Mutant("goes through the data twice", (EPOCH, "in enumerate(itertools.chain(batches, batches), 1):")),
        Mutant("begins with new weights", (CUSTOM_NETWORK, f"        self.init_weights()\n{CUSTOM_NETWORK}")),
    ],
    "TestTraining.test_loss": [
        Mutant("loss of the last batch", (SUM, "total = step(images, labels) * (images_seen + len(labels))")),
        Mutant("sum over the images", (RESULT, RESULT.replace(" / images_seen", ""))),
        Mutant("which are means already", (SUM, "total += step(images, labels)")),
        Mutant("accuracy comes first", (RESULT, "return accuracy(model, val_loader), total / images_seen")),
        Mutant("should return two numbers", (RESULT, "return total / images_seen")),
    ],
    "TestTraining.test_validation": [
        Mutant(
            "accuracy on the training images", (RESULT, RESULT.replace(" val_loader)", " data.train_loader)"))
        ),
        Mutant("accuracy on the test images", (RESULT, RESULT.replace(" val_loader)", " data.test_loader)"))),
        Mutant(
            "before the epoch",
            (
                "    total, images_seen,",
                "    earlier = accuracy(model, data.val_loader)\n    total, images_seen,",
            ),
            (RESULT, "return total / images_seen, earlier"),
        ),
    ],
    "TestTesting": [
        Mutant("accuracy on the validation images", (TEST, TEST.replace("test_loader", "val_loader"))),
        Mutant("should only look", (TEST, f"self.train(data)\n        {TEST}")),
        Mutant("share of images that are wrong", (CORRECT, CORRECT.replace("==", "!="))),
        Mutant("divide by the number", (CORRECT, CORRECT.replace("mean", "sum"))),
        Mutant("only the last batch counts", (f"found.append({BATCH})", f"found = [{BATCH}]")),
    ],
    "TestPlot": [
        Mutant("xlabel and the ylabel", (LABELS, "axes.set(title=title or quantity)")),
        Mutant(
            "title",
            (LABELS, LABELS.replace("title=title or quantity, ", "")),
            ("        figure.suptitle(title)\n", ""),
        ),
        Mutant(
            "No curve shows the validation accuracies",
            (CURVES, CURVES.replace("val_accuracies", "train_losses")),
        ),
    ],
}
"""By what the names of the graded tests begin with that are to find them."""
