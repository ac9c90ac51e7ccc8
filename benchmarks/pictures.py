"""Pictures of results: where vectorizing pays, how times grow, how near the machine's limits."""

from matplotlib.figure import Figure

from benchmarks import report

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"  # Okabe and Ito, and a neutral
GREEN, PINK = "#009E73", "#CC79A7"


def of(results: list[dict]) -> dict[str, Figure]:
    """All that these results can show, by name."""
    curves = [curve for result in results for curve in result.get("curves", [])]
    pictures = {"break-even": break_even(curves), "scaling": scaling(curves)} if curves else {}
    worked = [
        (table["title"].split(", ")[0], report.work_of(table))
        for result in results
        for table in report.tables(result)
        if report.work_of(table) and all(report.work_of(table))
    ]
    return pictures | ({"roofline": roofline(worked, results[0]["machine"])} if worked else {})


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
    axes.set_title(report.place(about), fontsize=11)
    axes.set_xlabel("FLOPs per byte, as the compiler counts them", fontsize=11)
    axes.set_ylabel("GFLOP/s", fontsize=11)
    axes.legend(fontsize=8, frameon=False, loc="lower right")
    axes.grid(alpha=0.3)
    return figure
