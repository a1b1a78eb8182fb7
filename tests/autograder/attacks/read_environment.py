"""Prints its environment, and that of every process that it sees."""

import os

print(dict(os.environ))
for name in filter(str.isdigit, os.listdir("/proc")):
    for part in ("environ", "cmdline", "maps", "fd/0"):
        try:
            with open(f"/proc/{name}/{part}", encoding="utf-8") as file:
                text = file.read()
        except (OSError, UnicodeDecodeError):
            continue
        if "canary-" in text:
            print("GOT IN:", text)
