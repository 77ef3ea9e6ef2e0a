"""Workers meet over real sockets on loopback; limits are small, so that tests are quick."""

import json
import queue
import socket
import threading
import time

import pytest

from harness.cluster import Address, Cluster
from harness.errors import ClusterError, InterruptedRun, UsageError
from harness.membership import Member
from harness.rendezvous import Chief, Lost, Said, difference, listen
from harness.wire import MAX_LINE_BYTES

FACTS = {"locbench": "1", "tensorflow": "2.21", "epochs": 3, "width": None, "data": "abc"}
THREE = Cluster(
    workers=tuple(Address(host="127.0.0.1", port=port) for port in (1001, 1002, 1003)), index=0
)
LONG_S = 30.0
"""What must happen at once gets so long, for the sake of busy machines."""


def member_cluster(index):
    return Cluster(workers=THREE.workers, index=index)


class Meeting:
    """A chief, and what it notified."""

    def __init__(self, silence_s=LONG_S):
        self.inbox = queue.SimpleQueue()
        self.said = []
        listener = listen(Address(host="127.0.0.1", port=0))
        self.address = Address(host="127.0.0.1", port=listener.getsockname()[1])
        self.chief = Chief(
            THREE, FACTS, listener, self.inbox, notify=self.said.append, silence_s=silence_s,
            beat_s=silence_s / 5,
        )  # fmt: skip
        self.members = []

    def join(self, index, facts=FACTS, cluster=None, silence_s=LONG_S, beat_s=0.2):
        member = Member(
            cluster or member_cluster(index), facts, self.address, queue.SimpleQueue(),
            silence_s=silence_s, beat_s=beat_s,
        )  # fmt: skip
        self.members.append(member)
        member.join(LONG_S)
        return member

    def close(self):
        for member in self.members:
            member.close()
        self.chief.close()


@pytest.fixture
def meet():
    meetings = []

    def make(**options):
        meetings.append(Meeting(**options))
        return meetings[-1]

    yield make
    for meeting in meetings:
        meeting.close()


def raw(meeting, *lines):
    """Return what the chief answers to bytes of somebody who need not be one of ours."""
    with socket.create_connection(("127.0.0.1", meeting.address.port), timeout=LONG_S) as stranger:
        try:
            for line in lines:
                stranger.sendall(line)
            stranger.shutdown(socket.SHUT_WR)
            return stranger.makefile("rb").read()
        except OSError:  # hung up on, while bytes were still on the way
            return b""


def hello(**changes):
    values = {"kind": "hello", "index": 1, "cluster": THREE.digest(), "facts": FACTS} | changes
    return json.dumps(values).encode() + b"\n"


def test_all_come_and_hear_each_other(meet):
    meeting = meet()
    one, two = meeting.join(1), meeting.join(2)
    meeting.chief.gather(LONG_S)
    meeting.chief.tell("start", run_id="r")
    for member in (one, two):
        assert member._inbox.get(timeout=LONG_S) == Said(
            index=0, message={"kind": "start", "run_id": "r"}
        )
    two.tell("ready")
    events = [meeting.inbox.get(timeout=LONG_S) for _ in range(meeting.inbox.qsize() or 1)]
    while Said(index=2, message={"kind": "ready"}) not in events:
        events.append(meeting.inbox.get(timeout=LONG_S))
    assert not [event for event in events if isinstance(event, Lost)]


def test_the_missing_are_named_and_those_who_came_are_told(meet):
    meeting = meet()
    one = meeting.join(1)
    start = time.monotonic()
    with pytest.raises(
        ClusterError, match=r"within 0.3 s, but worker 2 \(127.0.0.1:1003\) did not"
    ):
        meeting.chief.gather(0.3)
    assert time.monotonic() - start < LONG_S
    end = one._inbox.get(timeout=LONG_S)
    assert end.message["kind"] == "end"
    assert "worker 2 (127.0.0.1:1003)" in end.message["reason"]


