"""Never answers, and lets no signal stop it."""

import signal


def answer(x):
    for number in {*signal.valid_signals()} - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    while True:
        pass
