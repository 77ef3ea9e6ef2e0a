"""Predictions of batches of any size are those of the engine, compiled once."""

from __future__ import annotations

import nets
import numpy as np
import pytest

from harness.engine import Engine
from harness.errors import UsageError
from harness.inference import Inference
from harness.strategy import open_layout
from harness.train_step import EngineKey


def engine(devices: str = "cpu:0") -> Engine:
    layout = open_layout(strategy="auto", devices=devices, threads=0)
    made = Engine(EngineKey(blueprint=nets.plan(), replica_batch=4, steps_per_call=2), layout)
    made.reset(3)
    return made


def test_single_images_and_large_batches_come_out_as_from_the_engine() -> None:
    made, scenes = engine(), nets.scenes(12)
    expected = made.predict(scenes)
    for batch in (1, 3, 12):
        predict = Inference(made, batch)
        parts = [predict(scenes.images[k : k + batch]) for k in range(0, 12, batch)]
        for found, one in zip(zip(*parts, strict=True), expected, strict=True):
            np.testing.assert_allclose(np.concatenate(found), one, rtol=1e-5, atol=1e-6)


def test_two_replicas_share_a_batch_in_order_or_refuse_it() -> None:
    made, scenes = engine("cpu:0,cpu:1"), nets.scenes(6)
    found = Inference(made, 6)(scenes.images)
    for part, one in zip(found, made.predict(scenes), strict=True):
        np.testing.assert_allclose(part, one, rtol=1e-5, atol=1e-6)
    with pytest.raises(UsageError, match="a batch of 1 cannot be shared evenly by 2 replicas"):
        Inference(made, 1)


def test_it_sees_weights_that_change() -> None:
    made, scenes = engine(), nets.scenes(1)
    predict = Inference(made, 1)
    before = predict(scenes.images)[0]
    made.reset(4)
    assert not np.allclose(before, predict(scenes.images)[0])
