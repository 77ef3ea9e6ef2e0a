"""What a run keeps of its times, through an attempt that goes on with another one's."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from records import MACHINE

from harness.config import RunConfig
from harness.record import EpochPoint, RunRecord
from harness.run_times import MOST_SAMPLES, RunTimes
from harness.scenes import Scenes
from harness.timing import Span


def make(epoch: int, ids: NDArray[np.int64]) -> Scenes:
    """Scenes that take a while of waiting and a while of work."""
    time.sleep(0.2)
    start = time.thread_time()
    while time.thread_time() - start < 0.05:
        pass
    n = len(ids)
    return Scenes(
        ids=ids, images=np.full((n, 75, 75), epoch, np.uint8), labels=np.zeros(n, np.int64),
        boxes=np.zeros((n, 4), np.float32),
    )  # fmt: skip


def spans(*seconds: float, start_s: float) -> list[Span]:
    ends = np.cumsum([start_s, *seconds]).tolist()
    return [
        Span(start_s=a, end_s=b, steps=10, images=640)
        for a, b in zip(ends, ends[1:], strict=False)  # noqa: RUF007 - as in words
    ]


def test_nothing_is_known_of_a_run_that_has_not_trained() -> None:
    found = RunTimes().measures()
    assert {measure.value for measure in found.values()} == {None}
    assert found["data_images_per_s"].reason == "nothing was trained"


def test_scenes_are_timed_by_the_work_of_their_thread() -> None:
    times, ids = RunTimes(), np.arange(100)
    scenes = times.timed(make, 3, ids)
    assert scenes.ids is ids
    assert (scenes.images == 3).all()
    times.timed(make, 3, ids)
    times.note(spans(1.0, start_s=5.0))
    # 200 scenes in 0.1 s of work; with the waiting it would be 400 a second at most.
    rate = times.measures()["data_images_per_s"].value
    assert rate is not None
    assert 1000 < rate <= 2001


def test_another_attempt_goes_on_with_the_samples() -> None:
    whole, first, second = (RunTimes(begun_s=3.0) for _ in range(3))
    one, two = spans(1.0, 2.0, start_s=5.0), spans(4.0, 8.0, 0.5, start_s=20.0)
    for times, parts in ((whole, (one, two)), (first, (one,))):
        for part in parts:
            times.note(part)
    first.data_rates = [100.0]
    second.continues(record(first, calls=2))
    second.note(two)
    assert second.data_rates == [100.0]
    expected, found = whole.measures(), second.measures()
    for name in ("step_p50_ms", "step_p90_ms", "first_batch_s"):
        assert found[name] == expected[name]
    # Steps of 100, 200, 400, 800 and 50 ms.
    assert found["step_p50_ms"].value == pytest.approx(200)
    assert found["step_p90_ms"].value == pytest.approx(640)
    assert found["first_batch_s"].value == pytest.approx(3), "from 3 to 6, of the first attempt"


def test_the_rate_of_scenes_is_their_total_over_the_time_of_all_epochs() -> None:
    times = RunTimes(data_rates=[100.0, 300.0])
    # As many scenes in each epoch: 2 n / (n / 100 + n / 300) = 150, not the mean of 200.
    assert times.measures()["data_images_per_s"].value == pytest.approx(150)


def test_a_record_without_these_measures_can_be_gone_on_with() -> None:
    times = RunTimes(begun_s=1.0)
    times.continues(record(RunTimes(), calls=0))
    times.note(spans(1.0, start_s=2.0))
    assert times.measures()["first_batch_s"].value == pytest.approx(2)


def test_of_very_many_calls_some_are_kept_evenly_spaced() -> None:
    times = RunTimes()
    count = 50 * MOST_SAMPLES
    # The pace falls from 1 s to 2 s over the run.
    times.note([span(1 + i / count, start_s=2.0 * i) for i in range(count)])
    kept = times.measures()["step_p50_ms"]
    assert MOST_SAMPLES / 2 <= len(kept.samples) <= MOST_SAMPLES
    assert kept.samples[0] == 1000
    gaps = np.diff(kept.samples)
    assert gaps == pytest.approx(gaps[0], rel=0.01)
    assert kept.value == pytest.approx(1500, rel=0.01)
    assert times.measures()["step_p90_ms"].value == pytest.approx(1900, rel=0.01)


def test_a_resumed_run_keeps_no_more() -> None:
    first, second = RunTimes(), RunTimes()
    first.note([span(1.0, start_s=2.0 * i) for i in range(MOST_SAMPLES)])
    second.continues(record(first, calls=MOST_SAMPLES))
    second.note([span(3.0, start_s=4.0 * i) for i in range(3 * MOST_SAMPLES)])
    assert len(second.measures()["step_p50_ms"].samples) <= MOST_SAMPLES
    assert second.measures()["step_p50_ms"].value == 3000


@pytest.mark.parametrize("fields", [{}, {"global_batch_size": 128}])
@pytest.mark.parametrize("before", [1, 3, MOST_SAMPLES, MOST_SAMPLES + 1, 7 * MOST_SAMPLES + 5])
def test_a_resumed_run_goes_on_as_widely_spaced(before: int, fields: dict[str, Any]) -> None:
    whole, first, second = RunTimes(), RunTimes(), RunTimes()
    calls = [span(1.0 + i, start_s=i * (i + 1) / 2) for i in range(before + 5 * MOST_SAMPLES)]
    whole.note(calls)
    first.note(calls[:before])
    second.continues(record(first, calls=before, **fields))
    second.note(calls[before:])
    found, expected = second.measures(), whole.measures()
    for name in ("step_p50_ms", "step_p90_ms"):
        assert found[name] == expected[name]


def record(times: RunTimes, *, calls: int, **fields: Any) -> RunRecord:
    """What a checkpoint says of a run of one epoch on 4 replicas, its last call of one step."""
    config = RunConfig(batch_size=32, steps_per_call=10, **fields)  # global batch: 128
    images = calls * 1280 - 1152
    history = (EpochPoint(epoch=1, images=images, train_s=1.0, metrics={}),) if calls else ()
    return RunRecord(
        run_id="r", role="run", config=config, status="interrupted", duration_s=1.0,
        started_at="2026-01-02T03:04:05+00:00", history=history, measures=times.measures(),
        machine=dataclasses.replace(MACHINE, replicas=4),
    )  # fmt: skip


def span(seconds: float, *, start_s: float) -> Span:
    return Span(start_s=start_s, end_s=start_s + seconds, steps=1, images=1)
