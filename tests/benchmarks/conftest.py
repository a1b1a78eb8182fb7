"""What the benchmark's tests share."""

import matplotlib

matplotlib.use("agg")

from labels import check_labels  # noqa: F401
