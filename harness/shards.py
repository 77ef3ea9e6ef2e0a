"""How the batch of one CPU is cut into shards that are worked on at once, one core each.

The operations of a small network are too small for two threads to share well. Where each core
has a shard of its own instead, and works on it with one thread, `notebook-cnn` trained 1.2 times
as many images per second (docs/performance.md). The gradients of the shards are summed in a fixed
order, so that runs repeat bit by bit; another number of shards rounds otherwise, as another number
of threads does.

TensorFlow takes its threads before anything is built. So a backbone says of itself that it looks
at each image alone (`registry.Backbone.images_alone`), and only of those is a batch cut; the
layers of the network have the last word.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from architectures import registry
from architectures.builtin import HEADS
from harness.config import RunConfig
from harness.errors import BenchError
from harness.replica_layers import looks_across
from harness.tf_keras import keras

LEAST_IMAGES = 16
"""Images that a shard should hold. Measured down to this number; of 8 images each, the single
operations, their calls included, took 1.4 times as long per image as of 32."""


def wanted(configs: Sequence[RunConfig], cores: int) -> int:
    """Return the shards that every network of a process can be cut into; 1 if there is one.

    Args:
        configs: all that the process is going to train.
        cores: those that it may use.

    Returns:
        All cores, or 1: TensorFlow gives what is not cut one thread then, so that too few shards
        would leave cores idle. Who names a number of `threads` means those of an operation.
    """
    fits = all(
        config.threads == 0
        and config.batch >= cores * LEAST_IMAGES
        and _images_alone(config.backbone, config.head)
        for config in configs
    )
    return cores if fits else 1


def cut(
    model: keras.Model, *, backbone: str, head: str, images: int, shards: int
) -> tuple[slice, ...]:
    """Return the parts of a batch in order, all or nothing; sizes differ by one image at most.

    Args:
        model: what is trained; one that looks across the batch, or draws at random, gets it whole.
        backbone: its name; one that does not say that it looks at each image alone is not cut.
        head: likewise; only those of the house are known to.
        images: the size of the batch.
        shards: how many the process was set up for.
    """
    small = images < shards * LEAST_IMAGES
    if small or looks_across(model) or not _images_alone(backbone, head):
        shards = 1
    ends = [images * i // shards for i in range(shards + 1)]
    return tuple(slice(start, end) for start, end in itertools.pairwise(ends))


def _images_alone(backbone: str, head: str) -> bool:
    try:
        return head in HEADS and registry.get(backbone).images_alone
    except BenchError:  # whoever builds it says why it cannot be had
        return False
