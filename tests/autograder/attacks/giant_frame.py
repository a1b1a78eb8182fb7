"""Announces a frame of 4 GiB, and an array of 2^62 numbers."""

import gc

CHANNEL = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Channel")


def answer(x):
    CHANNEL.connection.sendall(b"\xff\xff\xff\xff" + bytes(1000))
    return x
