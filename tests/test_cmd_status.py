"""`bench status` tells of each state in words and as JSON, without loading anything slow."""

import json
import re
import subprocess
import sys
from datetime import datetime

import pytest
from running_toy import running_toy
from toy_sweep import sweep, sweep_all, toy_members, toy_plan

from harness import cli
from harness.config import RunConfig
from harness.datasets import TRAIN_EXAMPLES
from harness.digits import source
from harness.mnist import N_VALIDATION
from harness.scene_data import SceneData
from harness.sent_notes import SENT_FILE
from harness.store import RECORD_FILE, Store, file_digest
from harness.tracking_uri import destination, resolve_uri
from sweeps.group import SweepGroup, settle_group
from sweeps.plan import PLAN_FILE
from sweeps.study import JOURNAL_FILE

pytestmark = pytest.mark.slow

PLAN = toy_plan(
    base=RunConfig(epochs=6, dataset="digits", threads=1), trial_overrides={"epochs": 6}
)


def test_a_running_sweep_in_full(store, bench):
    with running_toy(store) as process:
        code, said, errors = bench("status toy")
    assert (code, errors) == (0, "")
    assert re.match(rf"toy: running, process {process.pid}, for \d+ s\n", said)
    assert re.search(r"^  trials      \d+ of 12 done: .*2 running, \d+ to come$", said, re.M)
    assert re.search(r"^  finals      0 of 3 done$", said, re.M)
    assert re.search(r"^  best        trial \d+, validation score 0\.\d{4}$", said, re.M)
    assert re.search(r"^  last ended  \d+ s ago$", said, re.M)
    assert re.search(r"^  trains now  t0\d\d  epoch \d/6", said, re.M)
    assert "the same command goes on" not in said


def test_a_killed_sweep_says_so_and_how_it_goes_on(store, bench):
    with running_toy(store) as process:
        process.kill()
        process.wait()
        code, said, _ = bench("status toy")
    assert code == 0
    assert said.startswith("toy: died: its process is gone without a word; nothing that ended")
    assert re.search(r"^  trials      .*\d to go on, \d+ to come$", said, re.M)
    assert re.search(r"^  goes on     t0\d\d  epoch \d/6", said, re.M)


def test_the_command_that_goes_on_is_the_one_that_began(store, bench):
    sweep(store, PLAN, total=4, max_s=0.0)
    said = bench("status toy")[1]
    assert said.startswith("toy: interrupted: The time given by --max-time was over\n")
    goes_on = "bench sweep --trials 4 --name toy --epochs 6 --dataset digits --trial-epochs 6"
    assert said.endswith(f"the same command goes on: {goes_on}\n")
    other = Store(store.root.parent / "other place")
    sweep(other, PLAN, total=4, max_s=0.0)
    code = cli._exit_code(
        lambda: cli.bench.main(
            ["status", "toy", "--out", "other place"], prog_name="bench", standalone_mode=False
        )
    )
    assert code == 0


def test_a_member_goes_on_with_its_group_and_as_many_of_the_best(store, bench):
    backbones = ("notebook-cnn", "residual-s")
    sweep_all(store, toy_members(*backbones), total=2, top=2, deadline_s=0.0)
    goes_on = (
        "bench sweep --trials 2 --name toys --backbone notebook-cnn --backbone residual-s "
        "--epochs 6 --dataset auto --threads 0 --top 2"
    )
    assert bench("status toys.residual-s")[1].endswith(f"the same command goes on: {goes_on}\n")
    entries = json.loads(bench("status toys --json")[1])["sweeps"]
    assert [entry["command"] for entry in entries] == [goes_on, goes_on]
    (store.sweep_dir("toys.notebook-cnn") / PLAN_FILE).write_text("{")
    assert "goes on" not in bench("status toys.residual-s")[1]
    (entry,) = json.loads(bench("status toys --json")[1])["sweeps"]
    assert entry["command"] is None


def test_failures_are_told_with_their_reasons(store, bench):
    faults = {str(number): "raise" for number in range(7)}
    sweep(store, PLAN, total=8, faults=faults)
    said = bench("status toy")[1]
    assert "  trials      8 of 8 done: 1 finished, 7 failed\n" in said
    assert "  failed      trial 0: RuntimeError: the toy broke\n" in said
    assert "              trial 4: RuntimeError: the toy broke\n" in said
    assert "trial 5:" not in said
    assert "and 2 more: `bench status --json` names them" in said
    (entry,) = json.loads(bench("status toy --json")[1])["sweeps"]
    assert [row["trial"] for row in entry["failed"]] == list(range(7))


