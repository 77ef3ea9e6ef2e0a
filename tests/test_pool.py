import os
import signal
import subprocess
import sys
import time

import pytest
import toy
from toy_sweep import toy_plan

from harness.errors import BenchError, UsageError
from harness.store import Store
from sweeps import pool as pool_module
from sweeps.pool import LocalPool
from sweeps.protocol import Died, Done, Epoch, Raised, Ready, decode_report, encode
from sweeps.worker import find

pytestmark = pytest.mark.slow

PARAMS = {"learning_rate": 0.001, "class_weight": 1.0, "box_weight": 10.0}


@pytest.fixture
def make_pool(tmp_path):
    pools = []

    def make(size=1, **options):
        options = {"execute": "toy:execute", "log_dir": tmp_path} | options
        pools.append(LocalPool(size, **options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()


def job(tmp_path, fault=""):
    task = toy_plan().trial_task(0, PARAMS)
    return {
        "run_id": task.run_id, "role": "trial", "sweep": "toy", "trial": 0,
        "config": task.config.to_json(), "store": str(tmp_path), "faults": {"0": fault},
    }  # fmt: skip


def hear(pool, count=1, limit_s=20.0):
    """Return the next `count` reports."""
    reports = []
    deadline = time.monotonic() + limit_s
    while len(reports) < count and time.monotonic() < deadline:
        reports += pool.poll(0.2)
    assert len(reports) == count, reports
    return reports


def serve(pool, *, verdict="go"):
    """Answer epochs until something else is said; return how many there were, and that."""
    epochs = 0
    while True:
        (report,) = hear(pool)
        if not isinstance(report, Epoch):
            return epochs, report
        epochs += 1
        pool.answer(report.slot, verdict)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_does_many_jobs(make_pool, tmp_path):
    pool = make_pool()
    assert hear(pool) == [Ready(slot=0)]
    for _ in range(2):
        pool.submit(0, job(tmp_path))
        assert serve(pool) == (toy.EPOCHS, Done(slot=0))
    assert Store(tmp_path).read_record("toy-t000").status == "finished"
    assert len(toy.pids(Store(tmp_path))) == 1


def test_a_verdict_stops_the_run(make_pool, tmp_path):
    pool = make_pool()
    hear(pool)
    pool.submit(0, job(tmp_path))
    assert serve(pool, verdict="prune") == (1, Done(slot=0))
    assert Store(tmp_path).read_record("toy-t000").status == "pruned"


@pytest.mark.parametrize("fault", ["print", "read"])
def test_what_libraries_print_or_read_touches_no_message(make_pool, tmp_path, fault):
    pool = make_pool()
    hear(pool)
    pool.submit(0, job(tmp_path, fault))
    assert serve(pool) == (toy.EPOCHS, Done(slot=0))
    if fault == "print":
        assert "garbage without end" in (tmp_path / "worker-0.log").read_text()


def test_an_exception_is_told_and_the_worker_lives(make_pool, tmp_path):
    pool = make_pool()
    hear(pool)
    pool.submit(0, job(tmp_path, "raise"))
    _, raised = serve(pool)
    assert isinstance(raised, Raised)
    assert raised.reason == "RuntimeError: the toy broke"
    assert "in _misbehave" in raised.traceback
    pool.submit(0, job(tmp_path))
    assert serve(pool)[1] == Done(slot=0)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("crash", ["SIGKILL", "a last word before the crash"]),
        ("exit", ["exit code 3", "without a word"]),
    ],
)
def test_a_dead_worker_is_reported_and_replaced(make_pool, tmp_path, fault, words):
    pool = make_pool()
    hear(pool)
    pool.submit(0, job(tmp_path, fault))
    _, died = serve(pool)
    assert isinstance(died, Died)
    assert all(word in died.reason for word in words)
    assert hear(pool) == [Ready(slot=0)]
    pool.submit(0, job(tmp_path))
    assert serve(pool)[1] == Done(slot=0)


def test_a_silent_worker_is_killed(make_pool, tmp_path):
    pool = make_pool(silence_s=2.0)
    hear(pool)
    pool.submit(0, job(tmp_path, "hang"))
    _, died = serve(pool)
    assert "said nothing for 2 s" in died.reason
    (pid,) = toy.pids(Store(tmp_path))
    assert not alive(pid)


