"""How `width` changes numbers of channels, the same in every family."""

from __future__ import annotations

from harness.errors import UsageError


def scaled(channels: int, width: float, *, multiple: int = 1) -> int:
    """Return `channels * width`, rounded to a whole multiple, at least one of them.

    Args:
        channels: the family's own number, at least 1.
        width: factor, greater than 0.
        multiple: what the result is divisible by, such as the number of groups or attention heads.

    Raises:
        UsageError: `width` is not greater than 0.
    """
    if not width > 0:
        raise UsageError(f"`width` must be greater than 0, got {width!r}.")
    return max(1, round(channels * width / multiple)) * multiple
