import json
import socket

import pytest

from harness.cluster import (
    Address,
    Cluster,
    check_port_free,
    control_address,
    free_ports,
    parse_hosts,
    read_cluster,
)
from harness.errors import UsageError
from harness.rendezvous import listen

TWO = {"worker": ["a:2222", "b:2222"]}


def read(cluster=TWO, task=None):
    task = {"type": "worker", "index": 1} if task is None else task
    return read_cluster({"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})})


def cluster(*workers, index=0):
    return Cluster(workers=parse_hosts(",".join(workers)), index=index)


def test_workers_are_numbered_as_listed():
    found = read()
    assert [str(worker) for worker in found.workers] == ["a:2222", "b:2222"]
    assert found.index == 1
    assert not found.is_chief
    assert found.name(1) == "worker 1 (b:2222)"


@pytest.mark.parametrize(
    ("task", "index"),
    [
        ({"type": "chief", "index": 0}, 0),
        ({"type": "worker", "index": 0}, 1),
        ({"type": "worker", "index": "1"}, 2),  # as some schedulers write it
    ],
)
def test_a_chief_comes_before_the_workers(task, index):
    found = read({"worker": ["b:1", "c:1"], "chief": ["a:1"]}, task)
    assert [str(worker) for worker in found.workers] == ["a:1", "b:1", "c:1"]
    assert found.index == index
    assert found.is_chief == (index == 0)


def test_what_a_cluster_writes_reads_as_the_same_cluster():
    three = cluster("a:1", "[::1]:2", "c.example:3", index=2)
    assert read_cluster({"TF_CONFIG": three.tf_config()}) == three
    other = read_cluster({"TF_CONFIG": three.tf_config(1)})
    assert (other.workers, other.index) == (three.workers, 1)
    assert other.digest() == three.digest()
    assert cluster("a:1", "b:1").digest() != three.digest()


def test_without_tf_config_the_error_says_how_to_get_one():
    for environment in ({}, {"TF_CONFIG": " "}):
        with pytest.raises(UsageError, match=r"TF_CONFIG.*bench launch --local-workers 2"):
            read_cluster(environment)


@pytest.mark.parametrize("text", ["{", "2", "[]", "null", '{"task": {}}', '{"cluster": []}'])
def test_tf_config_that_is_no_description_of_a_cluster_is_refused(text):
    with pytest.raises(UsageError, match="TF_CONFIG must"):
        read_cluster({"TF_CONFIG": text})


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"ps": ["c:1"], **TWO}, "parameter servers.*cannot be certified"),
        ({"evaluator": ["c:1"], **TWO}, "alone, got 'evaluator'"),
        ({"worker": "a:1"}, "must list the addresses"),
        ({"worker": ["a:1"]}, "at least 2 workers, got 1"),
        ({"worker": []}, "at least 2 workers, got 0"),
        ({"chief": ["a:1", "b:1"], **TWO}, "one chief at most, got 2"),
        ({"worker": ["a:1", "a:1"]}, "each address once, but a:1"),
        ({"worker": ["a:1", "b"]}, "addresses such as a:2222, got 'b'"),
        ({"worker": ["a:1", "b:0"]}, "got 'b:0'"),
        ({"worker": ["a:1", "b:65536"]}, "got 'b:65536'"),
        ({"worker": ["a:1", "http://b:1"]}, "got 'http://b:1'"),
        ({"worker": ["a:1", 7]}, "got 7"),
        ({"worker": ["a:1", None]}, "got None"),
        ({"worker": ["a:1", "0.0.0.0:1"]}, "that the others can reach"),
    ],
)
def test_workers_that_cannot_train_together_are_refused(groups, words):
    with pytest.raises(UsageError, match=words):
        read(groups)


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("worker", "must say which worker this is"),
        ([], "must say which worker this is"),
        ({"type": "chief", "index": 0}, "must be one of its cluster's worker, got 'chief'"),
        ({"type": "worker", "index": 2}, "must be 0 to 1 for its 2 'worker', got 2"),
        ({"type": "worker", "index": -1}, "got -1"),
        ({"type": "worker", "index": True}, "got True"),
        ({"type": "worker", "index": "one"}, "got 'one'"),
        ({"type": "worker", "index": None}, "got None"),
        ({"type": ["worker"], "index": 0}, "must be one of"),
    ],
)
def test_a_task_that_is_none_of_the_workers_is_refused(task, words):
    with pytest.raises(UsageError, match=words):
        read(task=task)


@pytest.mark.parametrize(
    ("workers", "port"),
    [
        (("a:2222", "b:2222"), 3222),
        (("a:65000", "b:2222"), 64000),
        (("a:2222", "a:3222", "a:3223"), 3224),
        (("a:2222", "b:3222"), 3222),  # on another host it is in nobody's way
    ],
)
def test_the_control_port_follows_from_tf_config_alone(workers, port):
    assert control_address(cluster(*workers), None) == Address(host="a", port=port)


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_control_port_that_is_none_is_refused(port):
    with pytest.raises(UsageError, match="`--control-port` must be 1 to 65535"):
        control_address(cluster("a:1", "b:1"), port)


def test_the_control_port_must_not_be_a_workers():
    with pytest.raises(UsageError, match="must be no worker's port, got 2222"):
        control_address(cluster("a:2222", "b:2"), 2222)
    assert control_address(cluster("a:2222", "b:2"), 2).port == 2


def test_loopback_is_this_machine_and_others_are_not():
    assert Address(host="127.0.0.1", port=1).is_here()
    assert Address(host="localhost", port=1).is_here()
    # For documentation (RFC 5737), and for names that do not exist (RFC 2606).
    assert not Address(host="203.0.113.1", port=1).is_here()
    assert not Address(host="nowhere.invalid", port=1).is_here()


@pytest.mark.parametrize("host", ["a..b", ".a", "x" * 64])
def test_a_name_that_no_host_can_have_is_one_without_an_address(host):
    (address, _) = parse_hosts(f"{host}:2222,c:2222")
    with pytest.raises(OSError, match="no host can have this name"):
        address.resolved()
    assert not address.is_here()
    check_port_free(address, "The port")
    with pytest.raises(UsageError, match="but cannot: no host can have this name"):
        listen(address)


def test_free_ports_are_different_and_can_be_had():
    ports = free_ports(5)
    assert len(set(ports)) == 5
    for port in ports:
        check_port_free(Address(host="127.0.0.1", port=port), "The port")


def test_a_port_that_somebody_has_is_noticed():
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = Address(host="127.0.0.1", port=server.getsockname()[1])
        with pytest.raises(UsageError, match=rf"The port must be free.*has {address}"):
            check_port_free(address, "The port")
    check_port_free(address, "The port")
    check_port_free(Address(host="203.0.113.1", port=2222), "The port")
