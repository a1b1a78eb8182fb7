"""Leaves threads running that answer for it and print for ever."""

import gc
import threading
import time

CHANNEL = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Channel")


def interfere():
    while True:
        print("still here")
        CHANNEL.send({"value": True}, [])
        time.sleep(0.01)


for _ in range(8):
    threading.Thread(target=interfere, daemon=False).start()
