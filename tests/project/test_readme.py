"""What the README shows runs as it stands there."""

import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from fashion_mnist import CLASSES, make_synthetic_images


@pytest.mark.parametrize("ending", ["pt", "npz"])
def test_predicting_with_saved_weights(command, environment, repository, tmp_path, ending):
    """The lines that load what --save has written tell what an image shows, and show it."""
    options = ("--dataset", "synthetic", "--epochs", "5", "--lr", "0.05", "--models", "custom")
    done = command(*options, "--save", f"weights.{ending}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = (repository / "README.md").read_text(encoding="utf-8")
    (lines,) = (block for block in re.findall(r"```python\n(.*?)```", text, re.S) if "scale_pixels" in block)
    if ending == "npz":
        lines = lines.replace(
            'torch.load("weights.pt", weights_only=True)', '__import__("numpy").load("weights.npz")'
        )
        assert "npz" in lines.replace("# or", "")
    images, labels = make_synthetic_images()[2:]
    right = 0
    for image, label in zip(images[:5], labels[:5], strict=True):
        Image.fromarray(image).resize((56, 56), Image.Resampling.NEAREST).convert("RGB").save(
            tmp_path / "image.png"
        )
        (tmp_path / "show.py").write_text(f"{lines}\nprint(plt.gca().get_title())\n", encoding="utf-8")
        shown = subprocess.run(
            [sys.executable, "-W", "error", "show.py"],
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(repository), MPLBACKEND="agg", PYTHONUTF8="1"),
            capture_output=True,
            encoding="utf-8",
            timeout=120,
        )
        assert shown.returncode == 0, shown.stderr
        likely = [part.rpartition(" ") for part in shown.stdout.strip().split(", ")]
        shares = [float(share.rstrip("%")) for _, _, share in likely]
        assert len(likely) == 3
        assert shares == sorted(shares, reverse=True)
        assert 0 < sum(shares) <= 102
        right += likely[0][0] == CLASSES[label]
    assert right >= 4, "the set is an easy one"
    assert np.unique(labels[:5]).size > 1
