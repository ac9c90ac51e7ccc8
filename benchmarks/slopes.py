"""What growth comes to: milliseconds by size, slopes, and megabytes."""

import math

from benchmarks.markdown import TIMES, milliseconds, table


def slope(sizes, seconds) -> float | None:
    """Of log seconds by log size, over the last two that were measured."""
    if len(seconds) < 2:
        return None
    small, large = sizes[len(seconds) - 2 : len(seconds)]
    return math.log(seconds[-1] / seconds[-2]) / math.log(large / small)


def summary(result: dict) -> str:
    """A line of every fit: its slopes along all axes, and the memory of a call."""
    n, d = result["memory_of"]
    heads = ["", *(axis["axis"] for axis in result["growth"]), f"MB, {n:,} {TIMES} {d}"]
    rows = []
    for place, (name, peak) in enumerate(result["peak_memory_mb"].items()):
        slopes = [_slope_of(axis, axis["rows"][place]) for axis in result["growth"]]
        rows.append([f"`{name}`", *slopes, peak if isinstance(peak, str) else f"{peak:.0f}"])
    return table(heads, rows)


def markdown(result: dict) -> str:
    """A table of every axis: milliseconds by size."""
    parts = []
    for axis in result["growth"]:
        sizes = [f"{size:,}" for size in axis["sizes"]]
        rows = []
        for row in axis["rows"]:
            cells = [*map(milliseconds, row["seconds"]), row["error"] or "", *[""] * len(sizes)]
            rows.append([f"`{row['name']}`", *cells[: len(sizes)], _slope_of(axis, row)])
        parts.append(f"**{result['title']}: ms by {axis['axis']}; {axis['beside']}**")
        parts.append(table(["", *sizes, "slope"], rows))
    return "\n\n".join(parts)


def _slope_of(axis: dict, row: dict) -> str:
    found = slope(axis["sizes"], row["seconds"])
    return "" if found is None else f"{found:.1f}"
