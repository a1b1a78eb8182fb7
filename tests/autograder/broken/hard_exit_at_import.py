"""Ends Python when it is imported.

Expect: ended Python
"""

import os

os._exit(0)
