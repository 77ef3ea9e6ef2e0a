"""Large packages loaded without what they would import as an extra and bench never uses of them.

Keras imports scikit-learn, pandas and matplotlib for wrappers and galleries, MLflow imports pandas
for data sets: nearly half of the time that either takes to load, and 150 MiB of each process that
trains. Both do without where these are not installed, so they look so for that moment.
"""

from __future__ import annotations

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
