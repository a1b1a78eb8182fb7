#!/usr/bin/env bash
# What only this assignment needs of the container, beside packages of Python's: the data set.
set -euo pipefail

apt-get install --yes --no-install-recommends dataset-fashion-mnist ||
    echo "There is no package dataset-fashion-mnist here: the tests will make up a set of the same form."
