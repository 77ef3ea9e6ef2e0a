"""A checkpoint on its way from the chief to the other workers, so that all go on from the same.

Only the chief keeps checkpoints, and hosts need not share a disk. The file goes in parts, each a
line of JSON like all that workers say to each other, and the last word is its digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import ClusterError

PART_BYTES = 48 * 1024
"""In base 64 that makes a line of 64 KiB, half of what `harness.wire` allows."""


def hand_over(path: Path | None, tell: Callable[..., None]) -> dict[str, Any]:
    """Send a file in parts; return what its receiver must know to put it in place.

    Args:
        path: the file, or None if there is none to send.
        tell: sends a message to every worker.
    """
    if path is None:
        return {"file": None}
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(PART_BYTES):
            digest.update(part)
            tell("part", data=base64.b64encode(part).decode())
    return {"file": path.name, "digest": digest.hexdigest()}


class Receiver:
    """Puts a file together from its parts.

    Args:
        scratch: folder for the parts.
    """

    def __init__(self, scratch: Path) -> None:
        self._parts = scratch / "parts"
        self._digest = hashlib.sha256()

    def part(self, message: Mapping[str, Any]) -> None:
        """Take in the next part.

        Raises:
            ClusterError: it is none.
        """
        try:
            data = base64.b64decode(message["data"], validate=True)
        except (KeyError, TypeError, ValueError, binascii.Error) as error:
            raise ClusterError(f"A part of a checkpoint must be base 64: {error}.") from error
        self._digest.update(data)
        with self._parts.open("ab") as file:
            file.write(data)

    def place(self, message: Mapping[str, Any], folder: Path) -> None:
        """Put the file into a folder, if one was sent.

        Args:
            message: holds what `hand_over` returned.
            folder: made if there is none.

        Raises:
            ClusterError: the parts are not the file that was sent.
        """
        name = message.get("file")
        if name is None:
            return
        if self._digest.hexdigest() != message.get("digest"):
            raise ClusterError("The chief's checkpoint must arrive whole, but its digest differs.")
        folder.mkdir(parents=True, exist_ok=True)
        self._parts.touch()  # an empty file has no part
        self._parts.replace(folder / Path(str(name)).name)
