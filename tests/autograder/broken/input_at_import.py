"""Asks for something when it is imported.

Expect: EOFError
"""

size = int(input("How many neurons? "))
