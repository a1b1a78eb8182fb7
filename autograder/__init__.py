"""Turns the graded tests of ``tests/`` into a grade: isolation, results.json, classes, the bundle."""
