"""Weights by the names of their features."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jaxlinear.cli.plots.drawing import (
    BLUE,
    GREY,
    MANY,
    ORANGE,
    TICK,
    TITLE,
    colorbar,
    describe,
    name_cells,
    names_of,
)
from jaxlinear.types import Linear

_BESIDE = 4  # outputs with intervals in one row of panels


def weights_by_feature(
    params: Linear, features: Sequence[str], names: Sequence[str], *, interval=None
) -> Figure:
    """The largest weights, of at most 20 features, the largest on top.

    Bars for one output, ``params.w`` (d,) or (1, d); for k outputs, (k, d), a heat map of
    features × outputs, by the largest |weight| of each feature. ``names`` are the outputs'.
    ``interval`` are the arrays (low, high), shaped like w, between which each weight is likely to
    lie: then every output has a panel of points with error bars, grey where they include 0. A
    weight whose ends are NaN or inf has no bar, and the title counts them.

    Raises ValueError for names or intervals of another shape, and for ends that are the wrong way
    round.
    """
    w = np.atleast_2d(np.asarray(params.w, float))
    names, features = names_of(names, len(w)), names_of(features, w.shape[-1], "features", 32)
    largest = np.argsort(-np.abs(w).max(axis=0), kind="stable")[:MANY]
    many = f"the {MANY} largest of {len(features):,}" if len(features) > MANY else "all"
    shown = w[:, largest], [features[index] for index in largest], names
    if interval is not None:
        ends = _ends(interval, np.shape(params.w)).reshape(2, *w.shape)[:, :, largest]
        return _with_intervals(*shown, ends, many)
    if len(w) == 1:
        return _bars(*shown, many)
    return _cells(*shown, many)


def _bars(w: np.ndarray, features: list[str], names: list[str], many: str) -> Figure:
    figure = _figure(8.0, len(features))
    axes = figure.subplots()
    axes.barh(range(len(features)), w[0], color=np.where(w[0] < 0, ORANGE, BLUE))
    axes.set_yticks(range(len(features)), features)
    axes.axvline(0, color="black", linewidth=1)
    axes.invert_yaxis()
    describe(axes, f"Weights for {names[0]}, {many} features", "Weight", "Feature")
    return figure


def _cells(w: np.ndarray, features: list[str], names: list[str], many: str) -> Figure:
    figure = _figure(0.6 * len(w) + 5.5, len(features))
    axes = figure.subplots()
    scale = CenteredNorm(halfrange=np.abs(w).max() or 1.0)
    drawn = axes.imshow(w.T, cmap="RdBu_r", norm=scale, aspect="auto")
    name_cells(axes, features, names)
    describe(axes, f"Weights, {many} features", "Output", "Feature")
    colorbar(axes, drawn, "Weight")
    return figure


def _with_intervals(w, features: list[str], names: list[str], ends: np.ndarray, many: str):
    """A panel of points with error bars for every output, all with the same features."""
    columns = min(len(w), _BESIDE)
    rows = -(-len(w) // columns)
    figure = _figure(max(8.0, 2.2 + 3.0 * columns), rows * len(features), rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.flat[len(w) :]:
        axes.axis("off")
    for axes, weights, low, high, name in zip(panels.flat, w, *ends, names, strict=False):
        _points(axes, weights, low, high)
        describe(axes, name, "Weight", "Feature" if axes in panels[:, 0] else "")
        axes.tick_params(labelbottom=True)  # also above a place without a panel
    panels[0, 0].set_yticks(range(len(features)), features)
    panels[0, 0].set_ylim(len(features) - 0.5, -0.5)  # shared by all
    missing = int((~np.isfinite(ends)).any(axis=0).sum())
    title = f"Weights with intervals, {many} features"
    title += f"; {missing:,} without one" if missing else ""
    figure.suptitle(title, fontsize=TITLE)
    style = {"marker": "o", "linewidth": 2.5}
    kinds = {"below 0": ORANGE, "above 0": BLUE, "the interval includes 0": GREY}
    handles = [Line2D([], [], color=color, label=label, **style) for label, color in kinds.items()]
    figure.legend(
        handles=handles, fontsize=TICK, frameon=False, loc="outside lower center", ncols=3
    )
    return figure


def _points(axes: Axes, w: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
    places, known = np.arange(len(w)), np.isfinite(low) & np.isfinite(high)
    color = np.select([~known, low > 0, high < 0], [GREY, BLUE, ORANGE], GREY)
    axes.axvline(0, color="black", linewidth=1)
    style = {"colors": color[known], "linewidth": 2.5}
    axes.hlines(places[known], low[known], high[known], **style)
    axes.scatter(w, places, s=40, c=color, zorder=3)
    axes.grid(axis="y", color="0.93")
    axes.set_axisbelow(True)


def _ends(interval, shape: tuple[int, ...]) -> np.ndarray:
    """Low and high, (2, …)."""
    try:
        low, high = (np.asarray(end, float) for end in interval)
    except (TypeError, ValueError) as error:
        got = f"interval is a {type(interval).__name__}"
        raise ValueError(f"{got}; expected two arrays, (low, high), shaped like w.") from error
    if low.shape != shape or high.shape != shape:
        got = f"interval has arrays of shapes {low.shape} and {high.shape}"
        raise ValueError(f"{got}; expected {shape} twice, as params.w.")
    if wrong := int((low > high).sum()):
        raise ValueError(
            f"interval has {wrong:,} weights whose low is above their high; expected (low, high)."
        )
    return np.stack([low, high])


def _figure(width: float, features: int, rows: int = 1) -> Figure:
    return Figure(figsize=(width, 0.35 * features + 2 * rows), layout="constrained")
