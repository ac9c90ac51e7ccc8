"""The timing rule, once for every question.

1. An answer is checked before its rival meets the clock; a wrong one is refused.
2. The first call, which compiles, is timed apart.
3. Then all rivals take turns in one process, so that a slow minute of the machine hits them all.
4. Nothing counts before ``block_until_ready``, and the last timed answer is checked once more.
5. A rival that fails is a row with its error, not a gap.
6. An answer is made of numbers that are there, in the dtype that all work in, and a rival keeps no
   more cores busy than it says.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

_LONG = 0.5  # seconds in which one sees how many cores are busy


class Rival(NamedTuple):
    """One way to do the work. Rivals of one name are variants: the fastest of them is kept."""

    name: str
    run: Callable[[], Any]  # timed
    work: float = 1  # how many units (epochs, models) a run does
    variant: str = ""
    proof: Callable[[], Any] | None = None  # a run whose answer is known; ``run`` without it
    threads: int | None = None  # that it says it uses


class Row(NamedTuple):
    """What became of a rival: seconds per run, or an error."""

    name: str
    variant: str = ""
    work: float = 1
    first: float | None = None  # seconds of the first call, with what it compiles
    seconds: tuple[float, ...] = ()  # of every round
    cores: float | None = None  # that the timed runs kept busy
    checked: Any = None  # what the check of the proof says, such as a loss
    error: str | None = None

    @property
    def median(self) -> float:
        """Seconds per unit of work."""
        return statistics.median(self.seconds) / self.work

    @property
    def minimum(self) -> float:
        return min(self.seconds) / self.work


def compare(
    rivals: Sequence[Rival],
    check: Callable[[Any], Any],
    *,
    check_timed: Callable[[Any], Any] | None = None,
    rounds: int = 7,
    trials: int = 2,
    dtype: str | None = None,
    say: Callable[[str], None] = lambda message: None,
) -> list[Row]:
    """Check, choose the fastest variants in a few ``trials``, and time them for ``rounds``.

    ``check`` gets the answer of the proof, ``check_timed`` (or ``check``) that of a timed run;
    they raise for a wrong answer; floating numbers in another ``dtype`` are one. Rows come in the
    order of the rivals, kept variants only, with every failure where it happened.
    """
    check, check_timed = (_in_dtype(dtype, c) for c in (check, check_timed or check))
    rows = [_prove(rival, check, say) for rival in rivals]
    kept = _fastest_variants(rivals, rows, trials, say)
    say(f"timing {len(kept)} rivals, {rounds} times each")
    timed = dict(zip(kept, turns([rivals[i] for i in kept], [rounds] * len(kept)), strict=True))
    for i, (seconds, cores, answer, error) in timed.items():
        rows[i] = rows[i]._replace(seconds=seconds, cores=cores, error=error)
        rows[i] = rows[i] if error else _check_again(rows[i], answer, check_timed)
    return [row for i, row in enumerate(rows) if i in timed or row.error]


def clock(run: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds until the answer is there, and the answer."""
    start = time.perf_counter()
    answer = _settled(run())
    return time.perf_counter() - start, answer


def _settled(answer: Any) -> Any:
    """The answer once its numbers are there; what cannot be waited for is refused."""
    for leaf in jax.tree.leaves(jax.block_until_ready(answer)):
        here = isinstance(leaf, np.ndarray | np.generic | float | int)
        if not here and not hasattr(leaf, "block_until_ready"):
            raise TypeError(
                f"the answer holds {type(leaf).__name__}, expected numbers that are there"
            )
    return answer


def _in_dtype(dtype: str | None, check: Callable) -> Callable:
    def checked(answer):
        for leaf in jax.tree.leaves(answer):
            got = np.dtype(getattr(leaf, "dtype", np.int64))
            if dtype and np.issubdtype(got, np.floating) and got != dtype:
                raise TypeError(f"the answer is in {got}, expected {dtype}")
        return check(answer)

    return checked


def _prove(rival: Rival, check: Callable, say: Callable) -> Row:
    say(f"checking {rival.name} {rival.variant}".rstrip())
    row = Row(rival.name, rival.variant, rival.work)
    try:
        first, answer = clock(rival.proof or rival.run)
        return row._replace(checked=check(answer), first=first)
    except Exception as error:
        return row._replace(error=describe(error))


def _fastest_variants(rivals, rows: list[Row], trials: int, say: Callable) -> list[int]:
    """The position of the fastest sound variant of each name; a lone one needs no trial."""
    sound = [i for i, row in enumerate(rows) if row.error is None]
    names = [rows[i].name for i in sound]
    several = [i for i in sound if names.count(rows[i].name) > 1]
    kept = {rows[i].name: i for i in sound if i not in several}
    say(f"trying {len(several)} variants, {trials} times each")
    seconds = {}
    for i, (times, _, _, error) in zip(
        several, turns([rivals[i] for i in several], [trials] * len(several)), strict=True
    ):
        rows[i] = rows[i]._replace(error=error)
        seconds[i] = float("inf") if error else min(times) / rows[i].work
    for i in sorted(several, key=seconds.get):
        if rows[i].error is None:
            kept.setdefault(rows[i].name, i)
    return sorted(kept.values())


def turns(
    rivals: Sequence[Rival], rounds: Sequence[int], settle: Sequence[float] | None = None
) -> list[tuple]:
    """Seconds, busy cores, last answer and error of each rival in so many rounds, taking turns.

    Every other round goes backwards: no rival always follows the same one, whose threads and
    caches it would inherit. Threads of a BLAS go on spinning for a while, and what is short then
    takes three times as long: before every turn a rival may ``settle`` for some seconds of runs
    that are not timed.
    """
    settle = settle or [0.0] * len(rivals)
    seconds, answers = [[] for _ in rivals], [None] * len(rivals)
    errors, busy = [None] * len(rivals), [0.0] * len(rivals)
    for number in range(max(rounds, default=0)):
        order = [i for i, own in enumerate(rounds) if number < own]
        for i in order if number % 2 == 0 else reversed(order):
            if errors[i] is None:
                try:
                    _run_for(settle[i], rivals[i].run)
                    begin = time.process_time()
                    spent, answers[i] = clock(rivals[i].run)
                    busy[i] += time.process_time() - begin
                    seconds[i].append(spent)
                except Exception as error:
                    errors[i] = describe(error)
    cores = [work / max(sum(s), 1e-9) for work, s in zip(busy, seconds, strict=True)]
    for i, rival in enumerate(rivals):
        # Threads of others spin for a moment after their work, which is not this rival's.
        if rival.threads and sum(seconds[i]) > _LONG and cores[i] > rival.threads + 0.5:
            errors[i] = f"ValueError: kept {cores[i]:.1f} cores busy, said {rival.threads}"
    return [(tuple(s), *rest) for s, *rest in zip(seconds, cores, answers, errors, strict=True)]


def _run_for(seconds: float, run: Callable) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        _settled(run())


def _check_again(row: Row, answer: Any, check: Callable) -> Row:
    try:
        check(answer)
        return row
    except Exception as error:
        return row._replace(seconds=(), error=describe(error))


def describe(error: Exception) -> str:
    # The first line only: the rest of a traceback may name paths of this machine.
    return f"{type(error).__name__}: {error}".splitlines()[0]
