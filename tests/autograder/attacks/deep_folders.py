"""Leaves a folder in a folder in a folder, deeper than any path can say, and closed ones."""

import os

for _ in range(30):
    os.mkdir("left-by-an-attack" * 14)
    os.chdir("left-by-an-attack" * 14)
os.mkdir("closed", mode=0)
