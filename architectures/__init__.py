"""The contestants: backbones by name, and the heads that all of them share.

Reading order: `registry` (names), `notebook_cnn` (what a backbone looks like), `heads` (what is
put on top), `contract` (what every backbone must satisfy; run it over your own).

This room imports no other room but `harness.errors`. Importing it loads no Keras.
"""

from architectures.registry import Backbone, backbone

__all__ = ["Backbone", "backbone"]
