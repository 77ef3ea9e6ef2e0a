"""What stands between typing `bench sweep` and its first trial: names, refusals, the dry run."""

import dataclasses
import re
import shlex

import pytest

from harness import cli
from harness.cmd_lines import sweep_command
from harness.cmd_sweep_request import Request, searched_spaces, sweep_plan
from harness.digits import source
from harness.options import given, read_configs
from harness.scene_data import SceneData
from sweeps.plan import read_plan, settle_plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated"),
]

LINE = (
    "sweep --dataset digits --backbone readme-cnn --width 0.1 --trials 6 --trial-epochs 4 "
    "--epochs 6 --final-seeds 1 --workers 2"
)


def planned(line):
    """Return the plan that a command line makes."""
    context = cli.bench.commands["sweep"].make_context("sweep", shlex.split(line)[1:])
    values, chosen = context.params, given(context)
    request = Request.of(values)
    (config,) = (dataclasses.replace(each, threads=1) for each in read_configs(values))
    (space,) = searched_spaces([config], request.search, chosen)
    return sweep_plan(
        config, request, space, "digits", SceneData(source()).identity().digest, examples=1197
    )


def begun(store, line, **changes):
    """Leave a sweep as a command line began it, perhaps with another release."""
    plan = dataclasses.replace(planned(line), **changes)
    settle_plan(plan, store.sweep_dir(plan.name))
    return plan


def test_after_an_upgrade_the_same_command_meets_its_sweep_and_is_refused(store, bench):
    old = begun(store, LINE, code="0.0.9+12345678")
    code, said, error = bench(LINE)
    assert (code, said) == (2, "")
    assert error.startswith(
        f"Error: Sweep {old.name!r} must go on as it began, but now `code` is "
    )
    assert "(was '0.0.9+12345678'). Give the original value (of `code`: that release" in error
    assert error.endswith("or start another sweep with --new or --name.\n")
    assert error.count("\n") == 1
    assert read_plan(store.sweep_dir(old.name)) == old
    assert [path.name for path in (store.root / "sweeps").iterdir()] == [old.name]


def test_each_difference_is_named_at_once(store, bench):
    begun(store, f"{LINE} --name s")
    line = f"{LINE} --name s --search learning_rate=1e-3..1e-2 --seed 5 --data-seed 3"
    code, _, error = bench(line)
    assert code == 2
    for words in (
        "`base.seed` is 5 (was 0)", "`base.data_seed` is 3 (was 0)", "`seed` is 5 (was 0)",
        "`space.learning_rate.low` is 0.001 (was 0.0001)", "Give the original values, or start",
    ):  # fmt: skip
        assert words in error, error


def test_a_dry_run_tells_the_plan_and_the_time_and_writes_nothing(store, bench):
    code, said, errors = bench(f"{LINE} --dry-run")
    assert (code, errors) == (0, "")
    assert not store.root.exists()
    assert max(len(line) for line in said.splitlines()) <= 80
    rows = re.findall(r"^(\w[\w ]{0,8}?)  +(\S.*?) *$", said, re.M)
    found = dict(rows)
    assert re.fullmatch(r"readme-cnn-digits-[0-9a-f]{6} \(new\)", found["sweep"])
    assert found["backbone"] == "readme-cnn, head dense"
    assert found["searched"] == "learning_rate=0.0001..0.01:log"
    assert found["sampler"] == "tpe, seed 0, lookahead 4"
    assert found["trials"] == "6 in total: 6 to do, 0 done"
    assert found["workers"] == "2 at once, 1 thread each"
    assert "4 epochs of 1,197 examples each" in said
    assert re.fullmatch(
        r"[\d,]+ images/s in training, .+, compiled in [\d.]+ s", found["measured"]
    )
    assert re.fullmatch(r"(at most .+, )?about \d.+", found["in all"])
    assert "dry run: nothing was written" in said


def test_a_dry_run_of_what_is_refused_or_new_says_so(store, bench):
    begun(store, f"{LINE} --name s", code="0.0.9")
    code, _, error = bench(f"{LINE} --name s --dry-run")
    assert code == 2
    assert "must go on as it began" in error


def test_new_takes_a_free_name_and_touches_nothing(store, bench):
    begun(store, f"{LINE} --name s", code="0.0.9")
    before = files(store)
    # An unusable store ends the command right after the name is chosen.
    code, said, _ = bench(f"{LINE} --name s --new --tracking-uri http://127.0.0.1:9")
    assert code == 1
    assert "new sweep s-2: go on with it by --name s-2 instead of --new" in said
    assert files(store) == before


def files(store):
    return {path: path.read_bytes() for path in (store.root / "sweeps").rglob("*.*")}


def test_the_printed_line_of_a_sweep_meets_it_again(store, bench):
    plan = begun(store, LINE)
    line = sweep_command(plan, 6).removeprefix("bench ")
    again = planned(line)
    assert again == plan
