"""The calls of a cell timed in turns, each of no less than a hundredth of a second."""

import jax
import numpy as np

from benchmarks import harness, machine
from benchmarks.grid.climb import Climb
from benchmarks.grid.optimum import NEAR, gap
from benchmarks.grid.tables import OURS
from benchmarks.grid.trial import SHORT, Trial, variants
from benchmarks.harness import Rival, Row

_BUDGET = 10.0  # seconds for the rounds of a rival
_TURN = 0.01  # seconds that a turn takes at least, in calls that are no more than so many
_MOST_CALLS = 30
_SETTLING = 0.1  # seconds of calls before every turn of a rival that is shorter
QUICK = 0.05  # seconds in which the checks of a call count


def timed(own, climbs: list[Climb], best, rounds: int, limit: float) -> list[Row]:
    """Rows of ours, of the rivals that are near, and of those that are not.

    All take turns, the slow ones in fewer rounds; what was slower than the limit is not called
    again. Within a second a rival has a turn on one thread as well, and the quicker row stays.
    """
    rivals = [(rival, trial) for rival, trial in own if not trial.error]
    for c in climbs:
        if trial := c.arrived(best):
            counts = machine.thread_counts() if trial.seconds < SHORT else [machine.cores()]
            # The first call of a way is that of its first tolerance.
            trial = trial._replace(first=c.trials[0].first)
            rivals += [(rival, trial) for rival in variants(c.way, trial.tol, counts)]
    rivals = [(_longer(rival, trial.seconds), trial) for rival, trial in rivals]
    times = harness.turns(
        [rival for rival, _ in rivals],
        [_repeats(trial.seconds, rounds, limit) for _, trial in rivals],
        [_SETTLING if rounds > 1 and t.seconds < _SETTLING else 0.0 for _, t in rivals],
    )
    rows = [
        _row(rival, trial, *time[:2], time[3], best)
        for (rival, trial), time in zip(rivals, times, strict=True)
    ]
    failed = [
        Row(rival.name, rival.variant, error=trial.error) for rival, trial in own if trial.error
    ]
    absent = [Row(c.way.name, error=c.error) for c in climbs if not c.arrived(best)]
    return [*failed, *_quicker(rows), *absent]


def _longer(rival: Rival, seconds: float) -> Rival:
    """A turn of so many calls that it is more than waking threads and filling caches."""
    calls = int(np.clip(_TURN / max(seconds, 1e-9), 1, _MOST_CALLS))
    if calls == 1:
        return rival

    def run():
        for _ in range(calls):
            params = jax.block_until_ready(rival.run())
        return params

    return rival._replace(run=run, work=calls)


def _repeats(seconds: float, rounds: int, limit: float) -> int:
    if seconds > limit:
        return 0
    return int(np.clip(_BUDGET / max(seconds, 1e-9), 1, rounds))


def _row(rival: Rival, trial: Trial, seconds, cores, error, best) -> Row:
    above = float(f"{max(gap(trial.objective, best), 0):.1g}")
    if rival.name == OURS and not above <= NEAR:
        error = error or f"ValueError: {above:.1e} above the optimum, expected {NEAR:g}"
    # What is not called again is told by the one call there was.
    seconds = seconds or (() if error else (trial.seconds,))
    return Row(rival.name, rival.variant, rival.work, trial.first, seconds, cores, above, error)


def _quicker(rows: list[Row]) -> list[Row]:
    """One row for each name, in their order."""

    def speed(row):
        return row.median if row.seconds and not row.error else np.inf

    names = dict.fromkeys(row.name for row in rows)
    return [min((r for r in rows if r.name == name), key=speed) for name in names]


def told(climb: Climb, best) -> list[dict]:
    return [
        {
            "name": climb.way.name,
            "tol": trial.tol,
            "seconds": trial.seconds,
            "above": float(f"{gap(trial.objective, best):.2g}"),
        }
        for trial in climb.trials
    ]
