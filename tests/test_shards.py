"""Batches cut into shards: the same results as whole, and only where no layer minds."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nets
import numpy as np
import pytest
import tensorflow as tf
from nets import cut, model, plan, scenes

from architectures import registry
from architectures.builtin import BUILTIN
from architectures.heads import attach_heads
from harness import shards
from harness.config import RunConfig
from harness.engine import Engine, EngineKey, Objective
from harness.machine import cpu_cores
from harness.replica_layers import looks_across
from harness.strategy import Layout, open_layout

ROOT = Path(__file__).parent.parent
BATCH = 48
OBJECTIVE = Objective(learning_rate=1e-2, class_weight=1.0, box_weight=1.0)

LOSS_PATH = 2e-5
"""Relative, as between strategies in `test_engine`: sums are taken in another order."""


ALONE = ("tiny", "decaying", "normalised", "fused", "dropping")
"""Backbones of `nets` that say here that they look at each image alone; the last three lie."""


@pytest.fixture(scope="module", autouse=True)
def _said() -> Iterator[None]:
    with registry.temporary():
        for name in ALONE:
            registry.backbone(f"alone-{name}", images_alone=True)(getattr(nets, name))
        yield


@functools.cache
def layout(parts: int) -> Layout:
    return dataclasses.replace(open_layout(strategy="cpu", devices="", threads=0), shards=parts)


@functools.cache
def engine(
    parts: int, backbone: str = "nets:tiny", *, batch: int = BATCH, jit: bool = False,
    precision: Any = "float32",
) -> Engine:  # fmt: skip
    key = EngineKey(
        blueprint=plan(backbone, precision=precision), replica_batch=batch, steps_per_call=2,
        jit=jit,
    )  # fmt: skip
    return Engine(key, layout(parts))


def path(tested: Engine, steps: int = 20) -> list[dict[str, float]]:
    """Train from seed 7; return the metrics of each step."""
    tested.reset(7)
    batch = tested.global_batch
    chunks = cut(scenes(batch * steps), *range(0, batch * steps + 1, batch))
    return [tested.train([chunk], objective=OBJECTIVE).metrics for chunk in chunks]


@pytest.mark.parametrize(
    ("parts", "batch", "jit"),
    [(2, 48, False), (3, 48, False), (2, 33, False), (2, 48, True)],
)
def test_shards_change_speed_not_results(parts: int, batch: int, jit: bool) -> None:
    cut_up = engine(parts, batch=batch, jit=jit)
    assert len(cut_up.parts) == parts
    found, whole = path(cut_up), path(engine(1, batch=batch))
    assert found[0] == pytest.approx(whole[0], rel=1e-6)  # the same weights, not yet trained
    for one, other in zip(found, whole, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=LOSS_PATH)


def test_weight_decay_counts_once() -> None:
    found, whole = path(engine(3, "nets:decaying")), path(engine(1, "nets:decaying"))
    assert len(engine(3, "nets:decaying").parts) == 3
    for one, other in zip(found, whole, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=LOSS_PATH)


def test_a_scaled_loss_is_scaled_in_each_shard() -> None:
    half = "mixed_float16"
    found, whole = path(engine(2, precision=half), 3), path(engine(1, precision=half), 3)
    # Half precision has 11 bits; ten times their rounding.
    assert found[2]["train_loss"] == pytest.approx(whole[2]["train_loss"], rel=5e-3)


@pytest.mark.parametrize("name", ["normalised", "fused", "dropping", "centred"])
def test_layers_that_see_the_batch_get_it_whole(name: str) -> None:
    # The last is such a layer that no rule knows: what does not say so is never cut.
    cut_up, whole = engine(3, f"nets:{name}"), engine(1, f"nets:{name}")
    assert cut_up.parts == (slice(0, BATCH),)
    assert path(cut_up, 3) == path(whole, 3)  # bit by bit: it is the same graph


def test_shards_repeat_bit_by_bit() -> None:
    tested = engine(3)
    assert path(tested) == path(tested)


@pytest.mark.parametrize("n", [1, 33, 34, 70])
def test_each_example_is_predicted_once_and_in_order(n: int) -> None:
    some = scenes(n)
    for one in (cut_up := engine(2, batch=33), whole := engine(1, batch=33)):
        one.reset(7)
    for found, expected in zip(cut_up.predict(some), whole.predict(some), strict=True):
        assert len(found) == n
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_parts_cover_the_batch_and_are_even() -> None:
    net = model("nets:tiny", seed=0)
    parts = functools.partial(shards.cut, net, backbone="nets:tiny", head="dense", shards=4)
    assert parts(images=65) == (slice(0, 16), slice(16, 32), slice(32, 48), slice(48, 65))
    assert parts(images=63) == (slice(0, 63),)  # one of 15 would be below 16


@pytest.mark.parametrize(
    ("changes", "cores", "expected"),
    [
        ({}, 1, 1),
        ({}, 2, 2),
        ({}, 4, 4),  # 64 images: 16 each
        ({}, 5, 1),
        ({"batch_size": 31}, 2, 1),
        ({"batch_size": 4, "global_batch_size": 32}, 2, 2),
        ({"threads": 2}, 2, 1),
        ({"backbone": "residual-s"}, 2, 1),  # has batch normalisation
        ({"backbone": "nets:nested"}, 2, 1),  # a plug-in that does not say
        ({"backbone": "nets:nowhere"}, 2, 1),
        ({"head": "nets:no_head"}, 2, 1),
    ],
)
def test_who_asks_for_shards(changes: dict[str, Any], cores: int, expected: int) -> None:
    assert shards.wanted([RunConfig(**changes)], cores) == expected


def test_one_network_of_a_process_that_cannot_decides_for_all() -> None:
    alone, other = RunConfig(), RunConfig(backbone="residual-s")
    assert shards.wanted([alone, alone], 2) == 2
    assert shards.wanted([alone, other], 2) == shards.wanted([other, alone], 2) == 1


@pytest.mark.parametrize("name", sorted(BUILTIN))
def test_backbones_keep_what_they_say_of_themselves(name: str) -> None:
    known = registry.get(name)
    if known.images_alone:
        assert not looks_across(attach_heads(known((40, 40, 1)), 10))
    assert known.images_alone is (name in {"notebook-cnn", "readme-cnn"})


FRESH = """
import json, sys
from harness.config import RunConfig
from harness.engines import open_devices
import tensorflow as tf

config = RunConfig(dataset="digits", backbone=sys.argv[1])
layout = open_devices(config, split=sys.argv[2] == "run")
other = open_devices(RunConfig(backbone="residual-s"))
threading = tf.config.threading
print(json.dumps([layout.shards, other is layout, threading.get_intra_op_parallelism_threads(),
                  threading.get_inter_op_parallelism_threads()]))
"""


@pytest.mark.parametrize(
    ("backbone", "who"),
    [("notebook-cnn", "run"), ("residual-s", "run"), ("notebook-cnn", "sweep")],
)
def test_a_fresh_process_gets_its_threads(backbone: str, who: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FRESH, backbone, who], env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cores = cpu_cores()
    split = (backbone, who) == ("notebook-cnn", "run") and 1 < cores <= 4
    expected = [cores, True, 1, cores] if split else [1, True, cores, cores]
    assert json.loads(done.stdout) == expected


def test_a_process_with_other_threads_is_left_as_it_is() -> None:
    tf.zeros(1)
    opened = open_layout(strategy="cpu", devices="", threads=0, shards=77)
    assert opened.shards == 1
