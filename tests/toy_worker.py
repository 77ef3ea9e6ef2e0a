"""A supervisor of the toy as a program that can be killed: `python tests/toy_worker.py JSON`.

It says on standard output how the run ended, and exits as `bench run` would.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
from pathlib import Path
from typing import Any

from harness.child import Child
from harness.cluster import control_address, read_cluster
from harness.errors import BenchError, InterruptedRun
from harness.membership import Member
from harness.rendezvous import Chief, Inbox, listen
from harness.supervise import End, follow, lead

EXITS = {"finished": 0, "failed": 1, "interrupted": InterruptedRun.exit_code}


def main() -> None:
    """Be the worker of `TF_CONFIG`."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        end = work(json.loads(sys.argv[1]))
    except BenchError as error:
        say(status="failed", reason=str(error), worker=None)
        sys.exit(error.exit_code)
    say(status=end.status, reason=end.reason, worker=end.worker)
    sys.exit(EXITS[end.status])


def work(wish: dict[str, Any]) -> End:
    """Meet the others and train; `wish` is the toy's job and the limits."""
    cluster = read_cluster(os.environ)
    address, facts = control_address(cluster, wish["port"]), {"epochs": wish.get("epochs", 3)}
    inbox: Inbox = queue.SimpleQueue()
    room = Path(wish["room"])
    (room / f"supervisor-{cluster.index}").write_text(str(os.getpid()))
    child = Child(
        cluster.index, "toy_training:train", room / f"log-{cluster.index}", inbox,
        environment={}, silence_s=wish["silence_s"],
    )  # fmt: skip
    job = {**wish, "index": cluster.index, "workers": len(cluster.workers)}
    limits = {"silence_s": wish["silence_s"], "beat_s": wish["silence_s"] / 5}
    if not cluster.is_chief:
        member = Member(cluster, facts, address, inbox, **limits)
        member.join(wish["wait_s"])
        return follow(
            cluster,
            member,
            child,
            inbox,
            job=lambda run: {**job, "run_id": run["run_id"]},
            progress=lambda _: None,
            part=lambda _: None,
        )
    with Chief(cluster, facts, listen(address), inbox, **limits) as chief:
        chief.gather(wish["wait_s"])
        return lead(
            cluster, chief, child, inbox, run={"run_id": "toy"}, job=job,
            progress=lambda message: say(**message), symptom_s=wish["symptom_s"],
        )  # fmt: skip


def say(**values: Any) -> None:
    """Print a line of JSON."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
