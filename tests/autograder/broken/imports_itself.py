"""Imports itself under another name, and q2 in a circle.

Expect: No module named 'layers'
"""

from layers import ReLULayer

import q1

print(q1, ReLULayer)
