"""The staff's key: made once, kept from everybody else, and read as it was written."""

import multiprocessing

import pytest

from autograder import key
from autograder.__main__ import main
from autograder.key import BadKeyError, ensure_key, read_key, seed_of


def test_it_is_made_once_and_for_its_owner_alone(tmp_path):
    path = tmp_path / "course" / "autograder.key"
    made = ensure_key(path)
    assert len(made) == 32
    assert ensure_key(path) == read_key(path) == made
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["autograder.key"]
    assert ensure_key(tmp_path / "other") != made


def test_who_makes_it_at_the_same_time_has_the_same(tmp_path):
    with multiprocessing.get_context("fork").Pool(8) as pool:
        assert len(set(pool.map(ensure_key, [tmp_path / "key"] * 64, chunksize=1))) == 1


@pytest.mark.parametrize("content", ["", "secret of another kind", "é" * 64, "A" * 64, "a" * 63, None])
def test_what_is_no_key(tmp_path, content):
    path = tmp_path / "key"
    if content is None:
        path.mkdir()
    else:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(BadKeyError, match=r"expected (a key|64 hexadecimal digits) in") as error:
        ensure_key(path)
    assert "secret of" not in str(error.value)


def test_seeds():
    """Numbers of 32 bits that the key decides, beside the text."""
    seeds = {seed_of(text, secret) for text in ("1", "2") for secret in (None, bytes(32), bytes([1] * 32))}
    assert len(seeds) == 6
    assert all(0 <= seed < 2**32 for seed in seeds)
    # HMAC-SHA256's second test case in RFC 4231
    assert seed_of("what do ya want for nothing?", b"Jefe") == 0x5BDCC146


def test_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["build"]) == main(["build", "--key", "other"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        f"A new key is in {name}: keep it, and keep it to yourselves." for name in (key.FILE, "other")
    ]
    assert main(["build"]) == 0
    assert capsys.readouterr().err == ""
    for arguments in (["grade", "."], ["grade-all", "."], ["build"]):
        assert main([*arguments, "--key", str(tmp_path)]) == 2
        assert f"expected a key in {tmp_path}" in capsys.readouterr().err
