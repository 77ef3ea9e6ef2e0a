"""Features are divided by 32, exactly: it is a power of two."""

from __future__ import annotations

import keras
import numpy as np

from architectures.feature_scale import small_features


def test_features_are_divided_by_32() -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, small_features(inputs))
    assert np.array_equal(np.asarray(model(x)), x / 32)
    assert model.count_params() == 0
