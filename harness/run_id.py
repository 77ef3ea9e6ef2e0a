"""Names of runs: known before anything slow is imported."""

from __future__ import annotations

import re
import secrets
from datetime import UTC, datetime

from harness.config import RunConfig


def new_run_id(config: RunConfig) -> str:
    """Return a new run id: the time in UTC, the backbone and 24 random bits.

    The bits tell runs apart that begin in the same second.
    """
    backbone = re.sub(r"[^\w.-]+", "-", config.backbone)
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{backbone}-{secrets.token_hex(3)}"