def test_all_the_missing_are_named(meet):
    with pytest.raises(ClusterError, match=r"worker 1 \(\S+\) and worker 2 \(\S+\) did not"):
        meet().chief.gather(0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"locbench": "2"}, '`locbench` is "1" at the chief and "2" there'),
        ({"tensorflow": "2.20"}, '`tensorflow` is "2.21" at the chief and "2.20" there'),
        ({"epochs": 4}, "`epochs` is 3 at the chief and 4 there"),
        ({"width": 2.0}, "`width` is null at the chief and 2.0 there"),
        ({"data": "abd"}, '`data` is "abc" at the chief and "abd" there'),
        ({"epochs": True}, "`epochs` is 3 at the chief and true there"),
        ({"more": 1}, "`more` is unknown at the chief and 1 there"),
    ],
)
def test_a_worker_that_runs_something_else_ends_all(meet, change, words):
    meeting = meet()
    two = meeting.join(2)
    text = f"worker 1 (127.0.0.1:1002) does not: {words}. "
    with pytest.raises(ClusterError) as refused:
        meeting.join(1, facts=FACTS | change)
    with pytest.raises(ClusterError) as given_up:
        meeting.chief.gather(LONG_S)
    for error in (str(refused.value), str(given_up.value), told(two)):
        assert text in error


def told(member):
    """Return the reason of the end that a member was told of."""
    message = member._inbox.get(timeout=LONG_S).message
    assert (message["kind"], message["status"]) == ("end", "failed")
    return message["reason"]


def test_only_some_of_many_differences_are_listed():
    here = {f"f{i}": i for i in range(9)}
    text = difference(here, {}, "worker 1")
    assert text.count(" at the chief and unknown there") == 3
    assert "and 6 more differ" in text
    assert difference(here, dict(here), "worker 1") is None


def test_commits_are_compared_where_both_know_theirs():
    assert difference({"commit": "a"}, {}, "x") is None
    assert difference({}, {"commit": "a"}, "x") is None
    assert '`commit` is "a"' in difference({"commit": "a"}, {"commit": "b"}, "x")


@pytest.mark.parametrize(
    "lines",
    [
        (b"GET / HTTP/1.1\r\n\r\n",),
        (b"\x00\xff\xfe" * 1000 + b"\n",),
        (b"[" * 50_000 + b"\n",),
        (b"x" * (MAX_LINE_BYTES + 70_000),),
        (b"{}\n",),
        (b'{"kind": 3}\n',),
        (b'{"kind": "hello"}\n',),
        (b"",),
        (hello(cluster="other"),),
        (hello(index=0),),
        (hello(index=3),),
        (hello(index="1"),),
        (hello(index=True),),
        (hello(index=None),),
        (hello(index={"a": 1}),),
        (hello(facts=None),),
        (hello(facts=[1]),),
        (hello(kind="ended", status="failed"),),
    ],
)
def test_strangers_and_nonsense_do_not_disturb_the_chief(meet, lines):
    meeting = meet()
    answer = raw(meeting, *lines)
    assert b"welcome" not in answer
    if answer:
        assert json.loads(answer)["kind"] == "refused"
    meeting.join(1)
    meeting.join(2)
    meeting.chief.gather(LONG_S)


def test_a_worker_that_comes_twice_is_turned_away_and_the_first_stays(meet):
    meeting = meet()
    meeting.join(1)
    with pytest.raises(ClusterError, match=r"started once, but worker 1 \(\S+\) is here already"):
        meeting.join(1, facts=FACTS | {"epochs": 9})
    assert ["is here already" in text for text in meeting.said] == [True]
    meeting.join(2)
    meeting.chief.gather(LONG_S)


def test_a_worker_of_another_cluster_is_turned_away(meet):
    meeting = meet()
    other = Cluster(workers=(*THREE.workers, Address(host="d", port=1)), index=1)
    with pytest.raises(ClusterError, match="TF_CONFIG must list the workers"):
        meeting.join(1, cluster=other)


def test_a_worker_that_dies_is_lost_before_and_after_all_came(meet):
    meeting = meet()
    meeting.join(1).close()
    with pytest.raises(ClusterError, match=r"worker 1 \(127.0.0.1:1002\) closed its connection"):
        meeting.chief.gather(LONG_S)
    later = meet()
    one, two = later.join(1), later.join(2)
    later.chief.gather(LONG_S)
    two.close()
    assert first(later.inbox, Lost) == Lost(index=2, why="closed its connection")
    one.tell("still here")
    assert first(later.inbox, Said, kind="still here").index == 1


