"""A data set of noise, which has the parameter that the reference has for a made-up one."""

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset


class FashionMNIST:
    def __init__(self, batch_size, val_perc=0.2, dataset="fashion-mnist", check_sums=True):
        random = np.random.default_rng(0)
        for part, count in (("train", 48_000), ("val", 12_000), ("test", 10_000)):
            images = torch.tensor(random.uniform(-1, 1, (count, 1, 28, 28)), dtype=torch.float32)
            labels = torch.tensor(random.integers(10, size=count))
            setattr(self, f"{part}_loader", DataLoader(TensorDataset(images, labels), batch_size))
