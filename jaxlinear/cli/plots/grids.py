"""A score by two hyper-parameters."""

import textwrap

import numpy as np
from jaxtyping import PyTree
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from jaxlinear.cli.plots.drawing import MANY, ORANGE, TICK, colorbar, describe, plain
from jaxlinear.cli.plots.hypers import (
    all_shown,
    greatest_is_best,
    in_words,
    leaves_of,
    numbers_of,
    shown,
)

_NUMBERS = 16  # columns beyond which numbers in cells cannot be read


def heat_map(
    hypers: PyTree,
    scores,
    *,
    name: str = "Score",
    best: str | None = None,
    axes: tuple[str, str] | None = None,
) -> Figure:
    """The scores of a grid of hyper-parameters as colours, by two of them, and the best of all.

    ``hypers`` is what was swept over, such as ``jl.grid``'s, and ``scores`` (models,). ``name`` is
    that of the scores, and the ``best`` of them is the "least" or "greatest"; None goes by the
    name. ``axes`` names the hyper-parameters across and up; None takes the first two that have
    more than one value. A cell shows the best over all others. Cells without a finite score are
    hatched. Bright is good; where some scores are far worse than most, the scale ends before them,
    in an arrow.

    Raises ValueError for other shapes, and where ``hypers`` are no grid.

    >>> hypers = jl.grid(lr=[0.01, 0.1, 1.0], l2=[0.0, 1e-5])
    >>> figure = heat_map(hypers, [0.4, 0.4, 0.2, 0.3, np.nan, np.nan], name="Validation error")
    >>> print(figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel())
    lr l2
    """
    scores = np.asarray(scores, float)
    if scores.ndim != 1 or not scores.size:
        raise ValueError(f"scores has shape {scores.shape}; expected (models,), one per model.")
    greatest = greatest_is_best(name, best)
    leaves = leaves_of(hypers, len(scores))
    across, up = _axes(leaves, axes)
    columns, column = np.unique(leaves[across], return_inverse=True)
    rows, row = np.unique(leaves[up], return_inverse=True)
    if len(rows) * len(columns) > 2 * len(scores):
        raise ValueError(
            f"hypers has {len(scores):,} models at {len(columns):,} values of {across} and "
            f"{len(rows):,} of {up}; expected a grid, such as jl.grid's, or other axes."
        )
    sign = 1 if greatest else -1
    good = np.where(np.isfinite(scores), sign * scores, -np.inf)
    cells = np.full((len(rows), len(columns)), -np.inf)
    np.maximum.at(cells, (row, column), good)
    cells = np.where(np.isfinite(cells), sign * cells, np.nan)

    size = np.clip((0.62 * len(columns) + 3.4, 0.42 * len(rows) + 3), (6, 4), (13, 9))
    figure = Figure(figsize=size, layout="constrained")
    picture = figure.subplots()
    picture.patch.set(facecolor="0.93", edgecolor="0.6", hatch="///")  # what no colour covers
    others = [key for key, leaf in leaves.items() if (leaf != leaf[:1]).any()]
    others = [key for key in others if key not in (across, up)]
    over = f", the best over {' and '.join(others)}" if others else ""
    title = f"{name}: no model has a finite one"
    handles = []
    if np.isfinite(cells).any():
        _colours(picture, cells, greatest, textwrap.fill(plain(name + over), 40))
        chosen = int(np.argmax(good))
        corner = column[chosen] - 0.5, row[chosen] - 0.5
        style = {"fill": False, "edgecolor": ORANGE, "linewidth": 3.5}
        picture.add_patch(Rectangle(corner, 1, 1, clip_on=False, zorder=3, **style))
        handles.append(Patch(label="the best", **style))
        words = in_words(leaves, chosen).replace(" = ", "\u00a0=\u00a0")  # stay on one line
        title = f"{name} {shown(scores[chosen])} at {words}"
    if lost := int(np.isnan(cells).sum()):
        text = f"no finite score: {lost:,} of {cells.size:,} cells"
        handles.append(Patch(facecolor="0.93", edgecolor="0.6", hatch="///", label=text))
    _name_values(picture, columns, rows)
    figure.legend(handles=handles, fontsize=TICK, frameon=False, loc="outside lower left", ncols=2)
    describe(picture, textwrap.fill(plain(title), int(6 * size[0])), plain(across), plain(up))
    return figure


def _axes(leaves: dict[str, np.ndarray], asked: tuple[str, str] | None) -> list[str]:
    """The names of the hyper-parameters across and up."""
    numbers = numbers_of(leaves)
    names = sorted(numbers, key=lambda name: len(np.unique(numbers[name])) == 1)  # stable
    names = names[:2] if asked is None else list(asked)
    if len(names) != 2 or names[0] == names[1] or not set(names) <= set(numbers):
        got = f"hypers has the numbers {sorted(numbers)}" + (f", axes is {asked}" if asked else "")
        raise ValueError(f"{got}; expected two of them. For one there is penalty_curve.")
    return names


def _colours(axes: Axes, cells: np.ndarray, greatest: bool, label: str) -> None:
    """The cells, with their numbers where there is room, and the scale."""
    finite = cells[np.isfinite(cells)]
    least, most = finite.min(), finite.max()
    best, middle = (most if greatest else least), np.median(finite)
    end, extend = best + 10 * (middle - best), "neither"  # a few that failed would take all colours
    if not greatest and best < middle and most > end:
        most, extend = end, "max"
    elif greatest and best > middle and least < end:
        least, extend = end, "min"
    logarithmic = least > 0 and most >= 10 * least
    norm = (LogNorm if logarithmic else Normalize)(least, most)
    style = {"cmap": "viridis" if greatest else "viridis_r", "aspect": "auto", "origin": "lower"}
    drawn = axes.imshow(cells, norm=norm, **style)
    colorbar(axes, drawn, label, extend=extend)
    if cells.shape[1] <= _NUMBERS and len(cells) <= MANY:
        for (row, column), score in np.ndenumerate(cells):
            if np.isfinite(score):
                dark = np.dot(drawn.cmap(norm(score))[:3], (0.3, 0.6, 0.1)) < 0.5
                style = {"color": "white" if dark else "black", "fontsize": 9}
                axes.text(column, row, shown(score), ha="center", va="center", **style)


def _name_values(axes: Axes, columns: np.ndarray, rows: np.ndarray) -> None:
    """The values beside their cells, of many only every so many."""
    for values, axis in ((columns, axes.xaxis), (rows, axes.yaxis)):
        step = -(-len(values) // MANY)
        axis.set_ticks(range(0, len(values), step), all_shown(values)[::step])
    long = max(map(len, all_shown(columns))) > 5 or len(columns) > _NUMBERS
    axes.tick_params(axis="x", rotation=45 if long else 0)
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(rows) - 0.5))
