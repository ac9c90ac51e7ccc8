"""Pictures of results: where vectorizing pays, how times grow, how near the machine's limits."""

import bisect
import statistics

from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from benchmarks import glance
from benchmarks.grid import tables as cell_tables

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"  # Okabe and Ito, and a neutral
GREEN, PINK = "#009E73", "#CC79A7"


def of(results: list[dict]) -> dict[str, Figure]:
    """All that these results can show, by name."""
    curves = [curve for result in results for curve in result.get("curves", [])]
    pictures = {"break-even": break_even(curves), "scaling": scaling(curves)} if curves else {}
    worked = [
        (table["title"].split(", ")[0], glance.work_of(table))
        for result in results
        for table in glance.tables(result)
        if glance.work_of(table) and all(glance.work_of(table))
    ]
    if worked:
        pictures["roofline"] = roofline(worked, results[0]["machine"])
    cells = [cell for result in results for cell in result.get("cells", [])]
    return pictures | ({"grid": heat_map(cells)} if cells else {})


def break_even(curves: list[dict]) -> Figure:
    """How many times quicker the last way of each curve is than the others, by size."""
    figure, panels = _panels(len(curves))
    for axes, curve in zip(panels, curves, strict=True):
        *loops, vectorized = curve["points"]
        lowest = 0.5
        for name, colour, mark in zip(loops, (ORANGE, PINK, GREEN), "os^", strict=False):
            sizes, ratios = [], []
            for (size, slow), (_, quick) in zip(
                curve["points"][name], curve["points"][vectorized], strict=True
            ):
                sizes.append(size)
                ratios.append(slow / quick)
            lowest = min(lowest, *ratios)
            axes.plot(sizes, ratios, color=colour, marker=mark, label=f"than {name}")
        axes.axhspan(lowest / 2, 1, color=GREY, alpha=0.2, lw=0)
        axes.text(sizes[-1], 0.98, "slower", color=GREY, ha="right", va="top", fontsize=11)
        _describe(axes, curve, f"{vectorized}: times quicker")
        axes.set_ylim(bottom=lowest / 2)
    return figure


def scaling(curves: list[dict]) -> Figure:
    """The seconds of all ways, by size."""
    figure, panels = _panels(len(curves))
    for axes, curve in zip(panels, curves, strict=True):
        colours = (ORANGE, PINK, BLUE) if len(curve["points"]) == 3 else (ORANGE, BLUE)
        for (name, points), colour, mark in zip(
            curve["points"].items(), colours, "os^", strict=False
        ):
            axes.plot(*zip(*points, strict=True), color=colour, marker=mark, label=name)
        _describe(axes, curve, f"seconds per {curve['unit']}")
    return figure


def _panels(number: int):
    """A figure with so many axes, two in a row."""
    columns = min(number, 2)
    rows = -(-number // columns)
    figure = Figure(figsize=(5.5 * columns, 4 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flat
    for empty in panels[number:]:
        empty.remove()
    return figure, panels[:number]


def _describe(axes, curve: dict, y: str) -> None:
    axes.set(xscale="log", yscale="log")
    axes.set_title(curve["title"], fontsize=11)
    axes.set_xlabel(curve["x"], fontsize=11)
    axes.set_ylabel(y, fontsize=11)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=9, frameon=False)


def roofline(worked: list[tuple[str, tuple]], about: dict) -> Figure:
    """GFLOP/s against FLOPs per byte, under what memory and arithmetic allow (Williams, 2009)."""
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    peak, read = about["matrix_product_gflops"], about["memory_read_gb_per_s"]
    intensities = [gflops / gbytes for _, (gflops, gbytes) in worked]
    ends = min(0.05, *intensities) / 2, max(100.0, *intensities) * 2
    corner = peak / read
    axes.plot([ends[0], corner, ends[1]], [ends[0] * read, peak, peak], color=GREY)
    for (name, (gflops, _)), intensity, mark in zip(worked, intensities, "os^Dv<>P*X" * 3,
                                                    strict=False):  # fmt: skip
        axes.plot(intensity, gflops, mark, markersize=9, label=name)
    axes.set(xscale="log", yscale="log", xlim=ends)
    axes.set_title(glance.place(about), fontsize=11)
    axes.set_xlabel("FLOPs per byte, as the compiler counts them", fontsize=11)
    axes.set_ylabel("GFLOP/s", fontsize=11)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    axes.grid(alpha=0.3)
    return figure


_N = (50, 300, 1_000, 3_000, 10_000, 30_000, 100_000)  # where the rows of a heat map begin
_D = (1, 10, 30, 100, 300, 1_000, 3_000, 10_000)
_K = {"one output, or two classes": (1, 2), "3 to 20": (3, 20), "more than 20": (21, 10**9)}


def heat_map(cells: list[dict]) -> Figure:
    """How many times as long the best rival takes, by n and d: the median of a square's cells.

    A number is the ratio; of several cells, the least is below it. Red is where a rival is quicker,
    a cross where jaxlinear missed the optimum.
    """
    figure = Figure(figsize=(15, 5), layout="constrained")
    panels = figure.subplots(1, len(_K), sharey=True)
    for axes, (title, (least, most)) in zip(panels, _K.items(), strict=True):
        squares, failing = {}, []
        for cell in cells:
            if least <= cell["k"] <= most:
                told = cell_tables.summary(cell)
                place = _place(_D, cell["d"]), _place(_N, cell["n"])
                if told.ratio is not None:
                    squares.setdefault(place, []).append(told.ratio)
                failing += [place] * bool(told.fails)
        image = _squares(axes, squares)
        if failing:
            axes.plot(*zip(*failing, strict=True), "x", color="black", markersize=22, mew=1)
        axes.set_title(f"k: {title}", fontsize=11)
        axes.set_xticks(range(len(_D)), _ranges(_D), rotation=45)
        axes.set_yticks(range(len(_N)), _ranges(_N))
        axes.set_xlabel("d, from", fontsize=11)
    panels[0].set_ylabel("n, from", fontsize=11)
    figure.colorbar(image, ax=panels, label="best rival / jaxlinear", extend="both")
    return figure


def _squares(axes, squares: dict):
    grid = [[float("nan")] * len(_D) for _ in _N]
    for (i, j), ratios in squares.items():
        grid[j][i] = statistics.median(ratios)
        low = f"\n{min(ratios):.2g}" if len(ratios) > 1 else ""
        axes.text(i, j, f"{grid[j][i]:.2g}{low}", ha="center", va="center", fontsize=8)
    axes.set_facecolor("#eeeeee")
    return axes.imshow(
        grid, cmap="RdBu", norm=LogNorm(0.1, 10), origin="lower", aspect="auto", alpha=0.8
    )


def _place(begins: tuple, size: int) -> int:
    return max(0, bisect.bisect_right(begins, size) - 1)


def _ranges(begins: tuple) -> list[str]:
    return [f"{begin:,}" if i else f"< {begins[1]:,}" for i, begin in enumerate(begins)]
