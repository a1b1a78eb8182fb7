"""Imports what is not there.

Expect: No module named 'numby'
"""

import numby as np  # noqa: F401
