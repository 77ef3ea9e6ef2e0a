"""The one train loop for every strategy: a compiled network, fed with scenes, again and again.

Keras's `fit` fails under several strategies and is no neutral stopwatch. What runs as a graph
stands in `harness.train_step`; here scenes are cut into steps and replicas for it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.adam import FusedAdam
from harness.loss_scale import LossScale
from harness.model import Network, build, facts
from harness.record import Measure, ModelFacts
from harness.replica_layers import check_jit, share_batches
from harness.scenes import Scenes
from harness.shards import cut
from harness.strategy import Layout
from harness.tf_keras import keras, tf
from harness.timing import Span
from harness.train_step import TRAIN_METRICS, EngineKey, predict_function, train_function
from harness.training_forward import training_forward


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """The numbers that a trial varies without a new trace."""

    learning_rate: float
    class_weight: float
    box_weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochResult:
    """One pass over the training examples.

    Attributes:
        images: examples trained on (whole global batches only).
        train_s: wall seconds of the loop, waiting for data included.
        metrics: means over these examples, by the names in `TRAIN_METRICS`.
        spans: one for each graph call, in order; together they are `train_s`.
    """

    images: int
    train_s: float
    metrics: dict[str, float]
    spans: tuple[Span, ...]


class Engine:
    """A compiled network with its optimizer, ready to train again and again from new seeds.

    Args:
        key: what to build.
        layout: the open strategy to build under.

    Raises:
        UsageError: backbone or head are unknown, or do not fit the images, each other or XLA.
        PluginError: backbone or head cannot be built.
    """

    def __init__(self, key: EngineKey, layout: Layout) -> None:
        self.key = key
        self.layout = layout
        self.global_batch = key.replica_batch * layout.replicas
        self.local_batch = key.replica_batch * layout.local_replicas
        self._strategy = layout.strategy
        # Else unnamed layers are numbered on from earlier models: another table for the same run.
        keras.utils.clear_session(free_memory=False)
        with self._strategy.scope():
            self._network = self._build(seed=0)
            self.model = self._network.model
            check_jit(
                self.model, name=key.blueprint.backbone, jit=key.jit, replicas=layout.replicas
            )
            if layout.replicas > 1:
                share_batches(self.model)
            self.parts = cut(
                self.model, backbone=key.blueprint.backbone, head=key.blueprint.head,
                images=key.replica_batch, shards=layout.shards,
            )  # fmt: skip
            self.forward = training_forward(self.model, fused=key.fused and not key.jit)
            self.optimizer = FusedAdam()
            self.optimizer.build(self.model.trainable_variables)
            half = key.blueprint.precision == "mixed_float16"
            self.loss_scale = LossScale(self.optimizer) if half else None
        self._train_call = train_function(self)
        self._predict_call = predict_function(self)

    @property
    def updates(self) -> int:
        """Return how many steps since `reset` changed the weights; float16 may skip some."""
        return int(np.array(self.optimizer.iterations))

    @functools.cached_property
    def facts(self) -> tuple[ModelFacts, Measure]:
        """Size and make-up of the network, and the cost of one forward pass."""
        return facts(self._network)

    def compile(self) -> float:
        """Trace and compile both steps on a batch of zeros; return the seconds it took.

        The weights are spoilt by that batch: `reset` comes next.
        """
        start = perf_counter()
        blank = self.blank(1)
        objective = Objective(learning_rate=1e-3, class_weight=1.0, box_weight=1.0)
        self.train([blank], objective=objective)
        self.predict(blank)
        return perf_counter() - start

    def blank(self, steps: int) -> Scenes:
        """Return zeros for so many steps, to compile or to time with."""
        count = steps * self.local_batch
        return Scenes(
            ids=np.zeros(count, np.int64),
            images=np.zeros((count, *self.key.blueprint.scene_shape), np.uint8),
            labels=np.zeros(count, np.int64),
            boxes=np.zeros((count, 4), np.float32),
        )

    def reset(self, seed: int) -> None:
        """Set every variable as a newly built engine would have it for this seed."""
        fresh = self._build(seed)
        for variable, value in zip(self.model.variables, fresh.model.variables, strict=True):
            variable.assign(value)
        for variable in self.optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))
        if self.loss_scale:
            self.loss_scale.reset()

    def weights(self) -> list[NDArray[Any]]:
        """Return a copy of the model's variables, in Keras's order."""
        return [np.array(variable) for variable in self.model.variables]

    def weight_names(self) -> list[str]:
        """Return Keras's path of each of the model's variables, in the order of `weights`."""
        return [str(variable.path) for variable in self.model.variables]

    def set_weights(self, weights: Sequence[NDArray[Any]]) -> None:
        """Put back what `weights` returned."""
        for variable, value in zip(self.model.variables, weights, strict=True):
            variable.assign(value)

    def share(self, examples: NDArray[Any]) -> NDArray[Any]:
        """Return what this process feeds of whole global batches `[n, ...]`, in order.

        All of it, unless other workers feed the rest of each batch.
        """
        batches = examples.reshape(-1, self.global_batch, *examples.shape[1:])
        local = batches[:, self.layout.share(self.global_batch)]
        return local.reshape(-1, *examples.shape[1:])

    def state(self) -> list[NDArray[Any]]:
        """Return a copy of all that training changes: variables of model and optimizer, in order.

        Each is `[copies, ...]`: one copy if the replicas agree, else that of each replica, as
        statistics of batch normalisation and seeds of dropout may be its own.
        """
        return [_copies(replicas) for replicas in self._variables()]

    def misfit(self, state: Sequence[NDArray[Any]]) -> str | None:
        """Say in words why `state` cannot be that of this network; None if it can."""
        shapes = [tuple(replicas[0].shape) for replicas in self._variables()]
        found = [array.shape[1:] for array in state]
        if found == shapes:
            return None
        if len(found) != len(shapes):
            return f"it holds {len(found)} variables, but the network has {len(shapes)}"
        other = next(i for i, shape in enumerate(shapes) if found[i] != shape)
        return (
            f"variable {other} has shape {found[other]} in it, but {shapes[other]} in the network"
        )

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Put back what `state` returned, perhaps in another process.

        Raises:
            ValueError: it is that of another network, see `misfit`.
        """
        reason = self.misfit(state)
        if reason:
            raise ValueError(f"the state must fit the network, but {reason}")
        for replicas, copies in zip(self._variables(), state, strict=True):
            for i, variable in enumerate(replicas):
                # Of another number of replicas the first speaks for all.
                variable.assign(copies[i if len(copies) == len(replicas) else 0])

    def train(
        self,
        chunks: Iterable[Scenes],
        *,
        objective: Objective,
        rates: Sequence[float] | None = None,
        on_images: Callable[[int], None] | None = None,
    ) -> EpochResult:
        """Take one step per global batch in each chunk, in order.

        Args:
            chunks: scenes in training order; each holds 1 to `steps_per_call` whole batches.
            objective: learning rate and loss weights.
            rates: learning rate of each step, in order, instead of the objective's for all.
            on_images: called after each graph call with the number of images trained so far.

        Raises:
            DivergedRun: gradients in float16 overflow, whatever the loss scale.
        """
        weights = tf.constant([objective.class_weight, objective.box_weight], tf.float32)
        sums = np.zeros(len(TRAIN_METRICS))
        images, spans = 0, []
        start = mark = perf_counter()
        for chunk in _ahead(self._packed, iter(chunks)):
            first = images // self.global_batch
            later = [objective.learning_rate] if rates is None else rates[first:]
            sums += self._train_call(*chunk.tensors, weights, self._rates(later)).numpy()
            images += chunk.images
            if on_images:
                on_images(images)
            now = perf_counter()
            steps = chunk.images // self.global_batch
            spans.append(Span(start_s=mark, end_s=now, steps=steps, images=chunk.images))
            mark = now
        if self.loss_scale:
            self.loss_scale.check()
        means = {n: float(s / images) for n, s in zip(TRAIN_METRICS, sums, strict=True)}
        return EpochResult(images=images, train_s=mark - start, metrics=means, spans=tuple(spans))

    def predict(self, scenes: Scenes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return probabilities float32 `[n, classes]` and boxes float32 `[n, 4]`, in order.

        The last batch is filled up with blank images, whose outputs are dropped: every shape
        stays static and every example is counted exactly once.
        """
        probabilities: list[NDArray[np.float32]] = []
        boxes: list[NDArray[np.float32]] = []
        for start in range(0, len(scenes.ids), self.global_batch):
            images = scenes.images[start : start + self.global_batch]
            local = self.share(_filled(images, self.global_batch))
            found = self._predict_call(self.spread(local))
            for kept, values in zip((probabilities, boxes), found, strict=True):
                kept.append(values.numpy()[: len(images)])
        return np.concatenate(probabilities), np.concatenate(boxes)

    def spread(self, array: NDArray[Any], *, axis: int = 0) -> Any:
        """Return a tensor, or one tensor per replica of this process cut in order along `axis`."""
        places = self.layout.feeds
        parts = iter(zip(np.split(array, len(places), axis=axis), places, strict=True))

        def next_part(_context: Any) -> Any:
            part, place = next(parts)
            # Not the default device, which on a machine with GPUs is the first of them.
            with tf.device(place):
                return tf.constant(part)

        if len(places) == 1:
            return next_part(None)
        return self._strategy.experimental_distribute_values_from_function(next_part)

    def _build(self, seed: int) -> Network:
        return build(self.key.blueprint, seed=seed)

    def _variables(self) -> list[tuple[Any, ...]]:
        """Return each variable of model and optimizer as the variables of its replicas."""
        local = self._strategy.experimental_local_results
        return [local(v.value) for v in (*self.model.variables, *self.optimizer.variables)]

    def _rates(self, rates: Sequence[float]) -> Any:
        """Return the learning rates of one graph call, the last one repeated up to its length."""
        limit = self.key.steps_per_call
        some = list(rates[:limit])
        return tf.constant(some + some[-1:] * (limit - len(some)), tf.float32)

    def _packed(self, scenes: Scenes) -> _Chunk:
        """Cut scenes into steps and replicas, filled up with blank steps to a static shape."""
        batch, limit = self.local_batch, self.key.steps_per_call
        steps, rest = divmod(len(scenes.ids), batch)
        if rest or not 1 <= steps <= limit:
            raise ValueError(
                f"a chunk must hold 1 to {limit} whole batches of {batch}, got {len(scenes.ids)}"
            )
        arrays = (scenes.images, scenes.labels.astype(np.int32), scenes.boxes)
        filled = (_filled(array, limit * batch) for array in arrays)
        tensors = [self.spread(a.reshape(limit, batch, *a.shape[1:]), axis=1) for a in filled]
        return _Chunk(tensors=(*tensors, tf.constant(steps)), images=steps * self.global_batch)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Chunk:
    tensors: tuple[Any, ...]
    images: int


def _copies(replicas: Sequence[Any]) -> NDArray[Any]:
    """Return the values of a variable's replicas, or one for all if they are the same."""
    values = [np.array(variable) for variable in replicas]
    same = all(value.tobytes() == values[0].tobytes() for value in values)
    return np.stack(values[:1] if same else values)


def _filled(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Return `array` with zeros appended up to `length`."""
    missing = length - len(array)
    if not missing:
        return array
    return np.concatenate([array, np.zeros((missing, *array.shape[1:]), array.dtype)])


def _ahead(prepare: Callable[[Scenes], _Chunk], chunks: Iterator[Scenes]) -> Iterator[_Chunk]:
    """Yield prepared chunks, making the next one in a thread while one is in use."""

    def following() -> _Chunk | None:
        scenes = next(chunks, None)
        return None if scenes is None else prepare(scenes)

    with ThreadPoolExecutor(max_workers=1) as pool:
        future = pool.submit(following)
        while (chunk := future.result()) is not None:
            future = pool.submit(following)
            yield chunk
