"""Rivals at tolerances that are tightened until they are at the optimum."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks import harness, machine
from benchmarks.grid.optimum import NEAR, gap, lowest
from benchmarks.grid.trial import PATIENCE, SHORT, Trial, stopped_after, variants
from benchmarks.grid.ways import Way

TOLERANCES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)
_HOPELESS = 5  # times as long as the best rival: tighter, it would take longer still


class Climb(NamedTuple):
    """What a rival did from the loosest tolerance on, and why it went no farther."""

    way: Way
    trials: tuple[Trial, ...] = ()
    error: str | None = None

    def arrived(self, best) -> Trial | None:
        """The loosest that is near."""
        return next((t for t in self.trials if gap(t.objective, best) <= NEAR), None)


def climb(ways: list[Way], objective: Callable, best, limit: float, say: Callable):
    """The lowest objective that is known in the end, and the ``Climb`` of each way.

    The quickest goes on first: who is slower than the best by far, and not there, is let go. A
    rival that has arrived goes on if another shows that it had not.
    """
    climbs = [Climb(way, error=way.missing) for way in ways]
    while True:
        waiting = [i for i, c in enumerate(climbs) if not _ended(c, climbs, best, limit)]
        if not waiting:
            for i, reason in enumerate([_ended(c, climbs, best, limit) for c in climbs]):
                climbs[i] = climbs[i]._replace(error=None if reason is True else reason)
            return best, climbs
        i = min(waiting, key=lambda i: climbs[i].trials[-1].seconds if climbs[i].trials else 0)
        climbs[i] = _one_more(climbs[i], objective, limit)
        best = lowest(best, climbs[i].trials[-1:])
        for trial in climbs[i].trials[-1:]:
            say(f"{climbs[i].way.name}, {_say(trial)}: {gap(trial.objective, best):.1e} above")


def _ended(climb: Climb, climbs: list[Climb], best, limit: float) -> str | bool:
    """Whether a way has arrived, or else why it goes no farther."""
    if climb.error or climb.arrived(best):
        return climb.error or True
    if not climb.trials:
        return False
    last = climb.trials[-1]
    there = [t.seconds for c in climbs if (t := c.arrived(best))]
    where = f"{gap(last.objective, best):.1e} above the optimum after {_say(last)}"
    if last.seconds > limit:
        return f"TimeoutError: {where}"
    if last.seconds > max(SHORT, _HOPELESS * min(there, default=np.inf)):
        return f"TimeoutError: {where}, {last.seconds / min(there):.0f} times the best rival"
    if len(climb.trials) == len(TOLERANCES):
        return f"ValueError: never near: {min(gap(t.objective, best) for t in climb.trials):.1e}"
    return False


def _say(trial: Trial) -> str:
    return f"{1e3 * trial.seconds:.3g} ms at tol {trial.tol:g}"


def _one_more(climb: Climb, objective: Callable, limit: float) -> Climb:
    way, tol, first = climb.way, TOLERANCES[len(climb.trials)], None
    (rival,) = variants(way, tol, [machine.cores()])
    try:
        with stopped_after(PATIENCE * limit):
            seconds, params = harness.clock(rival.run)
            if not climb.trials:
                first = seconds
            # The first call compiles, or wakes threads.
            if seconds < SHORT or (way.compiles and not climb.trials):
                seconds = harness.clock(rival.run)[0]
        trial = Trial(seconds, objective(params), tol, first)
        return climb._replace(trials=(*climb.trials, trial))
    except Exception as error:
        return climb._replace(error=harness.describe(error))
