"""Crashes Python when it is imported.

Expect: Segmentation fault
"""

import ctypes

ctypes.string_at(0)