def test_a_worker_killed_while_the_kernel_kills_is_told_to_have_lacked_memory(make_pool, tmp_path):
    counter = tmp_path / "memory.events"
    counter.write_text("oom_kill 3\n")
    pool = make_pool(oom_counters=(counter,))
    hear(pool)
    for kills, cause in ((3, "worker_died"), (4, "out_of_memory"), (4, "worker_died")):
        pool.submit(0, job(tmp_path, "hang"))
        (epoch,) = hear(pool)
        pool.answer(epoch.slot, "go")
        counter.write_text(f"oom_kill {kills}\n")
        for pid in toy.pids(Store(tmp_path)):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        (died,) = hear(pool)
        assert died.cause == cause
        assert ("for lack of memory" in died.reason) == (cause == "out_of_memory")
        assert hear(pool) == [Ready(slot=0)]


def test_a_worker_that_we_kill_has_not_lacked_memory(make_pool, tmp_path):
    counter = tmp_path / "memory.events"
    pool = make_pool(oom_counters=(counter,), silence_s=1.5)
    hear(pool)
    pool.submit(0, job(tmp_path, "stop"))
    (epoch,) = hear(pool)
    pool.answer(epoch.slot, "go")
    counter.write_text("oom_kill 1\n")
    (died,) = hear(pool)
    assert died.cause == "worker_died"
    assert "said nothing for 1.5 s and was taken for hung" in died.reason


def test_time_in_which_the_pool_itself_stood_still_does_not_count(
    make_pool, tmp_path, monkeypatch
):
    monkeypatch.setattr(pool_module, "STANDSTILL_S", 1.0)
    pool = make_pool(silence_s=1.5)
    hear(pool)
    pool.submit(0, job(tmp_path, "hang"))
    (epoch,) = hear(pool)
    pool.answer(epoch.slot, "go")
    time.sleep(2.5)
    assert pool.poll(0.0) == []
    (died,) = hear(pool)
    assert "taken for hung" in died.reason


def test_a_renewed_worker_is_another_process(make_pool, tmp_path):
    pool = make_pool()
    hear(pool)
    pool.submit(0, job(tmp_path))
    assert serve(pool)[1] == Done(slot=0)
    pool.renew(0)
    assert hear(pool) == [Ready(slot=0)]
    pool.submit(0, job(tmp_path))
    assert serve(pool)[1] == Done(slot=0)
    old, new = toy.pids(Store(tmp_path))
    assert alive(old) != alive(new)


def test_workers_that_cannot_start_end_the_sweep(make_pool):
    pool = make_pool(execute="no_such_module:execute")
    with pytest.raises(BenchError, match=r"3 in a row did not.*no_such_module.*worker-0\.log"):
        hear(pool, 3)


def test_the_environment_depends_on_the_slot(make_pool, tmp_path):
    (tmp_path / "spy.py").write_text(
        "import os, pathlib\n"
        "def execute(job, on_epoch):\n"
        "    pathlib.Path(job['out']).write_text(os.environ['SLOT'])\n"
    )
    pool = make_pool(
        2, execute="spy:execute",
        environment=lambda slot: {
            "SLOT": str(slot), "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        },
    )  # fmt: skip
    hear(pool, 2)
    for slot in (0, 1):
        pool.submit(slot, {"out": str(tmp_path / f"{slot}.txt")})
    hear(pool, 2)
    assert [(tmp_path / f"{slot}.txt").read_text() for slot in (0, 1)] == ["0", "1"]


def test_closing_leaves_no_process(make_pool, tmp_path):
    pool = make_pool()
    hear(pool)
    pool.submit(0, job(tmp_path, "hang"))
    assert isinstance(hear(pool)[0], Epoch)
    pool.answer(0, "go")
    pool.close()
    (pid,) = toy.pids(Store(tmp_path))
    assert not alive(pid)


def test_a_worker_whose_parent_is_gone_does_not_start():
    command = [sys.executable, "-m", "sweeps.worker", "1", "toy:execute"]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)
    }
    done = subprocess.run(command, stdin=subprocess.PIPE, capture_output=True, env=environment)
    assert done.stdout == b""


@pytest.mark.parametrize("name", ["toy", "toy:", ":execute", "toy:no_such"])
def test_a_function_that_is_not_there_is_named(name):
    with pytest.raises(UsageError, match="function"):
        find(name)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"kind": "verdict"}', b'{"kind": "epoch"}', b'{"kind": "raised"}']
)
def test_lines_that_are_no_report_are_refused(line):
    with pytest.raises(ValueError, match=r".+"):
        decode_report(0, line)


def test_messages_are_single_lines():
    assert encode("job", text="a\nb").count(b"\n") == 1
