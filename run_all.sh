#!/usr/bin/env bash
# ./run_all.sh             sets up .venv, then trains, tests, draws and tabulates
#                          everything into results/, and makes what is handed in:
#                          dist/report.pdf and dist/submission.zip
# ./run_all.sh ee411       the experiments of the second handout, into
#                          results/ee411/
# ./run_all.sh test        every test
# ./run_all.sh test fast   those that take less than a minute together
# ./run_all.sh publish     copies figures and tables from results/ to docs/
# ./run_all.sh --help      prints this
#
# All set up .venv first, with Python 3.10 or newer ($PYTHON names another than
# python3). What is installed stays; what has been trained stays too, so that a
# run that was stopped goes on where it was.
set -euo pipefail
cd "$(dirname "$0")"

python=${PYTHON:-python3}
unset PYTHONDONTWRITEBYTECODE # else every process compiles PyTorch for itself

set_up() {
    local requirements=$1 stamp sum
    if [[ ! -x .venv/bin/python ]]; then
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
            { echo "run_all.sh: expected Python 3.10 or newer, got $("$python" --version 2>&1)" >&2; exit 2; }
        "$python" -m venv .venv ||
            { rm -rf .venv; echo "run_all.sh: $python can't make a virtual environment (on Debian and Ubuntu: apt-get install python3-venv)" >&2; exit 2; }
    fi
    stamp=.venv/installed-${requirements//\//-}
    sum=$(cat requirements*.txt ./*/requirements.txt | .venv/bin/python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
    if [[ $(cat "$stamp" 2>/dev/null) != "$sum" ]]; then
        echo "Installing $requirements into .venv: some minutes at first"
        # Python compiles what it imports; all of it at once would take as long as the rest. Of pip's many
        # lines those are shown that say what comes now.
        .venv/bin/python -m pip install --no-compile --progress-bar off --disable-pip-version-check -r "$requirements" |
            { grep --line-buffered -E '^(Collecting|Installing|Building)' | cut -c 1-79 || true; }
        echo "$sum" > "$stamp"
    fi
}

run_tests() {
    # A process for each core, so one thread for each process.
    OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 .venv/bin/python -m pytest -n auto --dist worksteal "$@"
}

unexpected() {
    echo "run_all.sh: expected no argument, 'test', 'test fast', 'ee411', 'publish' or '--help', got '$*'" >&2
    exit 2
}

case $* in
'' | all)
    set_up report/requirements.txt
    set_up autograder/requirements.txt
    .venv/bin/python -m report --only-author
    echo "Training 24 networks on Fashion-MNIST: a quarter to half an hour on 2 cores."
    echo "Ctrl-C stops, the same command goes on."
    .venv/bin/python fashion_mnist.py all
    .venv/bin/python -m report
    .venv/bin/python -m autograder submit
    echo "Figures and tables are in results/, what is handed in is in dist/:"
    echo "report.pdf and submission.zip."
    ;;
ee411)
    set_up ee411/requirements.txt
    echo "Training for the second homework: half an hour on 2 fast cores,"
    echo "over an hour on slow ones."
    echo "Ctrl-C stops, the same command goes on."
    .venv/bin/python -m ee411 samples # which fetches the data, or says why not
    # What takes one core goes two at a time, each after those whose networks it
    # needs, too; "all" finds it done, and has both cores for the rest. Two
    # progress bars would overwrite each other, so there are lines, passed on by
    # a cat that Ctrl-C leaves to hear them out.
    printf '%s\n' cnn ablation grids 'bonus --recipe CNN' adam mlp \
        'bonus --recipe "MLP 256-128"' 'bonus --recipe "MLP 100-100"' permuted |
        OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 xargs -L 1 -P 2 \
            .venv/bin/python -m ee411 2>&1 | (trap '' INT && cat)
    .venv/bin/python -m ee411 all
    echo "Figures and tables are in results/ee411/."
    ;;
test)
    set_up requirements-dev.txt
    run_tests tests
    ;;
'test fast')
    set_up requirements-dev.txt
    run_tests -m fast tests
    ;;
publish)
    set_up requirements.txt
    .venv/bin/python -m tools.publish
    ;;
-h | --help | help)
    sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p}' "$0"
    ;;
*)
    unexpected "$@"
    ;;
esac
