"""Leaves a process behind that has escaped from session and parent, and rewrites the results later."""

import os
import signal
import time

if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        os.closerange(0, 100)
        while True:
            time.sleep(0.01)
            try:
                with open("@FOLDER@/results/results.json", "w", encoding="utf-8") as file:
                    file.write('{"score": 100}')
            except OSError:
                pass
    os._exit(0)
