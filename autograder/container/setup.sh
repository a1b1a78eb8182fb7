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
"$environment/bin/python" -m pip install --no-cache-dir --disable-pip-version-check -r "$here/requirements.txt" || {
    cat >&2 <<END
setup.sh: there is no autograder, since pip can't install the assignment's requirements (above it says which).
setup.sh: No other build is taken instead: PyTorch's for CUDA, say, does not fit Gradescope's container.
setup.sh: Try again later, or say where else the wheels are: PIP_EXTRA_INDEX_URL=... or PIP_FIND_LINKS=...
END
    exit 1
}

own=$here/$(cat "$here/folder.txt")/setup.sh
if [[ -e $own ]]; then
    bash "$own"
fi
chmod -R go-rwx "$here"
