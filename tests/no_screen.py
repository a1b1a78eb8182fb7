"""Lets matplotlib.use("TkAgg") and the like pass: what shows on a student's screen is only drawn here."""

import matplotlib
import matplotlib.pyplot as plt


def keep_backend(*args: object, **kwargs: object) -> None:
    """Keep the backend that draws without a screen."""


plt.switch_backend("agg")
matplotlib.use = keep_backend
plt.switch_backend = keep_backend
