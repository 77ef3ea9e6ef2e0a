"""What pruners save and what they cost, on the curves of real trials.

    python benchmarks/bench_pruners.py [OUT SWEEP...]

Takes sweeps that were run with `--pruner none` in the output folder OUT (without arguments: runs
one of 40 trials on digits first, which takes minutes). Each rule is replayed over many random
orders of three quarters of a sweep's curves and judges as a sweep does, by trials up to `i - 4`.

- epochs: share of the epochs that no pruning takes.
- regret: how far the best trial that finished lies below the best of all, in the objective.
- missed: share of the orders in which that is more than 0.
- gain: by how much that trial is better than the best of as many unpruned trials, in the same
  order, as the epochs would have paid for.

Means over orders, with their standard errors; the orders are of the same few trials, so the errors
say what another order would change, not what another sweep would.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import optuna
from optuna.pruners import BasePruner, NopPruner, PercentilePruner
from optuna.trial import TrialState, create_trial

from harness.store import Store
from sweeps.hyperband import Halving, bracket_of, rungs
from sweeps.pruners import PERCENTILE, STARTUP_TRIALS
from sweeps.study import load_table

ORDERS = 200
LOOKAHEAD = 4
SWEEP = (
    "sweep", "--dataset", "digits", "--backbone", "patch-s", "--trials", "40", "--sampler",
    "random", "--pruner", "none", "--final-seeds", "0", "--no-report", "--name", "curves",
)  # fmt: skip

Curve = Sequence[float]
"""The objective after each epoch, the higher the better."""

Rule = tuple[Callable[[int, int], BasePruner], Callable[[int, int], int]]
"""From a trial's number and epochs: its pruner, and its bracket."""


def percentile(share: float, startup: int, warmup: float) -> Rule:
    """Keep the best `share` percent, from `startup` finished trials and part `warmup` on."""
    return (
        lambda _number, epochs: PercentilePruner(
            share, n_startup_trials=startup, n_warmup_steps=max(2, math.ceil(epochs * warmup)) + 1
        ),
        lambda _number, _epochs: 0,
    )


def hyperband(warmup: float) -> Rule:
    """Halve from the first epoch after part `warmup` on."""

    def first(epochs: int) -> int:
        return max(2, math.ceil(epochs * warmup)) + 1

    def bracket(number: int, epochs: int) -> int:
        return bracket_of(number, first(epochs), epochs)

    return (lambda n, epochs: Halving(rungs(first(epochs), epochs, bracket(n, epochs))), bracket)


RULES: list[tuple[str, Rule]] = [
    ("none", (lambda _number, _epochs: NopPruner(), lambda _number, _epochs: 0)),
    ("median", percentile(50.0, STARTUP_TRIALS, 1 / 3)),
    ("percentile", percentile(PERCENTILE, STARTUP_TRIALS, 1 / 3)),
    ("  keeps 33 %", percentile(33.0, STARTUP_TRIALS, 1 / 3)),
    ("  keeps 75 %", percentile(75.0, STARTUP_TRIALS, 1 / 3)),
    ("  startup 3", percentile(PERCENTILE, 3, 1 / 3)),
    ("  startup 10", percentile(PERCENTILE, 10, 1 / 3)),
    ("  warm-up 0", percentile(PERCENTILE, STARTUP_TRIALS, 0)),
    ("  warm-up 1/2", percentile(PERCENTILE, STARTUP_TRIALS, 1 / 2)),
    ("hyperband", hyperband(1 / 3)),
    ("  warm-up 0", hyperband(0)),
    ("  warm-up 1/6", hyperband(1 / 6)),
]


def replay(curves: Sequence[Curve], rule: Rule) -> list[int]:
    """Return how many epochs each trial lasts, if they come in this order."""
    pruner, bracket = rule
    lasted: list[int] = []
    for number, curve in enumerate(curves):
        epochs = len(curve)
        study = optuna.create_study(direction="maximize", pruner=pruner(number, epochs))
        for seen in range(max(0, number - LOOKAHEAD + 1)):
            if bracket(seen, epochs) == bracket(number, epochs):
                study.add_trial(_ended(curves[seen], lasted[seen]))
        lasted.append(_judged(study.ask(), curve))
    return lasted


def _ended(curve: Curve, epochs: int) -> optuna.trial.FrozenTrial:
    state = TrialState.COMPLETE if epochs == len(curve) else TrialState.PRUNED
    points = dict(enumerate(curve[:epochs], start=1))
    return create_trial(state=state, value=points[epochs], intermediate_values=points)


def _judged(trial: optuna.Trial, curve: Curve) -> int:
    for epoch, value in enumerate(curve[:-1], start=1):
        trial.report(value, epoch)
        if trial.should_prune():
            return epoch
    return len(curve)


def compare(curves: Sequence[Curve]) -> None:
    """Print a line for each rule."""
    generator, count = np.random.default_rng(0), 3 * len(curves) // 4
    orders = [generator.permutation(len(curves))[:count] for _ in range(ORDERS)]
    print(f"{'rule':<16}{'epochs':>8}{'regret':>17}{'missed':>8}{'gain':>17}")
    for name, rule in RULES:
        results = np.array([_result([curves[k] for k in order], rule) for order in orders])
        used, regret, gain = results.T
        print(
            f"{name:<16}{used.mean():>8.0%}{_with_error(regret):>17}{(regret > 0).mean():>8.0%}"
            f"{_with_error(gain):>17}",
            flush=True,
        )


def _result(curves: Sequence[Curve], rule: Rule) -> tuple[float, float, float]:
    """Return share of epochs, regret and gain of one order."""
    ends, epochs = [curve[-1] for curve in curves], len(curves[0])
    lasted = replay(curves, rule)
    found = max(end for end, e in zip(ends, lasted, strict=True) if e == epochs)
    paid = max(1, sum(lasted) // epochs)
    return sum(lasted) / (epochs * len(curves)), max(ends) - found, found - max(ends[:paid])


def _with_error(values: np.ndarray) -> str:
    return f"{values.mean():.4f} ({values.std(ddof=1) / math.sqrt(len(values)):.4f})"


def _curves(store: Store, name: str) -> list[Curve]:
    """Return the whole curves of a sweep; trials that failed have none."""
    plan, rows = load_table(store, name)
    sign = 1.0 if plan.direction == "maximize" else -1.0
    whole = [[sign * value for _, value in r.curve] for r in rows if r.status == "finished"]
    return [curve for curve in whole if len(curve) == max(map(len, whole))]


def main() -> None:
    """Replay the sweeps named on the command line."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    out, names = Path(*sys.argv[1:2] or [mkdtemp()]), sys.argv[2:]
    if not names:
        script = Path(sys.executable).parent / "bench"
        subprocess.run([script, *SWEEP, "--out", str(out)], check=True)
        names = [SWEEP[-1]]
    for name in names:
        curves = _curves(Store(out), name)
        print(f"\n{name}: {len(curves)} trials of {len(curves[0])} epochs, {ORDERS} orders")
        compare(curves)


if __name__ == "__main__":
    main()
