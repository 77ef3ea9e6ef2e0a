"""A search read from a TOML file is the one that could have been typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from sweeps.axes import Choice, Range
from sweeps.search_file import read_search
from sweeps.search_text import parse_axis

WHOLE = """
[search]
learning-rate = "1e-4..1e-1:log"
batch_size = [16, 32, 64]
head = "dense,pooled"
width = {low = 0.5, high = 2, log = true}
box_loss = ["mse", "ciou"]
class_weight = [1, 2.5]

[search.depth]
low = 1
high = 5
step = 2
"""


def write(folder: Path, text: str) -> str:
    path = folder / "space.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_each_way_to_say_it(tmp_path: Path) -> None:
    found = read_search(write(tmp_path, WHOLE))
    assert found == (
        Range(name="learning_rate", low=1e-4, high=0.1, log=True),
        Choice(name="batch_size", values=(16, 32, 64)),
        Choice(name="head", values=("dense", "pooled")),
        Range(name="width", low=0.5, high=2, log=True),
        Choice(name="box_loss", values=("mse", "ciou")),
        Choice(name="class_weight", values=(1.0, 2.5)),
        Range(name="depth", low=1, high=5, step=2),
    )
    weights = found[5]
    assert isinstance(weights, Choice)
    assert list(map(type, weights.values)) == [float, float]


def test_an_axis_is_read_as_it_is_typed() -> None:
    assert read_search("depth=1,2") == (parse_axis("depth=1,2"),)
    # A backbone may well be called so.
    assert read_search("backbone=notebook-cnn,my.toml")[0].name == "backbone"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('learnin_rate = "1..2"', "key 'learnin_rate': .*Did you mean 'learning_rate'"),
        ('learning_rate = "1e-1..1e-4:log"', "key 'learning_rate': A range needs low < high"),
        ('class_weight = "0..1:log"', "key 'class_weight': A logarithmic range needs low > 0"),
        ('class_weight = "-1..1:log"', "key 'class_weight': `class_weight` must be at least 0"),
        ("class_weight = {low = 0, high = 1, log = true}", "needs low > 0, got 0..1"),
        ('depth = "one..2"', "key 'depth': 'one' in 'depth=one..2' must be a number"),
        ('depth = ""', "key 'depth': A search must read"),
        ("depth = []", "key 'depth': .*at least two values, got 0"),
        ("depth = [1]", "key 'depth': .*at least two values, got 1"),
        ("depth = [1, true]", "`depth` must be int, got True"),
        ('depth = [1, "2"]', "`depth` must be int, got '2'"),
        ("width = [1, 1.0]", "1.0 comes 2 times"),
        ("head = [1, 2]", "`head` must be str, got 1"),
        ("depth = 3", "key 'depth': What is searched must be a text .*got 3"),
        ("depth = {low = 1}", "key 'depth': A range needs low and high, but 'high' is missing"),
        ("depth = {lo = 1, high = 2}", "the keys low, high, log, step, got 'lo'. Did you mean"),
        ("depth = {low = 1, high = 3, step = true}", "'step' must be a number, got True"),
        ("depth = {low = 1, high = 3, log = 1}", "'log' must be true or false, got 1"),
        ("width = {low = nan, high = 1}", "key 'width': `width` must be greater than 0"),
        ("seed = [1, 2]", "key 'seed': `seed` is never searched"),
    ],
)
def test_what_does_not_fit_is_named_by_file_and_key(tmp_path: Path, line: str, words: str) -> None:
    path = write(tmp_path, f"[search]\n{line}\n")
    with pytest.raises(UsageError, match=words) as caught:
        read_search(path)
    assert str(caught.value).startswith(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[search", "must be a TOML file: "),
        ("[search]\ndepth = [1, 2]\ndepth = [1, 3]", "must be a TOML file: "),
        ("", r"must have a table \[search\]"),
        ("[search]", r"must have a table \[search\]"),
        ("search = 3", r"must have a table \[search\]"),
        ('depth = "1,2"', r"must have a table \[search\]"),
        ("[search]\ndepth = [1, 2]\n[serch]", r"nothing but \[search\], got 'serch'"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_search(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothere.toml cannot be read: No such file"):
        read_search("nothere.toml")
    (tmp_path / "latin.toml").write_bytes(b"[search]\n# caf\xe9\n")
    with pytest.raises(UsageError, match=r"latin\.toml must be a TOML file"):
        read_search(str(tmp_path / "latin.toml"))
