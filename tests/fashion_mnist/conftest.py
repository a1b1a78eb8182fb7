"""Every test here begins in an empty folder of its own, without network, screen or data set."""

from fixtures import *  # noqa: F403
from labels import check_labels  # noqa: F401
