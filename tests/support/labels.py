"""Whether a figure can be read: no label on another one, or on a marker."""

import pytest
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox


@pytest.fixture
def check_labels(monkeypatch):
    """Return a function that draws a figure, and checks that none of its labels hides another or a marker."""
    drawn = {}
    original = Text.draw

    def draw_text(text, renderer):
        if text.get_visible():
            drawn[text] = text.get_window_extent(renderer)
        original(text, renderer)

    monkeypatch.setattr(Text, "draw", draw_text)

    def check(figure):
        drawn.clear()
        figure.canvas.draw()
        texts = {text: box for text, box in drawn.items() if text.get_text().strip()}
        assert len(texts) >= 3
        boxes = list(texts.items())
        for place, (text, box) in enumerate(boxes):
            for other, other_box in boxes[place + 1 :]:
                assert not box.overlaps(other_box), f"{text} and {other}"
            if isinstance(text, Annotation):
                for line in text.axes.lines:
                    for x, y in text.axes.transData.transform(line.get_xydata()):
                        half = line.get_markersize() / 2 * figure.dpi / 72
                        marker = Bbox.from_extents(x - half, y - half, x + half, y + half)
                        assert not box.overlaps(marker), f"{text} and a marker of {line}"

    return check
