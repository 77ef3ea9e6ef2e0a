"""A worker's end of the meeting at the chief's control port; see `harness.rendezvous`."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from harness.cluster import Address, Cluster
from harness.errors import ClusterError
from harness.rendezvous import (
    RETRY_S,
    WAIT_S,
    Facts,
    Inbox,
    Lost,
    Said,
)
from harness.wire import BEAT_S, SILENCE_S, Broken, Wire


class Member:
    """A worker's end.

    Args:
        cluster: whom to belong to.
        facts: what this worker runs.
        address: where the chief listens.
        inbox: gets what the chief says, from index 0.
        silence_s, beat_s: see `harness.wire`.
    """

    def __init__(
        self,
        cluster: Cluster,
        facts: Facts,
        address: Address,
        inbox: Inbox,
        *,
        silence_s: float = SILENCE_S,
        beat_s: float = BEAT_S,
    ) -> None:
        self._cluster, self._facts, self._address = cluster, facts, address
        self._inbox, self._silence_s, self._beat_s = inbox, silence_s, beat_s
        self._wire: Wire | None = None

    def join(self, wait_s: float = WAIT_S) -> None:
        """Reach the chief and be let in.

        Raises:
            ClusterError: it does not answer in time, or refuses.
        """
        deadline = time.monotonic() + wait_s
        wire = Wire(self._connected(deadline, wait_s), silence_s=self._silence_s)
        hello = {"index": self._cluster.index, "cluster": self._cluster.digest()}
        wire.send("hello", **hello, facts=dict(self._facts))
        try:
            # It may still be reading its data.
            answer = wire.receive(within_s=max(1.0, deadline - time.monotonic()))
        except Broken as error:
            wire.release()
            raise ClusterError(
                f"All workers must be let in within {wait_s:g} s, but {self._cluster.name(0)} "
                f"{error}. Its own screen says why."
            ) from error
        if answer["kind"] != "welcome":
            wire.release()
            raise ClusterError(str(answer.get("reason")))
        self._wire = wire
        wire.beat(self._beat_s)
        threading.Thread(target=self._listen, args=(wire,), daemon=True).start()

    def tell(self, kind: str, **values: Any) -> None:
        """Send a message to the chief."""
        if self._wire is not None:
            self._wire.send(kind, **values)

    def close(self) -> None:
        """Hang up; may be called again."""
        if self._wire is not None:
            self._wire.close()

    def _connected(self, deadline: float, wait_s: float) -> socket.socket:
        while True:
            left_s = deadline - time.monotonic()
            connection = None
            try:
                family, place = self._address.resolved()
                connection = socket.socket(family, socket.SOCK_STREAM)
                connection.settimeout(max(RETRY_S, left_s))
                connection.connect(place)
                connection.settimeout(None)
            except OSError as error:
                if connection is not None:
                    connection.close()
                if left_s <= 0:
                    raise ClusterError(
                        f"All workers must meet within {wait_s:g} s, but {self._cluster.name(0)} "
                        f"does not listen at {self._address} ({error.strerror or error}). Start "
                        "it as well, or wait longer with --wait-for-workers."
                    ) from error
                time.sleep(RETRY_S)
            else:
                return connection

    def _listen(self, wire: Wire) -> None:
        try:
            while True:
                self._inbox.put(Said(index=0, message=wire.receive()))
        except Broken as error:
            self._inbox.put(Lost(index=0, why=str(error)))
        finally:
            wire.release()
