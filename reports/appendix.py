"""The end of a report: data, machines, runs that are not ranked, all runs, meaning of words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from harness.record import METRICS, TENSORFLOW_THREADS, DataIdentity, Machine
from reports.compare import Comparison, RunLine, commit_words, data_values
from reports.evidence import IMAGE_MEASURES
from reports.links import RunLinks, list_place, outward, run_link, run_place
from reports.wording import code, count, number, scene_words, table, text

_FOLD_OVER = 12  # rows of a table that is folded away above that

_VERDICT_MEANING = (
    "- **verdict**: every two contenders are tested on the same test images. Several seeds on "
    "both sides: seeds and images are both chance (Student's t on crossed effects, degrees of "
    "freedom by Satterthwaite). Otherwise images only: exact McNemar test for accuracy, paired "
    "bootstrap for score and mean IoU. One is called better if its p-value, corrected for all "
    "pairs of its table (Holm), is at most 0.05: then all such words of a table are right "
    "together with 95 %. An interval that excludes 0 stands for its pair alone."
)
_CANNOT_SEPARATE = (
    "- **cannot separate**: the data do not say which is better. They do not say that both are "
    "equal: `detectable` tells how large a difference would have been seen."
)
_OPTIMISM = (
    "- **optimism gap**: the best of many trials is partly luck, so its validation result "
    "flatters; the same configuration trained as in the search, with new seeds and on the test "
    "split, does not. Its interval counts the seeds of the re-runs only, not that validation and "
    "test are different images."
)
_BUDGET = (
    "- **budget**: a configuration found by many trials is better than one found by few for that "
    "reason alone. Contenders whose searches were granted the same trials, of the same length, "
    "are ranked; what a pruner saved is not spent again. A row with no search recorded is ranked "
    "as it is: if it stands behind a searched one, that does not speak against its backbone. "
    "No. 1 is what a search itself chose, on validation; to choose another one of its "
    "trials because it tested better would be to search on the test split."
)


def appendix_lines(comparison: Comparison, links: RunLinks) -> list[str]:
    """Return data and machines, what is not ranked, all runs, and what the words mean.

    Args:
        comparison: what to tell of.
        links: where more of a run is to be seen.
    """
    return [
        *_data_and_machines(comparison),
        *_not_ranked(comparison.runs),
        *_runs(comparison.runs, links),
        *_disturbed(comparison.runs),
        *_reading(),
    ]


def _left_out(data: DataIdentity) -> str:
    """Return, led by a comma, how many images were left out of the data; empty for none."""
    counts = ((data.skipped, "with faults"), (data.duplicates, "copies"))
    parts = [f"{n:,} {what}" for n, what in counts if n]
    return f", left out: {' and '.join(parts)}" if parts else ""


def _data_and_machines(comparison: Comparison) -> list[str]:
    lines = ["## Data and machines", ""]
    rows = [
        [code(d.source), code(d.digest), code(d.test_digest or "sealed"), str(d.data_seed),
         f"{d.n_train:,} / {d.n_validation:,} / {d.n_test or 0:,}",
         f"{d.image_px} x {d.image_px} px, {d.classes} classes{scene_words(d)}{_left_out(d)}"]
        for d in {data_values(board.data): board.data for board in comparison.tables}.values()
    ]  # fmt: skip
    if rows:
        head = ["data", "digest (train, validation)", "digest (test)", "data seed",
                "train / validation / test images", "images"]  # fmt: skip
        lines += table(head, rows)
    if not comparison.machines:
        return [*lines, "No run says on which machine it ran.", ""]
    return lines + _machines(comparison.machines)


def _machines(machines: Sequence[tuple[str, Machine]]) -> list[str]:
    """Return a table of all that decides whether timings are compared, as far as it is known."""
    rows = [
        [label, f"{text(m.cpu_model)}, {count(m.cpu_cores, 'core')}, {m.memory_gib:.0f} GiB",
         text(m.system), f"{text(m.strategy)} on {text(', '.join(m.devices))}",
         text(", ".join(f"{k} {v}" for k, v in sorted(m.packages.items()))),
         f"{text(m.python)}", code(m.host_digest)]
        for label, m in machines
    ]  # fmt: skip
    head = ["machine", "processor", "system", "strategy (first run)", "packages", "Python", "host"]
    more = {
        "GPUs": [_gpus(m) for _, m in machines],
        "governor": [text(m.governor or "") for _, m in machines],
        "settings": [_settings(m) for _, m in machines],
    }
    commits = [commit_words(m) for _, m in machines]
    if len(set(commits)) > 1:  # it may be all that sets them apart
        more["commit"] = [code(commit) if commit else "unknown" for commit in commits]
    told = {title: cells for title, cells in more.items() if any(cells)}
    columns = zip(*told.values(), strict=True) if told else [()] * len(rows)
    rows = [[*row, *cells] for row, cells in zip(rows, columns, strict=True)]
    return table([*head, *told], rows)


def _gpus(machine: Machine) -> str:
    found = ", ".join(f"{n} x {name}" for name, n in Counter(machine.gpus).items())
    return text(f"{found}, driver {machine.driver}") if found else ""


def _settings(machine: Machine) -> str:
    """Return the environment variables; TensorFlow's threads may differ from run to run."""
    return text(
        ", ".join(
            f"{name}={value}"
            for name, value in sorted(machine.thread_settings.items())
            if name not in TENSORFLOW_THREADS
        )
    )


