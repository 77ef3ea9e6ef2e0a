"""The pass over the training examples: a run's, bit for bit, and cut where one says so."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from harness.config import RunConfig
from harness.data import Data, load
from harness.draft import Identity
from harness.engine import Engine
from harness.engines import compiled_engine, open_devices
from harness.epoch import chunks, images_per_epoch, train_epoch
from harness.run import execute
from harness.schedule import schedule
from harness.store import Store

CONFIG = RunConfig(
    backbone="nets:tiny", dataset="digits", train_examples=100, batch_size=8, steps_per_call=5,
    epochs=2, evaluate_test=False, seed=7,
)  # fmt: skip


def ready() -> tuple[Engine, Data]:
    layout = open_devices(CONFIG)
    data = load(CONFIG, None, say=lambda _: None)
    engine, _, _ = compiled_engine(CONFIG, data, layout)
    engine.reset(CONFIG.seed)
    return engine, data


def test_it_is_the_pass_that_a_run_takes(tmp_path: Path) -> None:
    record = execute(CONFIG, identity=Identity(run_id="a"), store=Store(tmp_path), data_dir=None)
    engine, data = ready()
    plan = schedule(CONFIG, global_batch=8, steps_per_epoch=12)
    for point in record.history:
        result = train_epoch(point.epoch, CONFIG, plan, engine, data)
        trained = {n: v for n, v in point.metrics.items() if n.startswith("train_")}
        assert result.metrics == trained, "the same losses to the last bit"
        assert result.images == point.images == 96
        # 12 steps in calls of 5, 5 and 2.
        assert [span.steps for span in result.spans] == [5, 5, 2]
        # And the rate is what a run makes of it: images over the time of the calls.
        assert result.train_s == pytest.approx(sum(span.seconds for span in result.spans))


def test_it_ends_early_after_whole_graph_calls_and_never_before_the_first() -> None:
    engine, data = ready()
    plan = schedule(CONFIG, global_batch=8, steps_per_epoch=12)
    seen: list[int] = []
    one = train_epoch(1, CONFIG, plan, engine, data, on_images=seen.append, go_on=lambda: False)
    assert ([span.steps for span in one.spans], one.images, seen) == ([5], 40, [40])
    answers = itertools.chain([True], itertools.repeat(False))
    two = train_epoch(1, CONFIG, plan, engine, data, go_on=lambda: next(answers))
    assert [span.steps for span in two.spans] == [5, 5]


def test_chunks_are_the_order_of_the_epoch() -> None:
    engine, data = ready()
    for epoch in (1, 2):
        parts = list(chunks(data, engine, epoch=epoch, seed=7))
        ids = np.concatenate([part.ids for part in parts])
        np.testing.assert_array_equal(ids, data.train_order(epoch, 7)[:96])
    assert images_per_epoch(data, 8) == 96
