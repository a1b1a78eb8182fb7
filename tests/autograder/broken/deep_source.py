"""Nests deeper than Python can compile.

Expect: can't be imported
"""

exec("x = " + "(" * 5000 + ")" * 5000)  # noqa: S102
