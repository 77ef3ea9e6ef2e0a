"""Whether XLA compiles the gradient step: as asked, or by a short measurement on this machine.

XLA is no sure win: on a CPU it made one small net 2.2 times slower, a larger one 1.2 times faster.
Where it cannot compile a network, that network trains without it if the choice was left to us.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from harness.cause import cause_of
from harness.engine import Engine, Objective
from harness.errors import BenchError, PluginError
from harness.plain_words import in_words
from harness.record import Measure, RunRecord
from harness.strategy import Layout
from harness.tf_keras import tf
from harness.train_step import EngineKey

ROUNDS = 5
"""Times that each variant is timed, taking turns: a machine that slows down slows both."""

ROUND_S = 0.3
"""Seconds that one timing should last: long beside the clock and one graph call's overhead."""

_OBJECTIVE = Objective(learning_rate=1e-3, class_weight=1.0, box_weight=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class JitChoice:
    """What was measured, and what it led to.

    Attributes:
        jit: whether XLA compiles the gradient step.
        off_step_s, on_step_s: seconds of a training step without and with XLA: the least of
            several, because what disturbs a step only adds to it (Python's `timeit` says why).
    """

    jit: bool
    off_step_s: Measure
    on_step_s: Measure

    @classmethod
    def of_record(cls, record: RunRecord) -> JitChoice | None:
        """Return what a run measured and chose, to go on with it; None if it did not measure."""
        machine, measures = record.machine, record.measures
        if machine is None or machine.jit is None or "jit_on_step_s" not in measures:
            return None
        return cls(
            jit=machine.jit == "on",
            off_step_s=measures["jit_off_step_s"],
            on_step_s=measures["jit_on_step_s"],
        )

    def measures(self) -> dict[str, Measure]:
        """Return what was measured, by its names in a record."""
        return {"jit_off_step_s": self.off_step_s, "jit_on_step_s": self.on_step_s}

    def words(self) -> str:
        """Return in a line what was chosen and why."""
        off, on = self.off_step_s.value, self.on_step_s.value
        if off is None or on is None:
            return f"--jit auto: off, because {self.on_step_s.reason}"
        chosen = "on" if self.jit else "off"
        return (
            f"--jit auto: {chosen}, because a step takes {on * 1e3:.3g} ms with XLA and "
            f"{off * 1e3:.3g} ms without"
        )


def compiled(key: EngineKey, layout: Layout) -> tuple[Engine, float]:
    """Return a compiled engine and the seconds that compiling took.

    Raises:
        UsageError: backbone or head are unknown, or do not fit the images or each other.
        PluginError: they cannot be built, or not be compiled as asked; the text names the option
            without which they can.
    """
    try:
        engine = Engine(key, layout)
        return engine, engine.compile()
    except BenchError:
        raise
    except Exception as error:
        if cause_of(error) == "out_of_memory":
            raise  # no option is at fault, and trying them would need more of it
        option = _at_fault(key, layout)
        if option is None:
            raise
        raise PluginError(
            f"{key.blueprint.backbone} must train with {option[0]}, but that raised "
            f"{in_words(error)} It does without: use {option[1]}."
        ) from error


def choose(key: EngineKey, layout: Layout) -> tuple[Engine, float, JitChoice]:
    """Compile a step without and with XLA, time both and keep the faster.

    All processes of a strategy come to the same choice: they share their times.

    Returns:
        The chosen engine, the seconds that compiling it took, and the choice.

    Raises:
        BenchError: not even the plain step can be built, see `compiled`.
    """
    plain, plain_s = compiled(dataclasses.replace(key, jit=False), layout)
    try:
        fast = Engine(dataclasses.replace(key, jit=True), layout)
        fast_s = fast.compile()
    except Exception as error:  # noqa: BLE001 - whatever keeps XLA from it, there is a way without
        choice = JitChoice(
            jit=False,
            off_step_s=Measure(reason="there was nothing to compare it with"),
            on_step_s=Measure(reason=f"XLA could not compile it: {in_words(error)}"),
        )
        return plain, plain_s, choice
    off, on = _timed(plain, fast)
    choice = JitChoice(jit=min(on) < min(off), off_step_s=_least(off), on_step_s=_least(on))
    return (fast, fast_s, choice) if choice.jit else (plain, plain_s, choice)


def _timed(one: Engine, other: Engine) -> tuple[list[float], list[float]]:
    """Return seconds per step of two engines, timed in turns."""
    first = _step_s(one, 1), _step_s(other, 1)  # also the warm-up
    steps = min(one.key.steps_per_call, max(1, round(ROUND_S / max(first))))
    pairs = [(_step_s(one, steps), _step_s(other, steps)) for _ in range(ROUNDS)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _step_s(engine: Engine, steps: int) -> float:
    """Return the mean seconds of a few training steps, the same number on all processes."""
    seconds = engine.train([engine.blank(steps)], objective=_OBJECTIVE).train_s / steps
    if engine.layout.replicas == 1:
        return seconds
    strategy = engine.layout.strategy
    shared = strategy.run(lambda: tf.constant(seconds, tf.float64))
    return float(strategy.reduce("SUM", shared, axis=None)) / engine.layout.replicas


def _least(samples: list[float]) -> Measure:
    return Measure(value=min(samples), samples=tuple(samples))


def _at_fault(key: EngineKey, layout: Layout) -> tuple[str, str] | None:
    """Return the option without which a network trains, and the one to use instead."""
    plain = dataclasses.replace(key.blueprint, precision="float32")
    tries = (
        ("--jit on", "--jit off", dataclasses.replace(key, jit=False)),
        (
            f"--precision {key.blueprint.precision}", "--precision float32",
            dataclasses.replace(key, blueprint=plain),
        ),
    )  # fmt: skip
    for asked, instead, other in tries:
        if other != key and _trains(other, layout):
            return asked, instead
    return None


def _trains(key: EngineKey, layout: Layout) -> bool:
    try:
        Engine(key, layout).compile()
    except Exception:  # noqa: BLE001 - a plug-in may raise anything
        return False
    return True
