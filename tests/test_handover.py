import json

import pytest

from harness.errors import ClusterError
from harness.handover import PART_BYTES, Receiver, hand_over
from harness.wire import MAX_LINE_BYTES


@pytest.mark.parametrize("size", [0, 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES - 1])
def test_a_file_arrives_as_it_was_sent(tmp_path, size):
    content = bytes(range(251)) * (size // 251 + 1)
    sent = tmp_path / "epoch-000003.npz"
    sent.write_bytes(content[:size])
    parts = []
    start = hand_over(sent, lambda kind, **values: parts.append({"kind": kind, **values}))
    receiver = Receiver(tmp_path)
    for part in parts:
        assert part["kind"] == "part"
        line = json.dumps(part)
        assert len(line) < MAX_LINE_BYTES
        receiver.part(json.loads(line))
    receiver.place(start, tmp_path / "there")
    assert (tmp_path / "there" / sent.name).read_bytes() == content[:size]


def test_without_a_file_nothing_is_placed(tmp_path):
    start = hand_over(None, lambda *_: pytest.fail("there is nothing to send"))
    Receiver(tmp_path).place(start, tmp_path / "there")
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_was_lost_is_noticed(tmp_path):
    sent = tmp_path / "epoch-000003.npz"
    sent.write_bytes(b"x" * (PART_BYTES + 1))
    parts = []
    start = hand_over(sent, lambda _kind, **values: parts.append(values))
    receiver = Receiver(tmp_path)
    receiver.part(parts[0])
    with pytest.raises(ClusterError, match="must arrive whole"):
        receiver.place(start, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.parametrize("message", [{}, {"data": 3}, {"data": "no base 64!"}, {"data": None}])
def test_nonsense_is_no_part(tmp_path, message):
    with pytest.raises(ClusterError, match="must be base 64"):
        Receiver(tmp_path).part(message)


@pytest.mark.parametrize("name", ["../../epoch.npz", "/tmp/epoch.npz"])
def test_a_file_never_leaves_its_folder(tmp_path, name):
    parts = []
    sent = tmp_path / "sent"
    sent.write_bytes(b"x")
    start = hand_over(sent, lambda _kind, **values: parts.append(values))
    receiver = Receiver(tmp_path)
    receiver.part(parts[0])
    receiver.place(start | {"file": name}, tmp_path / "a" / "b" / "there")
    assert (tmp_path / "a" / "b" / "there" / "epoch.npz").read_bytes() == b"x"
