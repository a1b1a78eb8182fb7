"""Sends what is no frame."""

import gc

CHANNEL = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Channel")

FRAMES = [
    b"\0\0\0\x04\0\0\0\xff",
    b"\0\0\0\x06\0\0\0\x02[]",
    b"\0\0\x4e\x24\0\0\x4e\x20" + b"[" * 20_000,
    b"\0\0\0\x13\0\0\0\x0f" + b'{"value": NaN}x',
    b"\0\0\0\0",
]


def answer(x):
    for frame in FRAMES:
        CHANNEL.connection.sendall(frame)
    return x
