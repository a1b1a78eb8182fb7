"""Waits for somebody to type something."""


def answer(x):
    return float(input("The right answer, please: "))
