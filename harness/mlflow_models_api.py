"""What MLflow has for models, which loads TensorFlow: `harness.mlflow_registry` alone needs it."""

from __future__ import annotations

from harness.lean import without_extras
from harness.mlflow_api import MlflowClient  # its settings come first

with without_extras():
    import mlflow
    import mlflow.tensorflow
    from mlflow.models import Model, ModelSignature
    from mlflow.types import Schema, TensorSpec

__all__ = ["MlflowClient", "Model", "ModelSignature", "Schema", "TensorSpec", "mlflow"]
