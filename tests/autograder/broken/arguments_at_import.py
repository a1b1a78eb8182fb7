"""Reads the command line when it is imported.

Expect: SystemExit
"""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("layer")
options = parser.parse_args()
