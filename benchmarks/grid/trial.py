"""A call of a solver, what came of it, and how it is stopped."""

import contextlib
import functools
import signal
import threading
from typing import Any, NamedTuple

import numpy as np

from benchmarks.grid.ways import Way
from benchmarks.harness import Rival
from benchmarks.rivals import libraries

PATIENCE = 5  # limits, after which a call that can be stopped is
SHORT = 1.0  # seconds within which one thread may be quicker than all, and noise is great


class Trial(NamedTuple):
    """A fit: its seconds, warm if not said otherwise, and where it ended."""

    seconds: float
    objective: Any = np.nan
    tol: float | None = None
    first: float | None = None
    answer: Any = None
    error: str | None = None


@contextlib.contextmanager
def stopped_after(seconds: float):
    """TimeoutError in what is in Python now and then, as the loops of solvers are."""
    alarm = getattr(signal, "SIGALRM", None)  # not on every system
    if alarm is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise TimeoutError(f"no answer within {seconds:g} s")

    before = signal.signal(alarm, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(alarm, before)


def variants(way: Way, tol: float, threads) -> list[Rival]:
    run = functools.partial(way.fit, tol)
    if way.threads:
        return libraries.rivals(way.name, run, threads=threads, said=f"tol {tol:g}")
    return [Rival(way.name, run, variant=f"tol {tol:g}")]
