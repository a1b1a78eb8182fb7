"""The homework of one function that the staff page shows: the quickest to grade."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "autograder" / "README.md"


def write_homework(parent):
    """Write the files that the page shows, and return the homework's folder."""
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"`homework/([\w/]+\.py)`.*?```python\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in shown] == ["assignment.py", "test_stats.py", "solution/stats.py"]
    assert sum(source.count("\n") for _, source in shown) < 60
    for name, source in shown:
        path = parent / "homework" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    return parent / "homework"
