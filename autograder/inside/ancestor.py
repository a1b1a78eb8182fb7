"""The process that grader and forkserver both come from, so that they share the memory of what both import.

    python -m autograder ─ ancestor ─┬─ grader
                                     └─ forkserver ─ supervisor ─ student

PyTorch, torchvision and Matplotlib take 170 MB in each process that imports them, and a container of
Gradescope's has 768 MB. But what a process holds in its memory when it forks, students' code holds as well.
So the command line starts over as a process that knows nothing, not even its arguments and its environment.
That one imports the libraries, forks the forkserver, and only then reads what it is to do, as the grader.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import psutil

with suppress(ImportError):  # on Windows, where there are no ancestors
    import resource


def start_over(preload: Sequence[str], folder: Path, environment: Mapping[str, str]) -> NoReturn:
    """Replace this process by an ancestor, whose grader gets the arguments and the environment of this one.

    Args:
        preload: modules that the grader and the forkserver share.
        folder: where those of them are that belong to the assignment.
        environment: the forkserver's.
    """
    with tempfile.TemporaryFile("w", encoding="utf-8") as file:
        json.dump([sys.argv[1:], dict(os.environ), sys.path], file)
        file.seek(0)
        os.set_inheritable(file.fileno(), True)
        command = [sys.executable, "-sB", "-Xutf8", __file__, str(file.fileno()), str(folder), *preload]
        os.execve(sys.executable, command, environment)


def main() -> None:
    """Be the ancestor: import the libraries, fork the forkserver, become the grader."""
    import forkserver
    import scratch

    file, folder, *preload = sys.argv[1:]
    sys.path.append(folder)
    try:
        with scratch.scratch_folder() as home:
            forkserver.import_all(preload, str(home))
    except ImportError:
        pass  # the forkserver tries again, and tells the grader what is wrong
    except KeyboardInterrupt:
        sys.exit(130)
    sys.path.remove(folder)  # students' code has no business there
    requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    process = os.fork()
    if process == 0:
        part_from_grader(theirs)
        forkserver.serve(theirs)
        os._exit(0)
    theirs.close()

    with open(int(file), encoding="utf-8") as told:
        arguments, environment, sys.path[:] = json.load(told)
    os.environ.clear()
    os.environ.update(environment)
    tempfile.tempdir = None  # the environment may say where
    from autograder import __main__ as command_line
    from autograder.sandbox import spare_forkservers

    spare_forkservers[tuple(preload)] = requests, psutil.Process(process)
    sys.exit(command_line.main(arguments))


def part_from_grader(channel: socket.socket) -> None:
    """Have nothing in common any more with the process that forked this one, but a channel to it."""
    os.setsid()  # Ctrl-C is for the grader, who then stops this one
    os.chdir("/")
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    os.closerange(3, channel.fileno())
    os.closerange(channel.fileno() + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


if __name__ == "__main__":
    main()
