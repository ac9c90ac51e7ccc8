"""How a speed depends on a size: the same work in several ways, one size after another."""

import statistics
from collections.abc import Callable, Iterable

from benchmarks import harness


def measure(
    title: str, x: str, unit: str, sizes: Iterable[int], ways: Callable, fast: bool = False
) -> dict:
    """``ways(size)`` gives {name: (run, the part of the work that it does)}; the median of five.

    What all ways of one size compute is the same work, proven once by the table beside the curve.
    """
    points: dict[str, list] = {}
    for size in sizes:
        timed = {}
        for name, (run, part) in ways(size).items():
            harness.clock(run)  # which compiles
            timed[name] = run, part, []
        for _ in range(1 if fast else 5):
            for run, part, seconds in timed.values():
                seconds.append(harness.clock(run)[0] / part)
        for name, (_, _, seconds) in timed.items():
            points.setdefault(name, []).append([size, statistics.median(seconds)])
    return {"title": title, "x": x, "unit": unit, "points": points}
