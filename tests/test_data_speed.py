"""How the making of scenes is timed, and `bench throughput --data-only` by the command line."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from harness.config import RunConfig
from harness.data import load
from harness.data_speed import rounds, scenes_made
from harness.timed_contenders import read_scene_contenders

Bench = Callable[[str], tuple[int, str, str]]


def test_scenes_are_made_in_whole_batches_epoch_after_epoch() -> None:
    config = RunConfig(dataset="digits", batch_size=100, steps_per_call=5)
    data = load(config, None, say=pytest.fail)
    made = scenes_made(config, data)
    # 1,197 are 11 batches of 100: two pieces of five batches, and one of one.
    assert [next(made) for _ in range(5)] == [500, 500, 100, 500, 500]
    config = RunConfig(dataset="digits", batch_size=5000)
    assert next(scenes_made(config, data)) == 1197


def test_rates_are_scenes_over_seconds_in_turns() -> None:
    def slow(seconds: float) -> Iterator[int]:
        while True:
            time.sleep(seconds)
            yield 10

    turns: list[tuple[int, int]] = []
    found = rounds(
        [slow(0.02), slow(0.005)], repeats=2, seconds=0.05,
        on_turn=lambda *turn: turns.append(turn),
    )  # fmt: skip
    assert turns == [(0, 0), (0, 1), (1, 0), (1, 1)]
    # A sleep takes as long as it was asked to at least.
    assert all(0 < rate <= 10 / 0.02 for rate in found[0])
    assert all(max(found[0]) < rate <= 10 / 0.005 for rate in found[1])


def contenders(given: set[str], **values: object) -> dict[str, str]:
    defaults = {"backbones": ["notebook-cnn", "readme-cnn"], "contenders": (), "scene": "plain",
                "epochs": None, "seed": 0}  # fmt: skip
    found = read_scene_contenders({**defaults, **values}, given=given)
    return {each.name: each.config.scene_spec().words() for each in found}


def test_every_preset_is_timed_unless_some_are_named() -> None:
    assert list(contenders(set())) == ["plain", "scaled", "cluttered", "hard"]
    assert contenders(set(), clutter=3)["hard"] == "hard, clutter=3"
    assert contenders({"scene"}, scene="hard") == {"hard": "hard"}
    named = ("scene=hard,contrast=0.50..1", "scene=scaled")
    assert contenders(set(), contenders=named, backbones=["readme-cnn"]) == {
        named[0]: "hard, contrast=0.5..1", named[1]: "scaled",
    }  # fmt: skip


def test_the_command_shows_a_table_or_json(bench: Bench) -> None:
    line = "throughput --data-only --dataset digits --repeats 2 --seconds 0.01"
    code, said, _ = bench(line)
    assert code == 0
    for word in ("plain", "scaled", "cluttered", "hard", "scenes/s", "2 rounds in turns"):
        assert word in said
    code, said, _ = bench(f"{line} --scene hard --canvas-px 64 --json")
    assert code == 0
    row = json.loads(said)["contenders"][0]
    assert (row["name"], row["scene"]) == ("hard", "hard, canvas_px=64")
    samples = row["scenes_per_s"]["samples"]
    assert row["scenes_per_s"]["value"] == pytest.approx(np.mean(samples))
    assert row["scenes_per_s"]["varied"] == "rounds"
    assert len(samples) == 2


def test_digits_that_do_not_fit_are_refused_before_anything_is_made(bench: Bench) -> None:
    code, _, error = bench("throughput --data-only --scene hard --canvas-px 40")
    assert code == 2
    assert "The largest digit must fit the canvas of 40 px" in error
