"""MLflow's registry of models: a trained network under a name, as one version more."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import numpy as np

from harness import mlflow_names as names
from harness.errors import TrackingError
from harness.exported import Served
from harness.mlflow_client import asking, connect_existing
from harness.mlflow_models_api import Model, ModelSignature, Schema, TensorSpec, mlflow
from harness.record import RunRecord
from harness.tf_keras import keras

_PINNED = ("tensorflow", "numpy")


def register(
    model: keras.Model, record: RunRecord, *, name: str, uri: str, experiment: str
) -> str:
    """Log a network with its run and register it; return its version.

    It is logged in the format that TensorFlow loads without bench.

    Args:
        model: from `harness.exported.deployable`.
        record: of the run that trained it.
        name: in the registry; a new name makes a new entry.
        uri: of the tracking store.
        experiment: that holds the run.

    Raises:
        TrackingError: the store does not answer, lacks the run, or has no registry.
    """
    connection = connect_existing(uri, experiment)
    with asking(uri):
        found = connection.client.search_runs(
            [connection.experiment_id], f"tags.`{names.RUN_ID}` = '{record.run_id}'"
        )
        if not found:
            raise TrackingError(
                f"A model is registered with its run, but {record.run_id} is not in the "
                f"experiment {experiment!r}. `bench sync` sends what is missing."
            )
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        logged = Model.log(
            artifact_path=None,
            name="model",
            flavor=mlflow.tensorflow,
            run_id=found[0].info.run_id,
            registered_model_name=name,
            await_registration_for=30,
            model=(served := Served(model)),
            signature=_signature(model),
            # Left to itself MLflow starts a process that imports everything again: 30 s.
            pip_requirements=[f"{each}=={importlib.metadata.version(each)}" for each in _PINNED],
            saved_model_kwargs={"signatures": {"serving_default": served.serve}},
        )
    return str(logged.registered_model_version)


def _signature(model: keras.Model) -> ModelSignature:
    # Without a name: MLflow hands named inputs over as a dictionary, which its own loader refuses.
    images = TensorSpec(np.dtype("uint8"), (-1, *model.inputs[0].shape[1:]))
    return ModelSignature(
        inputs=Schema([images]),
        outputs=Schema([_output(name, tensor) for name, tensor in model.output.items()]),
    )


def _output(name: str, tensor: Any) -> TensorSpec:
    # Keras calls the names that a lookup gives back whole numbers.
    dtype = np.dtype("str" if name == "class_name" else tensor.dtype)
    return TensorSpec(dtype, (-1, *tensor.shape[1:]), name)
