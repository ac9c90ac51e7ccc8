"""The timing rule, once for every question.

1. An answer is checked before its rival meets the clock; a wrong one is refused.
2. The first call, which compiles, is timed apart.
3. Then all rivals take turns in one process, so that a slow minute of the machine hits them all.
4. Nothing counts before ``block_until_ready``, and the last timed answer is checked once more.
5. A rival that fails is a row with its error, not a gap.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax


class Rival(NamedTuple):
    """One way to do the work. Rivals of one name are variants: the fastest of them is kept."""

    name: str
    run: Callable[[], Any]  # timed
    work: float = 1  # how many units (epochs, models) a run does
    variant: str = ""
    proof: Callable[[], Any] | None = None  # a run whose answer is known; ``run`` without it


class Row(NamedTuple):
    """What became of a rival: seconds per run, or an error."""

    name: str
    variant: str = ""
    work: float = 1
    first: float | None = None  # seconds of the first call, with what it compiles
    seconds: tuple[float, ...] = ()  # of every round
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
    say: Callable[[str], None] = lambda message: None,
) -> list[Row]:
    """Check, choose the fastest variants in a few ``trials``, and time them for ``rounds``.

    ``check`` gets the answer of the proof, ``check_timed`` (or ``check``) that of a timed run;
    they raise for a wrong answer. Rows come in the order of the rivals, kept variants only, with
    every failure where it happened.
    """
    rows = [_prove(rival, check, say) for rival in rivals]
    kept = _fastest_variants(rivals, rows, trials, say)
    say(f"timing {len(kept)} rivals, {rounds} times each")
    timed = dict(zip(kept, _rounds([rivals[i] for i in kept], rounds), strict=True))
    for i, (seconds, answer, error) in timed.items():
        rows[i] = rows[i]._replace(seconds=seconds, error=error)
        rows[i] = rows[i] if error else _check_again(rows[i], answer, check_timed or check)
    return [row for i, row in enumerate(rows) if i in timed or row.error]


def clock(run: Callable[[], Any]) -> tuple[float, Any]:
    """The seconds until the answer is there, and the answer."""
    start = time.perf_counter()
    answer = jax.block_until_ready(run())
    return time.perf_counter() - start, answer


def _prove(rival: Rival, check: Callable, say: Callable) -> Row:
    say(f"checking {rival.name} {rival.variant}".rstrip())
    row = Row(rival.name, rival.variant, rival.work)
    try:
        first, answer = clock(rival.proof or rival.run)
        return row._replace(checked=check(answer), first=first)
    except Exception as error:
        return row._replace(error=_describe(error))


def _fastest_variants(rivals, rows: list[Row], trials: int, say: Callable) -> list[int]:
    """The position of the fastest sound variant of each name; a lone one needs no trial."""
    sound = [i for i, row in enumerate(rows) if row.error is None]
    names = [rows[i].name for i in sound]
    several = [i for i in sound if names.count(rows[i].name) > 1]
    kept = {rows[i].name: i for i in sound if i not in several}
    say(f"trying {len(several)} variants, {trials} times each")
    seconds = {}
    for i, (times, _, error) in zip(
        several, _rounds([rivals[i] for i in several], trials), strict=True
    ):
        rows[i] = rows[i]._replace(error=error)
        seconds[i] = float("inf") if error else min(times) / rows[i].work
    for i in sorted(several, key=seconds.get):
        if rows[i].error is None:
            kept.setdefault(rows[i].name, i)
    return sorted(kept.values())


def _rounds(rivals: Sequence[Rival], rounds: int) -> list[tuple[tuple[float, ...], Any, Any]]:
    """Seconds, last answer and error of each rival, all taking turns.

    Every other round goes backwards: no rival always follows the same one, whose threads and
    caches it would inherit.
    """
    seconds, answers = [[] for _ in rivals], [None] * len(rivals)
    errors = [None] * len(rivals)
    for number in range(rounds):
        order = range(len(rivals))
        for i in order if number % 2 == 0 else reversed(order):
            if errors[i] is None:
                try:
                    spent, answers[i] = clock(rivals[i].run)
                    seconds[i].append(spent)
                except Exception as error:
                    errors[i] = _describe(error)
    return [(tuple(s), a, e) for s, a, e in zip(seconds, answers, errors, strict=True)]


def _check_again(row: Row, answer: Any, check: Callable) -> Row:
    try:
        check(answer)
        return row
    except Exception as error:
        return row._replace(seconds=(), error=_describe(error))


def _describe(error: Exception) -> str:
    # The first line only: the rest of a traceback may name paths of this machine.
    return f"{type(error).__name__}: {error}".splitlines()[0]
