"""What the cells of a grid say: a line of each, and the least and the median ratio of all."""

import statistics
from typing import NamedTuple

from benchmarks.harness import Row
from benchmarks.markdown import joined, milliseconds

OURS, LOOSE, COMPILED = "jaxlinear", "jaxlinear, tol 1e-3", "jaxlinear, under jit"
_HEADS = (
    "", "n \N{MULTIPLICATION SIGN} d \N{MULTIPLICATION SIGN} k", "x", "l2", "labels",
    "best rival", "its ms", "jaxlinear, ms", "under jit, ms", "first call, ms",
    "ratio", "default / tol 1e-3",
)  # fmt: skip


class Summary(NamedTuple):
    """What counts of a cell; None where it is not known."""

    rival: Row | None  # the best that is near the optimum
    ours: Row | None
    compiled: Row | None  # ours under jit, where that was timed
    fails: str | None  # why ours does not count
    ratio: float | None  # how many times as long the best rival takes; none if ours fails
    default: float | None  # how many times as long ours takes as at a tolerance of 1e-3


def summary(cell: dict) -> Summary:
    rows = [Row(**row) for row in cell["rows"]]
    ours = next((row for row in rows if row.name == OURS), None)
    loose, compiled = (
        next((row for row in rows if row.name == name and row.seconds), None)
        for name in (LOOSE, COMPILED)
    )
    rivals = [r for r in rows if not r.name.startswith(OURS) and r.seconds and not r.error]
    best = min(rivals, key=lambda row: row.median, default=None)
    fails = "there is none" if ours is None else ours.error
    timed = ours is not None and bool(ours.seconds)
    return Summary(
        best,
        ours,
        compiled,
        fails,
        best.median / ours.median if best and not fails else None,
        ours.median / loose.median if timed and loose else None,
    )


def markdown(result: dict) -> str:
    """A table of each list of cells, and what all of it comes to."""
    groups = dict.fromkeys(cell["group"] for cell in result["cells"])
    parts = []
    for group in groups:
        cells = [cell for cell in result["cells"] if cell["group"] == group]
        lines = [joined(_HEADS)]
        lines += ["|--:|---|---|--:|---|---|" + "--:|" * 6, *map(line, cells)]
        title = f"**Convex fits on a grid of shapes: {group}, float32**"
        parts += [title, "\n".join(lines), in_all(cells)]
    return "\n\n".join(parts)


def line(cell: dict) -> str:
    told = summary(cell)
    shape = " \N{MULTIPLICATION SIGN} ".join(f"{cell[letter]:,}" for letter in "ndk")
    loss = "" if cell["loss"] == "classes" else f"{cell['loss']}, "
    ours = told.ours
    words = [
        str(cell["number"]),
        shape,
        cell["kind"],
        f"{cell['l2']:g}",
        loss + cell["labels"],
        ", ".join(filter(None, told.rival[:2])) if told.rival else "none gets there",
        milliseconds(told.rival.median) if told.rival else "",
        milliseconds(ours.median) if ours and ours.seconds else "",
        milliseconds(told.compiled.median) if told.compiled else "",
        milliseconds(ours.first) if ours and ours.first else "",
        f"fails: {told.fails}".replace("|", "/") if told.fails else _digits(told.ratio),
        _digits(told.default),
    ]
    return joined(words)


def in_all(cells: list[dict]) -> str:
    """The least ratio is where a solver is worst, the median what to expect."""
    told = [(summary(cell), cell) for cell in cells]
    counted = [(s.ratio, cell) for s, cell in told if s.ratio is not None]
    said = []
    if counted:
        least, where = min(counted, key=lambda pair: pair[0])
        ratios = [ratio for ratio, _ in counted]
        said.append(
            f"The best rival takes {_digits(statistics.median(ratios))} times as long as jaxlinear "
            f"in the median of {len(counted)} cells, and {_digits(least)} times at least (cell "
            f"{where['number']}, {where['name']}); in {sum(r < 1 for r in ratios)} of them it is "
            "quicker."
        )
    alone = sum(s.rival is None and not s.fails for s, _ in told)
    if alone:
        said.append(f"In {alone} no rival gets there.")
    failing = [str(cell["number"]) for s, cell in told if s.fails]
    if failing:
        said.append(f"jaxlinear fails in {len(failing)}: {', '.join(failing)}.")
    return " ".join(said)


def _digits(number: float | None) -> str:
    return "" if number is None else f"{number:.2g}" if number < 10 else f"{number:.0f}"
