"""Tests that what students import at the top of a right file, for a screen or for tables, costs nothing."""

import shutil
from pathlib import Path

import pytest
from default_assignment import ASSIGNMENT

from autograder.grading import grade

REPOSITORY = Path(__file__).resolve().parents[2]
COURSE = Path(__file__).parent / "solutions" / "course_files" / "fashion_mnist.py"
HEADS = {
    "a screen": "import matplotlib\nmatplotlib.use('TkAgg')\n",
    "another screen": "import matplotlib.pyplot as plt\nplt.switch_backend('Qt5Agg')\n",
    "tables": "import pandas as pd\nimport seaborn as sns\nsns.set_theme()\nLOG = pd.DataFrame()\n",
}


@pytest.mark.parametrize("head", HEADS.values(), ids=HEADS)
def test_at_the_top_of_section_3(head, tmp_path):
    for name in ("q1.py", "q2.py"):
        shutil.copy(REPOSITORY / name, tmp_path)
    source = COURSE.read_text(encoding="utf-8")
    (tmp_path / "fashion_mnist.py").write_text(head + source, encoding="utf-8")
    result = grade(tmp_path, ASSIGNMENT, seed=1, only=["3.5", "3.17", "3.26"])
    assert result.total == result.maximum == 5, [outcome.message for outcome in result.outcomes.values()]
