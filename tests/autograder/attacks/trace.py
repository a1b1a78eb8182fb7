"""Looks into other processes and changes their memory."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
for process in (os.getppid(), 1, 2):
    for request in (PTRACE_ATTACH, PTRACE_SEIZE):
        if LIBC.ptrace(request, process, 0, 0) == 0:
            print("GOT IN: traced", process)
    if process != os.getpid():
        try:
            with open(f"/proc/{process}/mem", "rb"):
                print("GOT IN: opened the memory of", process)
        except OSError:
            pass
    LIBC.process_vm_writev(process, None, 0, None, 0, 0)
