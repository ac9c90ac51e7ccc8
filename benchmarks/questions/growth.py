"""How do time and memory grow with the examples, the features, the outputs and the models?

One of them grows by decades while the others stay. The slope is that of log time over the last
decade: 1 where ten times the size takes ten times as long, 0 where it takes no longer. Memory is
what one call takes beyond its data, in a process of its own, compiling included.
"""

import json
import statistics
from collections.abc import Callable
from typing import NamedTuple

import jax

from benchmarks import calls, fresh, machine
from benchmarks.harness import clock, describe

_LONGEST = 10.0  # seconds of a call, beyond which the next size is not tried
_BUDGET, _CALLS = 1.0, 7  # seconds of repeated calls, and the most of them
_LARGE = (100_000, 100)  # examples and features where memory is measured
_MADE_OF_OTHERS = ("glm_cv", "linear_probe")  # paths and fits, that take minutes to compile


class Axis(NamedTuple):
    """What grows, beside what stays: ``data(size)``, and ``call(fit, data, size)`` to be timed."""

    name: str
    beside: str
    sizes: tuple[int, ...]
    data: Callable[[int], calls.Data]
    call: Callable = lambda fit, data, _: lambda: fit(data, 3)


def _stacked(m: int) -> calls.Data:
    """m models of 100 examples of their own."""
    flat = calls.data(100 * m, 10)
    own = [leaf.reshape(m, 100, *leaf.shape[1:]) for leaf in flat[:5]]
    return calls.Data(*own, flat.held_out[:100], flat.l2s)


def _of_stacked(fit: Callable, data: calls.Data, _) -> Callable:
    axes = calls.Data(0, 0, 0, 0, 0, None, None)
    each = jax.jit(jax.vmap(lambda of: fit(of, 3), (axes,)))
    return lambda: each(data)


AXES = (
    Axis("examples n", "d = 20", (100, 1_000, 10_000, 100_000), lambda n: calls.data(n, 20)),
    Axis("features d", "n = 1,000", (3, 30, 300, 3_000), lambda d: calls.data(1_000, d)),
    Axis(
        "outputs k",
        "n = 1,000, d = 20: k classes where there are labels, else k targets",
        (2, 20, 200, 2_000),
        lambda k: calls.data(1_000, 20, k, classes=k),
        lambda fit, data, k: lambda: fit(data, k),
    ),
    Axis(
        "models",
        "n = 100 and d = 10 of each, under jit(vmap)",
        (1, 10, 100, 1_000),
        _stacked,
        _of_stacked,
    ),
)

_PEAK = """
import json, sys
import jax
from benchmarks import calls, peak_memory
name, n, d = json.loads(sys.argv[1])
data = jax.device_put(calls.data(n, d))
before = peak_memory.peak()
calls.report_of(jax.block_until_ready(calls.FITS[name](data, 3)))
print(peak_memory.peak() - before)
"""


def answer(*, directory=None, fast: bool = False, rounds: int = _CALLS, say=print) -> dict:
    """A table of milliseconds and slopes for every axis, and the memory of every fit."""
    names = [name for name in calls.FITS if name not in _MADE_OF_OTHERS]
    fits = {name: calls.FITS[name] for name in (names[:2] if fast else names)}
    growth = []
    for axis in AXES:
        sizes = axis.sizes[:2] if fast else axis.sizes
        rows = [{"name": name, "seconds": [], "error": None} for name in fits]
        for size in sizes:
            say(f"{axis.name} {size:,}")
            for row, fit in zip(rows, fits.values(), strict=True):
                _add(row, axis, fit, size, min(rounds, 1 if fast else _CALLS))
        growth.append({"axis": axis.name, "beside": axis.beside, "sizes": sizes, "rows": rows})
    return {
        "question": "growth",
        "title": "How times grow" + (" (smoke test)" if fast else ""),
        "growth": growth,
        "peak_memory_mb": {name: _peak(name, fast) for name in fits},
        "memory_of": (1_000, 10) if fast else _LARGE,
        "machine": machine.describe(fast=fast),
    }


def _add(row: dict, axis: Axis, fit: Callable, size: int, rounds: int) -> None:
    """The median of one more size, unless one before failed or took too long."""
    seconds = row["seconds"]
    if row["error"] or (seconds and seconds[-1] > _LONGEST):
        return
    try:
        call = axis.call(fit, axis.data(size), size)
        calls.report_of(clock(call)[1])
        spent = [clock(call)[0]]
        while len(spent) < rounds and sum(spent) < _BUDGET:
            spent.append(clock(call)[0])
        seconds.append(statistics.median(spent))
    except Exception as error:
        row["error"] = describe(error)
    finally:
        jax.clear_caches()


def _peak(name: str, fast: bool) -> float | str:
    try:
        n, d = (1_000, 10) if fast else _LARGE
        return float(fresh.last_line("-c", _PEAK, json.dumps([name, n, d])))
    except RuntimeError as error:
        return str(error)
