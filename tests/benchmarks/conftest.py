"""What the benchmark's tests share."""

import matplotlib

matplotlib.use("agg")

from fixtures import nothing_around, one_line  # noqa: F401
from labels import check_labels  # noqa: F401