def first(inbox, of, kind=None):
    """Return the first event of a class, and of a kind of message if named."""
    while True:
        event = inbox.get(timeout=LONG_S)
        if isinstance(event, of) and (kind is None or event.message["kind"] == kind):
            return event


def test_a_worker_that_says_nothing_is_lost(meet):
    meeting = meet(silence_s=0.5)
    meeting.join(1, beat_s=LONG_S)
    with pytest.raises(ClusterError, match=r"worker 1 \(\S+\) said nothing for 0.5 s"):
        meeting.chief.gather(LONG_S)


def test_beats_keep_a_worker_that_has_nothing_to_say(meet):
    meeting = meet(silence_s=1.5)
    meeting.join(1, beat_s=0.1)
    meeting.join(2, beat_s=0.1)
    meeting.chief.gather(LONG_S)
    time.sleep(3)  # twice the silence
    assert not [event for event in drained(meeting.inbox) if isinstance(event, Lost)]


def drained(inbox):
    while not inbox.empty():
        yield inbox.get()


def test_a_worker_that_speaks_nonsense_later_is_lost(meet):
    meeting = meet()
    with socket.create_connection(("127.0.0.1", meeting.address.port), timeout=LONG_S) as worker:
        worker.sendall(hello())
        assert json.loads(worker.makefile("rb").readline())["kind"] == "welcome"
        worker.sendall(b"nonsense\n")
        assert first(meeting.inbox, Lost).why == "sent what is no message (b'nonsense')"


def test_the_death_and_the_silence_of_the_chief_are_noticed(meet):
    meeting = meet()
    member = meeting.join(1)
    meeting.chief.close()
    assert first(member._inbox, Lost) == Lost(index=0, why="closed its connection")
    silent = meet(silence_s=5 * LONG_S)
    member = silent.join(1, silence_s=0.5)
    assert first(member._inbox, Lost).why == "said nothing for 0.5 s"


def test_a_chief_that_never_comes_is_waited_for_so_long():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens, and nobody else can
        address = Address(host="127.0.0.1", port=held.getsockname()[1])
        member = Member(member_cluster(1), FACTS, address, queue.SimpleQueue())
        with pytest.raises(ClusterError, match=rf"within 0.5 s.*does not listen at {address} \("):
            member.join(0.5)


def test_a_chief_that_listens_and_never_answers_is_waited_for_so_long():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address(host="127.0.0.1", port=server.getsockname()[1])
        member = Member(member_cluster(1), FACTS, address, queue.SimpleQueue())
        with pytest.raises(ClusterError, match=r"worker 0 \(127.0.0.1:1001\) said nothing for"):
            member.join(0.3)


def test_a_chief_that_comes_late_is_found(meet):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = Address(host="127.0.0.1", port=held.getsockname()[1])
    inbox = queue.SimpleQueue()
    member = Member(member_cluster(1), FACTS, address, inbox)
    errors = []

    def join():
        try:
            member.join(LONG_S)
        except ClusterError as error:
            errors.append(error)

    waiting = threading.Thread(target=join)
    waiting.start()
    time.sleep(0.5)
    chief = Chief(THREE, FACTS, listen(address), queue.SimpleQueue())
    waiting.join(LONG_S)
    chief.close()
    member.close()
    assert errors == []


def test_a_worker_that_is_stopped_while_others_are_awaited_ends_all(meet):
    meeting = meet()
    meeting.join(1).tell("ended", status="interrupted", reason="x")
    with pytest.raises(InterruptedRun, match=r"worker 1 \(127.0.0.1:1002\) got Ctrl-C or SIGTERM"):
        meeting.chief.gather(LONG_S)


def test_an_error_of_the_chief_is_told(meet):
    meeting = meet()
    member = meeting.join(1)
    with pytest.raises(ClusterError), meeting.chief:
        raise ClusterError("the disk is full.")
    assert told(member) == "the chief, worker 0 (127.0.0.1:1001) failed: the disk is full."


def test_a_control_port_that_is_taken_or_elsewhere_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address(host="127.0.0.1", port=server.getsockname()[1])
        with pytest.raises(UsageError, match=rf"control address {address}.*--control-port"):
            listen(address)
    with pytest.raises(UsageError, match="must be able to listen"):
        listen(Address(host="203.0.113.1", port=2222))  # for documentation, so nobody's
