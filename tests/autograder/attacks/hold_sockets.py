"""Keeps more in the buffers of sockets and pipes than it may have in memory."""

import os
import socket
import time

for _ in range(60):
    if os.fork() == 0:
        pairs = [socket.socketpair() for _ in range(100)] + [os.pipe() for _ in range(20)]
        for one, *_ in pairs[:100]:
            one.setblocking(False)
            try:
                while True:
                    one.send(bytes(2**15))
            except OSError:
                pass
        time.sleep(100)
