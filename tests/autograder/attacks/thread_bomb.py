"""Starts as many threads as it can."""

import threading
import time


def answer(x):
    while True:
        try:
            threading.Thread(target=time.sleep, args=(100,)).start()
        except RuntimeError:
            time.sleep(0.1)
