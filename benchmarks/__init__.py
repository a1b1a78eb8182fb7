"""How fast the custom model trains, against PyTorch, other libraries and what the hardware allows.

``python -m benchmarks`` runs every contender in ``contenders.py`` in a process of its own, in turn, over
several rounds, and writes the medians as a table, as JSON and as a figure.
"""