def _not_ranked(runs: Sequence[RunLine]) -> list[str]:
    """List what stands in no leaderboard; finished trials are told by their sweep."""
    left = [r for r in runs if r.not_ranked and not (r.role == "trial" and r.status == "finished")]
    lines = ["## Not ranked", ""]
    if not left:
        return [*lines, "Every run that was to be tested is ranked above.", ""]
    rows = [[run_link(r.run_id), _what(r), r.status, text(r.not_ranked)] for r in left]
    body = table(["run", "what", "status", "reason"], rows)
    return lines + _folded(body, f"{count(len(left), 'run')} with the reason", len(rows))


def _what(run: RunLine) -> str:
    if run.role == "trial":
        return f"trial {run.trial} of {code(run.sweep)}"
    if run.role in ("final", "rerun"):
        of = "" if run.trial is None else f"trial {run.trial} of "
        what = "final" if run.role == "final" else "re-run"
        return f"{what} of {of}{code(run.sweep)}, seed {run.seed}"
    return f"{code(run.backbone)}, seed {run.seed}"


def _runs(runs: Sequence[RunLine], links: RunLinks) -> list[str]:
    """Return the list of all runs, which every number of the report leads to."""
    rows = [
        [run_place(r.run_id), _what(r), r.status, text(_when(r.started_at)), f"{r.duration_s:.0f}",
         r.machine or "unknown", code(r.git) if r.git else "unknown",
         "" if r.score is None else number(r.score)]
        for r in runs
    ]  # fmt: skip
    head = ["run", "what", "status", "started", "took (s)", "machine", "commit", "test score"]
    if any(r.run_id in links for r in runs):
        head.append("more of it")
        rows = [[*row, outward(r.run_id, links)] for row, r in zip(rows, runs, strict=True)]
    body = table(head, rows, right="llllrllr")
    return [
        "## Runs",
        "",
        list_place(),
        "",
        *_folded(body, f"All {count(len(runs), 'run')}", len(rows)),
    ]


def _disturbed(runs: Sequence[RunLine]) -> list[str]:
    """List what disturbed the timing of ranked runs; of all others their records tell."""
    disturbed = [run for run in runs if run.disturbed and not run.not_ranked]
    rows = [[run_link(run.run_id), _what(run), text(run.disturbed)] for run in disturbed]
    if not rows:
        return []
    words = "They are kept and counted like all others; their images/s may be too low."
    body = table(["run", "what", "disturbed"], rows)
    title = f"{count(len(rows), 'run')}, and what was seen"
    return ["## Disturbed while timed", "", words, "", *_folded(body, title, len(rows))]


def _when(started_at: str) -> str:
    """Return an ISO time in UTC to the second, for reading."""
    return f"{started_at[:19].replace('T', ' ')} UTC"


def _folded(body: list[str], title: str, rows: int) -> list[str]:
    if rows <= _FOLD_OVER:
        return body
    return ["<details>", f"<summary>{title}</summary>", "", *body, "</details>", ""]


def _reading() -> list[str]:
    names = (*IMAGE_MEASURES, "images_per_s", "mflops")
    lines = ["## How to read this", ""]
    lines += [f"- **{METRICS[name].title}**: {METRICS[name].meaning}." for name in names]
    return [*lines, _VERDICT_MEANING, _CANNOT_SEPARATE, _BUDGET, _OPTIMISM, ""]
