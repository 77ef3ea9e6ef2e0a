r"""Dynamic loss scaling: what keeps gradients above the smallest number of float16.

The loss is multiplied by a scale S before its gradient is taken, and the gradient divided by it:

    g = (1 / S) d(S loss) / dw

If any number of any replica's gradient is infinite or NaN, the step is skipped on all of them and
S is halved; after `GROWTH_STEPS` clean steps in a row S is doubled. A replica sums over its own
images in float16, so more replicas may overflow a step later.

Keras's `LossScaleOptimizer` is not used: it asks the first replica alone, before gradients are
summed, and an infinity on the second one ends in every weight (seen with Keras 3.15).

Source: Micikevicius et al. 2018 (Mixed Precision Training, section 3.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from harness.errors import DivergedRun
from harness.tf_keras import keras, tf

INITIAL_SCALE = 2.0**15
"""Keras's default: too high is mended within steps, too low only after thousands."""

GROWTH_STEPS = 2000
"""Keras's default, and that of the paper's authors."""

SMALLEST_SCALE = 2.0**-14
"""The smallest normal number of float16, after 30 skipped steps in a row: there the gradient
overflows whatever the scale."""


class LossScale:
    """The scale of one engine's loss, as two more variables of its optimizer.

    There they are saved and put back with everything else that training changes.

    Args:
        optimizer: a built optimizer; call this inside the strategy's scope.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer) -> None:
        start = keras.initializers.Constant(INITIAL_SCALE)
        self._scale = optimizer.add_variable((), start, dtype="float32", name="loss_scale")
        self._clean = optimizer.add_variable((), "zeros", dtype="int32", name="clean_steps")

    @property
    def value(self) -> Any:
        """Return the scale as a scalar tensor, float32."""
        return tf.convert_to_tensor(self._scale.value)

    def reset(self) -> None:
        """Set the scale as it is at the start."""
        self._scale.assign(INITIAL_SCALE)
        self._clean.assign(0)

    def note(self, finite: Any) -> None:
        """Take in whether a step's gradients were finite (scalar bool), over all replicas.

        Call it outside of replicas, so that each has the same scale.
        """
        clean = tf.where(finite, self._clean.value + 1, 0)
        grown = clean >= GROWTH_STEPS
        factor = tf.where(finite, tf.where(grown, 2.0, 1.0), 0.5)
        self._scale.assign(self.value * factor)
        self._clean.assign(tf.where(grown, 0, clean))

    def check(self) -> None:
        """Raise `DivergedRun` if gradients overflow however small the scale."""
        scale = float(np.asarray(self._scale))
        if scale < SMALLEST_SCALE:
            raise DivergedRun(
                f"`mixed_float16` needs finite gradients at a loss scale of {SMALLEST_SCALE:.2g} "
                f"at least, but they overflow at {scale * 2:.2g}. Use --precision mixed_bfloat16 "
                "or float32, or smaller loss weights."
            )


def overflows(gradients: Sequence[Any]) -> Any:
    """Return how many of one replica's gradients hold an infinity or NaN, as a scalar float32."""
    bad = [
        tf.reduce_any(~tf.math.is_finite(tf.convert_to_tensor(gradient)))
        for gradient in gradients
        if gradient is not None
    ]
    return tf.reduce_sum(tf.cast(tf.stack(bad), tf.float32))
