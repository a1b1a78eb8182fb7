"""Scripts as students write them for the handout's experiments, run beside the three modules."""

import csv
import shutil

SCRIPT = """
import csv
import time

import matplotlib
matplotlib.use("Agg")
import numpy as np
import torch
import torch.nn as nn

from fashion_mnist import FashionMNIST, PytorchMLPFashionMNIST, CustomMLPFashionMNIST, plot
from q1 import Dense, ReLULayer, SoftmaxLayer, CrossEntropyLossLayer
from q2 import MLP

np.random.seed(33)
torch.manual_seed(33)
EPOCHS = 2
data = FashionMNIST(batch_size=128, val_perc=0.2, dataset="synthetic")
assert data.batch_size == 128 and data.val_perc == 0.2
print(len(data.train_dataset), len(data.val_dataset), len(data.test_dataset))
results = []


def run(name, model, criterion, lr):
    losses, accs = [], []
    start = time.time()
    for epoch in range(EPOCHS):
        loss, acc = model.train(data, criterion=criterion, lr=lr)
        print(f"Epoch {epoch + 1}/{EPOCHS}, Loss: {loss:.4f}, Accuracy: {acc:.4f}")
        losses.append(loss)
        accs.append(acc)
    seconds = time.time() - start
    test_acc = model.test(data)
    plot(losses, accs, title=name)
    results.append([name, lr, losses[0], losses[-1], accs[-1], test_acc, seconds])
    return model


for lr in [1e-4, 0.002, 0.1]:
    run("pytorch", PytorchMLPFashionMNIST(), nn.CrossEntropyLoss(), lr)
    run("custom", CustomMLPFashionMNIST(), CrossEntropyLossLayer(), lr)

for h1, h2 in [(16, 128), (256, 16), (256, None)]:
    torch_model = PytorchMLPFashionMNIST(784, h1, h2 or 10, 10)
    custom_model = CustomMLPFashionMNIST(784, h1, h2 or 10, 10)
    if h2 is None:  # remove the second layer
        torch_model.layers = nn.Sequential(nn.Linear(784, h1), nn.ReLU(), nn.Linear(h1, 10))
        custom_model.layers = MLP([Dense(784, h1), ReLULayer(), Dense(h1, 10), SoftmaxLayer()])
    run(f"pytorch {h1} {h2}", torch_model, nn.CrossEntropyLoss(), 0.1)
    run(f"custom {h1} {h2}", custom_model, CrossEntropyLossLayer(), 0.1)

torch_model.eval()
with torch.no_grad():
    for images, labels in data.test_loader:
        on_tensors = custom_model(images).argmax(axis=1)
        on_arrays = custom_model.forward(images.numpy().reshape(-1, 784)).argmax(axis=1)
        assert (on_tensors == on_arrays).all()
        assert torch_model(images).shape == (len(labels), 10)

adam = PytorchMLPFashionMNIST()
adam.optimizer = torch.optim.Adam(adam.parameters(), lr=1e-3)
run("adam", adam, nn.CrossEntropyLoss(), 0.1)

# The loop of the handout, by hand.
criterion = CrossEntropyLossLayer()
model = CustomMLPFashionMNIST()
for images, labels in data.train_loader:
    outputs = model(images)
    loss = criterion(outputs, labels)
    model.backward(criterion.backward(1))
    model.update(0.1)
print("by hand", loss.item())

with open("results.csv", "w", newline="") as f:
    writer = csv.writer(f)
    writer.writerow(["name", "lr", "first loss", "last loss", "val", "test", "seconds"])
    writer.writerows(results)
"""


def test_script(command, repository, tmp_path):
    """It runs through, prints no complaint, and what it writes down is what it should be."""
    for name in ("q1.py", "q2.py", "fashion_mnist.py"):
        shutil.copy(repository / name, tmp_path)
    (tmp_path / "experiments.py").write_text(SCRIPT, encoding="utf-8")
    done = command(cwd=tmp_path, script="experiments.py", variables={"PYTHONWARNINGS": "error"})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("1600 400 500\n")
    with open(tmp_path / "results.csv", newline="", encoding="utf-8") as file:
        rows = {(row.pop("name"), float(row["lr"])): row for row in csv.DictReader(file)}
    assert len(rows) == 13
    for (name, lr), row in rows.items():
        numbers = {key: float(value) for key, value in row.items()}
        assert 0 < numbers["last loss"] < numbers["first loss"] < 3, name
        assert numbers["seconds"] > 0
        if lr == 0.1:
            assert numbers["test"] > 0.6, name
            assert abs(numbers["test"] - numbers["val"]) < 0.2
