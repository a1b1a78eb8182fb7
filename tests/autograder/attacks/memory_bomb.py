"""Takes all memory that there is, in several processes."""

import os
import time


def answer(x):
    for _ in range(4):
        os.fork()
    blocks = []
    while True:
        try:
            blocks.append(bytearray(b"7" * 2**20))
        except MemoryError:
            time.sleep(0.1)
