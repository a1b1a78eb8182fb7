"""Looks at what other processes and users do: their files, their environment, what they open."""

import ctypes
import os

for number in {"x86_64": (253, 294), "aarch64": (26,)}[os.uname().machine]:
    if ctypes.CDLL(None).syscall(number, 0) >= 0:
        print("GOT IN: inotify")
for process in filter(str.isdigit, os.listdir("/proc")):
    if int(process) == os.getpid():
        continue
    for name in ("environ", "mem", "maps", "smaps_rollup", "fd", "cwd", "root/etc/shadow"):
        path = f"/proc/{process}/{name}"
        try:
            if name in ("fd", "cwd"):
                read = os.listdir(path)
            else:
                with open(path, "rb") as file:
                    read = file.read(1)
        except OSError:
            continue
        if read:
            print("GOT IN:", path)
