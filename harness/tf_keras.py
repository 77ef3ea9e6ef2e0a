"""TensorFlow and Keras, loaded lean: all of `harness` imports them from here."""

from harness.lean import without_extras

with without_extras():
    import keras
    import tensorflow as tf

__all__ = ["keras", "tf"]
