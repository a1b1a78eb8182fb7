#!/usr/bin/env bash
# Gradescope runs this once, as root, when it builds the image that submissions are graded in.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# Not under /root: students' code runs as another user, who has to be able to read Python and its packages.
environment=${AUTOGRADER_ENVIRONMENT:-/opt/autograder}

export DEBIAN_FRONTEND=noninteractive
apt-get update
apt-get install --yes --no-install-recommends python3 python3-venv

umask 022
python3 -m venv "$environment"
# PyTorch's own index has builds for the CPU alone, which are much smaller than those of PyPI.
"$environment/bin/python" -m pip install --no-cache-dir --disable-pip-version-check \
    --extra-index-url https://download.pytorch.org/whl/cpu -r "$here/requirements.txt"

own=$here/$(cat "$here/folder.txt")/setup.sh
if [[ -e $own ]]; then
    bash "$own"
fi
chmod -R go-rwx "$here"
