#!/usr/bin/env bash
# ./run_all.sh        sets up .venv, then trains, tests, draws and tabulates everything into results/
# ./run_all.sh test   sets up .venv, then runs every test
#
# Both need Python 3.10 or newer ($PYTHON names another than python3). What is installed stays; what has
# been trained stays too, so that a run that was stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}

set_up() {
    local requirements=$1 stamp sum
    if [[ ! -x .venv/bin/python ]]; then
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
            { echo "run_all.sh: expected Python 3.10 or newer, got $("$python" --version 2>&1)" >&2; exit 2; }
        "$python" -m venv .venv ||
            { rm -rf .venv; echo "run_all.sh: $python can't make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 2; }
    fi
    stamp=.venv/installed-$requirements
    sum=$(cat requirements*.txt | .venv/bin/python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
    if [[ $(cat "$stamp" 2>/dev/null) != "$sum" ]]; then
        echo "Installing $requirements into .venv ..."
        .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
        echo "$sum" > "$stamp"
    fi
}

case ${1:-all} in
all)
    set_up requirements.txt
    echo "Training 24 networks on Fashion-MNIST: about 12 minutes on 2 cores. Ctrl-C stops, the same command goes on."
    .venv/bin/python fashion_mnist.py all
    echo "Figures and tables are in results/."
    ;;
test)
    set_up requirements-dev.txt
    .venv/bin/python -m pytest tests
    ;;
*)
    echo "run_all.sh: expected no argument or 'test', got '$1'" >&2
    exit 2
    ;;
esac
