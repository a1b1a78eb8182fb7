"""Connects to the machine that grades, and to the world."""

import socket

for family, address in (
    (socket.AF_INET, ("127.0.0.1", int("@PORT@"))),
    (socket.AF_INET6, ("::1", int("@PORT@"))),
    (socket.AF_UNIX, "@FOLDER@/results/socket"),
    (socket.AF_UNIX, "\0canary"),
):
    try:
        with socket.socket(family) as connection:
            connection.connect(address)
            print("GOT IN:", address)
    except OSError:
        pass
