"""What the harness itself costs: measured by `harness.overhead_probe` in a process of its own."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from harness.cell import Contender
from harness.errors import BenchError
from harness.fresh_process import start
from harness.timings import Overhead

PROBE = "harness.overhead_probe:tell"

TIME_LIMIT_S = 1800.0
"""The largest networks compile for minutes."""

_ENVIRONMENT = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Rich then draws a run's progress bar although nobody looks at it.
    "FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": "100",
}  # fmt: skip


def measure_overhead(
    contender: Contender, data_dir: Path | None = None, *, probe: str = PROBE,
    time_limit_s: float = TIME_LIMIT_S,
) -> Overhead:  # fmt: skip
    """Return what progress and logging cost beside the training of a contender.

    Args:
        contender: to be trained.
        data_dir: folder of MNIST's files as given, or None.
        probe: "module:function" that runs in the process, given a configuration (JSON) and the
            file to write.
        time_limit_s: after so long it is ended.
    """
    request = {
        "config": contender.config.to_json(),
        "data_dir": str(data_dir.absolute()) if data_dir else None,
    }
    with tempfile.TemporaryDirectory(prefix="bench-overhead-") as folder:
        process = start(
            probe, json.dumps(request), Path(folder), name="overhead", extra=_ENVIRONMENT
        )
        try:
            pairs = json.loads(process.result(time_limit_s))
        except BenchError as error:
            return Overhead(contender=contender.name, reason=str(error))
        finally:
            process.end()
    return Overhead(
        contender=contender.name, pairs=tuple((float(bare), float(full)) for bare, full in pairs)
    )