def test_all_sweeps_in_a_table_of_80_columns(store, bench):
    sweep(store, toy_plan(name="a" * 60), total=2)
    sweep(store, toy_plan(name="b"), total=3, max_s=0.0)
    sweep(store, toy_plan(name="c"), total=1)
    (store.sweep_dir("c") / JOURNAL_FILE).write_text("{}\n{half\n{}\n")
    code, said, errors = bench("status")
    assert (code, errors) == (0, "")
    table = said.partition(str(store.root))[0].splitlines()  # then comes what is damaged
    assert max(len(line) for line in table) <= 80
    assert re.search(r"finished +2/2 +3/3 +0\.\d{4}", said)
    assert re.search(r"^b +interrupted +0/3 +0/3 *$", said, re.M)
    assert re.search(r"^c +damaged *$", said, re.M)
    assert "journal.log must be a journal of Optuna" in said
    assert bench("status c")[0] == 1


def test_what_mlflow_lacks_is_counted(store, bench):
    sweep(store, toy_plan(finals=0), total=3)
    uri = resolve_uri(None, store.root)
    assert f"3 ended runs are not in {uri}: `bench sync` sends them" in bench("status toy")[1]
    where = destination(uri, "bench")
    for number in range(2):
        folder = store.run_dir(f"toy-t00{number}")
        note = {where: {"run": "x", "digest": file_digest(folder / RECORD_FILE)}}
        (folder / SENT_FILE).write_text(json.dumps(note))
    document = json.loads(bench("status --json")[1])
    assert document["sweeps"][0]["not_sent"] == ["toy-t002"]
    assert "1 ended runs" in bench("status toy")[1]


def test_json_keeps_its_form(store, bench):
    sweep(store, PLAN, total=2)
    document = json.loads(bench("status --json")[1])
    assert list(document) == ["version", "out", "running", "sweeps", "damaged"]
    assert (document["version"], document["running"], document["damaged"]) == (1, {}, {})
    (entry,) = document["sweeps"]
    best = entry.pop("best")
    assert set(best["params"]) == {"learning_rate", "class_weight", "box_weight"}
    assert datetime.fromisoformat(entry.pop("last_ended")).tzinfo is not None
    assert len(entry.pop("not_sent")) == 5
    assert entry.pop("command").startswith("bench sweep --trials 2 --name toy ")
    assert entry == {
        "name": "toy", "state": "finished", "complete": True, "reason": None, "process": None,
        "trials": {
            "total": 2, "ended": 2, "finished": 2, "pruned": 0, "failed": 0, "running": 0,
            "waiting": 0,
        },
        "finals": {"total": 3, "finished": 3}, "reruns": {"total": 0, "finished": 0},
        "workers": 2, "objective": "score", "under_way": [], "left_s": None, "failed": [],
    }  # fmt: skip
    assert bench("status toy --json") == bench("status --json")


def test_json_counts_the_finals_of_each_of_the_best_and_the_reruns(store, bench):
    sweep(store, toy_plan(finals=2, trial_overrides={"epochs": 2}), total=3, top=2)
    (entry,) = json.loads(bench("status --json")[1])["sweeps"]
    assert entry["complete"]
    assert entry["finals"] == {"total": 4, "finished": 4}  # 2 of each of 2
    assert entry["reruns"] == {"total": 2, "finished": 2}


def test_json_of_nothing_is_json_too(store, bench):
    assert json.loads(bench("status --json")[1])["sweeps"] == []


def test_json_of_a_running_sweep_names_its_process(store, bench):
    with running_toy(store) as process:
        document = json.loads(bench("status --json")[1])
    (entry,) = document["sweeps"]
    assert entry["process"] == document["running"]["toy"]
    assert entry["process"]["pid"] == process.pid
    assert set(entry["process"]) == {"host", "pid", "since"}
    assert set(entry["under_way"][0]) == {"run_id", "role", "epoch", "epochs", "value"}


def test_a_group_shows_its_members(store, bench):
    for name in ("g.a", "g.b", "x"):
        sweep(store, toy_plan(name=name, finals=0), total=1)
    store.sweep_dir("g").mkdir()
    members = {"g.a": "a", "g.b": "b"}
    settle_group(SweepGroup(name="g", members=members), store.sweep_dir("g"))
    code, said, _ = bench("status g")
    assert code == 0
    assert said.startswith("group g: not running\n")
    assert re.findall(r"^(\S+) +finished", said, re.M) == ["g.a", "g.b"]


def test_an_unknown_name_is_refused(store, bench):
    sweep(store, toy_plan(finals=0), total=1)
    code, _, said = bench("status toi")
    assert (code, said) == (
        2, "Error: Unknown sweep 'toi'. Did you mean 'toy'? Known: toy.\n",
    )  # fmt: skip


def test_neither_tensorflow_nor_mlflow_is_loaded(store):
    sweep(store, PLAN, total=1)
    code = """
import sys
from harness import cli
cli.bench.main(["status", "toy"], standalone_mode=False)
cli.bench.main(["stop", "toy"], standalone_mode=False)
slow = {"tensorflow", "keras", "mlflow", "pandas", "seaborn", "sklearn"} & set(sys.modules)
assert not slow, slow
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_a_final_trains_on_as_many_examples_as_are_told():
    assert SceneData(source()).n_train == TRAIN_EXAMPLES["digits"]
    assert TRAIN_EXAMPLES["mnist"] == 60_000 - N_VALIDATION
