"""What makes processes quick and lean.

Large packages are loaded without what they would import as an extra and bench never uses of them:
Keras imports scikit-learn, pandas and matplotlib for wrappers and galleries, MLflow imports pandas
for data sets: nearly half of the time that either takes to load, and 150 MiB of each process that
trains. Both do without where these are not installed, so they look so for that moment.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

EXTRAS = ("matplotlib", "pandas", "scipy", "sklearn")


@contextmanager
def without_extras() -> Iterator[None]:
    """Let `EXTRAS` look as if not installed, but those that are loaded already.

    Not for threads: another one that imports them at the same moment would fail.
    """
    hidden = [name for name in EXTRAS if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None stands for "absent"
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, ...) is None:
                del sys.modules[name]


def collect_seldom() -> None:
    """Let this process look for garbage cycles 200 times as seldom as Python does by default.

    Records of a thousand runs are a million objects that stay: to go through them again and again
    was 40 % of a report's time, and more than a second of its end. Not for processes that train:
    what they hold is large.
    """
    gc.set_threshold(_ALLOCATIONS, 100, 100)
    atexit.register(gc.freeze)  # then there is nothing to go through at the end


_ALLOCATIONS = 140_000  # of objects that were not freed; Python's default is 700
