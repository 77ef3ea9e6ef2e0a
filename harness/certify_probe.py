"""What one process measures for a certificate: first steps, losses, evaluations, throughput.

Every strategy is given the same weights, the same global batches in the same order and the same
images to predict; `harness.agreement` compares what comes out.
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from os import _exit
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.agreement import FLOORS, TrainPath, evaluation_sizes, noise
from harness.config import RunConfig
from harness.data import Data, load
from harness.engine import Engine, Objective
from harness.engines import engine_key, open_devices
from harness.errors import BenchError, UsageError
from harness.fresh_process import write_reason
from harness.machine import fingerprint
from harness.observed import Observed
from harness.scenes import Scenes
from harness.silence import shift_draws, silence
from harness.tf_keras import tf

TIMED_CALLS = 3
"""Graph calls whose throughput is a sample."""

EPOCH = 1
"""Whose scenes are used: training never sees them otherwise than in this order."""

_FIRST_MOMENT = 0.1
"""Adam's first moment after one step is (1 - beta_1) times the gradient, beta_1 = 0.9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to measure.

    Attributes:
        config: with strategy, devices and `global_batch_size` of the contender.
        steps: of the loss path.
        controls: runs with permuted batches; for the reference only.
        data_dir: folder of MNIST's files as given, or None.
    """

    config: RunConfig
    steps: int
    controls: int = 0
    data_dir: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "config": self.config.to_json(), "steps": self.steps, "controls": self.controls,
            "data_dir": self.data_dir,
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Request:
        """Build a request from `to_json` values."""
        return cls(**dict(values) | {"config": RunConfig.from_json(values["config"])})


def observe(request: Request) -> Observed:
    """Train, evaluate and time as a certificate asks for; the process must be fresh.

    Raises:
        UsageError: the network draws at random whatever its rates, or does not fit.
        BenchError: devices or data cannot be had.
    """
    config = request.config
    # Products of 10 bits on new GPUs: rounding that has nothing to do with how work is spread.
    tf.config.experimental.enable_tensor_float_32_execution(enabled=False)
    layout = open_devices(config)
    data = load(config, Path(request.data_dir) if request.data_dir else None, say=lambda _: None)
    engine = Engine(engine_key(config, data, layout), layout)
    silenced = silence(engine.model)
    engine.compile()
    probe = _Probe(engine, data, config)
    batches = probe.batches(request.steps)
    if silenced and request.controls:
        probe.check_silent(batches[:1])
    path = probe.train(batches)
    copies_apart, digest = probe.copies_apart(), probe.digest()
    speed = probe.speed()
    evaluations = {n: probe.evaluate(n) for n in evaluation_sizes(engine.global_batch)}
    controls = [*probe.permuted(batches, request.controls)]
    if controls:
        controls += _compiled_otherwise(probe, batches)
    return Observed(
        path=path,
        noise=noise(path, controls) if controls else None,
        evaluations=evaluations,
        copies_apart=copies_apart,
        weights_digest=digest,
        silenced=silenced,
        data=data.identity(),
        machine=fingerprint(
            strategy=layout.name, replicas=layout.replicas, workers=layout.workers,
            devices=layout.devices, threads=config.threads,
        ),
        **speed,
    )  # fmt: skip


class _Probe:
    """Measures with one compiled engine.

    Args:
        engine: with its random layers silenced.
        data: to train on and to predict.
        config: its seed, learning rate and loss weights.
    """

    def __init__(self, engine: Engine, data: Data, config: RunConfig) -> None:
        self._engine = engine
        self._data = data
        self._config = config
        self._seed = config.seed
        self._order = data.train_order(EPOCH, config.seed)
        self._objective = Objective(
            learning_rate=config.learning_rate,
            class_weight=config.class_weight,
            box_weight=config.box_weight,
        )

    def compiled_otherwise(self) -> _Probe:
        """Return the same with XLA, or without it where this is with."""
        key = replace(self._engine.key, jit=not self._engine.key.jit)
        engine = Engine(key, self._engine.layout)
        silence(engine.model)
        engine.compile()
        return _Probe(engine, self._data, self._config)

    def batches(self, steps: int) -> list[NDArray[np.int64]]:
        """Return the ids of so many global batches; whole ones only, again from the start."""
        size = self._engine.global_batch
        whole = self._data.n_train // size
        return [self._order[k % whole * size :][:size] for k in range(steps)]

    def train(self, batches: Sequence[NDArray[np.int64]]) -> TrainPath:
        """Take one step with each batch, from the weights of the seed."""
        self._engine.reset(self._seed)
        losses = [self._step(batches[0])]
        gradient, averages = self._gradient(), self._averages()
        # The same images whatever the order of the batch.
        outputs = self._predict(np.sort(batches[0]))
        losses += [self._step(batch) for batch in batches[1:]]
        return TrainPath(
            losses=np.array(losses), gradient=gradient, averages=averages, outputs=outputs
        )

    def permuted(self, batches: Sequence[NDArray[np.int64]], controls: int) -> Iterator[TrainPath]:
        """Yield the path with examples permuted inside each batch, each time otherwise."""
        for control in range(controls):
            rng = np.random.default_rng([self._seed, control])
            yield self.train([rng.permutation(batch) for batch in batches])

    def evaluate(self, n: int) -> NDArray[np.float64]:
        """Return the outputs for n examples by the weights of the seed."""
        self._engine.reset(self._seed)
        return self._predict(self._order[:n])

    def speed(self) -> dict[str, tuple[Any, ...]]:
        """Return images and seconds of a few full graph calls."""
        batches = self.batches(self._engine.key.steps_per_call)
        scenes = self._scenes(np.concatenate(batches))
        results = [
            self._engine.train([scenes], objective=self._objective) for _ in range(TIMED_CALLS)
        ]
        return {
            "images": tuple(result.images for result in results),
            "train_s": tuple(result.train_s for result in results),
        }

    def copies_apart(self) -> float:
        """Return the largest difference between replicas of any variable, in this process."""
        local = self._engine.layout.strategy.experimental_local_results
        apart = [0.0]
        for variable in self._engine.model.variables:
            one, *others = (np.asarray(copy, np.float64) for copy in local(variable.value))
            apart += [float(np.abs(other - one).max(initial=0)) for other in others]
        return float(np.max(apart))

    def digest(self) -> str:
        """Return the SHA-256 of the first replica's variables."""
        found = hashlib.sha256()
        for weight in self._engine.weights():
            found.update(np.ascontiguousarray(weight).tobytes())
        return found.hexdigest()

    def check_silent(self, batches: Sequence[NDArray[np.int64]]) -> None:
        """Raise `UsageError` if other seeds of the random layers make another loss."""
        losses = []
        for shifted in (False, True):
            self._engine.reset(self._seed)
            if shifted:
                shift_draws(self._engine.model)
            losses.append(self._step(batches[0]))
        if not abs(losses[1] - losses[0]) <= FLOORS["first loss"] * abs(losses[0]):
            raise UsageError(
                f"{self._engine.key.blueprint.backbone} must not draw at random with the rates of "
                "its random layers at 0, but its loss still depends on their seeds. Give them an "
                "attribute `rate` that switches them off."
            )

    def _step(self, ids: NDArray[np.int64]) -> float:
        result = self._engine.train([self._scenes(ids)], objective=self._objective)
        return result.metrics["train_loss"]

    def _scenes(self, ids: NDArray[np.int64]) -> Scenes:
        """Return what this process feeds of whole batches."""
        return self._data.train_scenes(EPOCH, self._engine.share(ids))

    def _predict(self, ids: NDArray[np.int64]) -> NDArray[np.float64]:
        outputs = self._engine.predict(self._data.train_scenes(EPOCH, ids))
        return np.hstack(outputs).astype(np.float64)

    def _gradient(self) -> NDArray[np.float64]:
        """Return what Adam was given in its first step, all weights in a row."""
        moments = [v for v in self._engine.optimizer.variables if v.path.endswith("momentum")]
        return _row(moments) / _FIRST_MOMENT

    def _averages(self) -> NDArray[np.float64]:
        """Return what moves without being trained; seeds of random layers are whole numbers."""
        state = self._engine.model.non_trainable_variables
        return _row([v for v in state if "float" in v.dtype])


