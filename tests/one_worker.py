"""One worker of a cluster, started by test_multiworker: does what it is told to and keeps it.

    python one_worker.py FOLDER

reads the cluster from TF_CONFIG and writes `worker-N.npz` into the folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from nets import cut, plan, scenes

from harness.config import RunConfig
from harness.draft import Identity
from harness.engine import TRAIN_METRICS, Engine, EngineKey, Objective
from harness.run import execute
from harness.scenes import Scenes
from harness.store import Store
from harness.strategy import Layout, open_layout

BATCH = 16
STEPS = 20
PREDICTED = (1, BATCH - 1, BATCH + 1)
OBJECTIVE = Objective(learning_rate=1e-2, class_weight=1.0, box_weight=1.0)
RUN = RunConfig(
    backbone="nets:tiny", dataset="digits", epochs=2, global_batch_size=16, train_examples=120,
    learning_rate=3e-3, strategy="multiworker", steps_per_call=3,
)  # fmt: skip
"""A whole run; its 120 examples are no whole number of calls."""


def gradient(tested: Engine) -> Any:
    """Return what Adam was given in its first step: its first moment is (1 - 0.9) times it."""
    moments = [v for v in tested.optimizer.variables if v.path.endswith("momentum")]
    return np.concatenate([np.asarray(v).ravel() for v in moments]) / (1 - 0.9)


def trained(tested: Engine) -> dict[str, Any]:
    """Train from seed 7, step by step; return all that can be compared with other layouts."""
    tested.reset(7)
    whole = scenes(BATCH * STEPS)
    rows = tested.share(whole.ids)
    mine = Scenes(
        ids=rows, images=whole.images[rows], labels=whole.labels[rows], boxes=whole.boxes[rows]
    )
    path = []
    for step, chunk in enumerate(cut(mine, *range(0, len(rows) + 1, tested.local_batch))):
        result = tested.train([chunk], objective=OBJECTIVE)
        assert result.images == BATCH
        path.append([result.metrics[name] for name in TRAIN_METRICS])
        if not step:
            first = gradient(tested)
    found = {"path": np.array(path), "gradient": first, "rows": rows}
    found["weights"] = np.concatenate([weight.ravel() for weight in tested.weights()])
    for n in PREDICTED:
        found |= {f"p{n}": tested.predict(scenes(n))[0], f"b{n}": tested.predict(scenes(n))[1]}
    return found


def engine(layout: Layout, *, jit: bool) -> Engine:
    key = EngineKey(
        blueprint=plan(), replica_batch=BATCH // layout.replicas, steps_per_call=2, jit=jit
    )
    return Engine(key, layout)


def main(folder: Path) -> None:
    layout = open_layout(strategy="multiworker", devices="", threads=0)
    found: dict[str, Any] = {"layout": np.array([layout.workers, layout.worker, layout.replicas])}
    for jit in (False, True):
        values = trained(engine(layout, jit=jit))
        found |= {f"jit-{jit}-{name}": value for name, value in values.items()}
    np.savez(folder / f"worker-{layout.worker}.npz", **found)
    identity = Identity(run_id="run")
    execute(RUN, identity=identity, store=Store(folder / f"out-{layout.worker}"), data_dir=None)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
