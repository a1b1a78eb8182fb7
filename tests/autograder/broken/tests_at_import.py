"""Runs unit tests of its own when it is imported.

Expect: SystemExit
"""

import unittest

unittest.main()