def _compiled_otherwise(
    probe: _Probe, batches: Sequence[NDArray[np.int64]]
) -> Iterator[TrainPath]:
    """Yield the path with XLA, or without it where it was with; nothing if XLA cannot."""
    try:
        yield probe.compiled_otherwise().train(batches)
    except (tf.errors.OpError, ValueError, TypeError):  # as XLA says that it lacks a kernel
        return


def _row(variables: Sequence[Any]) -> NDArray[np.float64]:
    parts = [np.asarray(variable, np.float64).ravel() for variable in variables]
    return np.concatenate(parts) if parts else np.zeros(0)


def tell(request: str, to: str) -> None:
    """Measure as a request (JSON) says; write the result to a file, or say why there is none.

    The process ends when its standard input does: whoever started it has what it wants, or is
    gone. Until then it stays, because the chief of several workers takes the others with it.
    """
    parent = threading.Thread(target=sys.stdin.buffer.read, daemon=True)
    parent.start()
    threading.Thread(target=_measure, args=(request, to), daemon=True).start()
    parent.join()
    _exit(0)


def _measure(request: str, to: str) -> None:
    """Do the work of `tell`, in a thread: standard input is watched meanwhile."""
    try:
        observe(Request.from_json(json.loads(request))).save(Path(to))
    except BenchError as error:
        write_reason(Path(to), error)
        _exit(error.exit_code)
    except BaseException:  # noqa: BLE001 - the log says what it was
        traceback.print_exc()
        sys.stderr.flush()
        # Not `sys.exit`: a worker that waits at exit for the others would never end.
        _exit(1)
