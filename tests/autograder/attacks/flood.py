"""Prints 5 MB to each of its outputs."""

import os
import sys

print("x" * 5_000_000)
print("y" * 5_000_000, file=sys.stderr)
os.write(1, b"z" * 5_000_000)
