"""The curves of many models, by epoch."""

import textwrap

import numpy as np
from jaxtyping import PyTree
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxlinear.cli.plots.drawing import BLUE, DECADES, GREY, ORANGE, TICK, TITLE, describe, plain
from jaxlinear.cli.plots.hypers import greatest_is_best, in_words, leaves_of, shown
from jaxlinear.types import Fit, Status

_FEW = 10  # models that are a line each: quantiles of fewer would claim to know more


def many_curves(
    fits, hypers: PyTree = None, *, metric: str | None = None, best: str | None = None
) -> Figure:
    """The curves of many models by epoch: the middle 90 % and 50 %, the median, and the best.

    ``fits`` is what ``jl.sweep`` returns: a ``Fit`` whose history is (models, epochs), of which
    ``metric`` draws one of ``validation`` instead; or an array (models, epochs), which ``metric``
    names. ``hypers``, with a leading axis of models, name the best model, which has the ``best``
    last value: "least" or "greatest"; None goes by the name of the metric. Models that diverged,
    by their status or, in an array, by any NaN or inf, are left out and counted; those of a ``Fit``
    that stopped early keep their last value. Up to 10 models are a line each.

    Raises ValueError for other shapes, and for a metric that is not there.

    >>> history = 1 / np.linspace(0.1, 1, 40)[:, None] + np.zeros(5)
    >>> figure = many_curves(history, {"lr": np.linspace(0.1, 1, 40)})
    >>> print(figure.axes[0].get_title())
    Training objective of 40 models
    """
    curves, name = _curves(fits, metric)
    greatest = greatest_is_best(name, best)
    models, finite = len(curves), np.isfinite(curves).all(axis=1)
    kept = curves[finite]
    leaves = {} if hypers is None else leaves_of(hypers, models)
    figure = Figure(figsize=(7.6, 5.4), layout="constrained")
    axes = figure.subplots()
    if len(kept):
        drawn = _lines(axes, kept) if len(kept) <= _FEW else _bands(axes, kept)
        last = kept[:, -1] if greatest else -kept[:, -1]
        chosen = int(np.flatnonzero(finite)[np.argmax(last)])
        words = plain(in_words(leaves, chosen)) or f"model {chosen}"
        label = textwrap.fill(f"best at the end, {shown(curves[chosen, -1])}: {words}", 75)
        _line(axes, curves[chosen], color=ORANGE, linewidth=2.5, label=label, zorder=5)
        least = min(drawn.min(), curves[chosen].min())
        if least > 0 and drawn.max() >= DECADES * least:
            axes.set_yscale("log")
    else:
        style = {"ha": "center", "color": GREY, "fontsize": TITLE, "transform": axes.transAxes}
        axes.text(0.5, 0.5, "nothing to draw", **style)
        axes.set_yticks([])
    if len(kept) < models:
        text = f"{models - len(kept):,} of {models:,} diverged: left out"
        axes.plot([], [], linestyle="none", label=text)
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    axes.set_xlim(0.5, curves.shape[1] + 0.5)
    figure.legend(fontsize=TICK, frameon=False, loc="outside lower left")
    title = f"{name} of {models:,} model{'s' if models > 1 else ''}"
    describe(axes, plain(title), "Epoch", plain(name))
    return figure


def _curves(fits, metric: str | None) -> tuple[np.ndarray, str]:
    """Curves (models, epochs), of NaN where a model diverged, and their name."""
    if not isinstance(fits, Fit):
        curves, name = np.asarray(fits, float), metric or "Training objective"
        return _required(curves, "fits"), name
    if metric is None:
        curves, name, argument = fits.history, "Training objective", "fits.history"
    else:
        there = sorted(fits.validation or ())
        if metric not in there:
            raise ValueError(f"metric is {metric!r}; expected one of fits.validation: {there}.")
        curves, name = fits.validation[metric], f"Validation {metric}"
        argument = f"fits.validation[{metric!r}]"
    curves = _required(np.asarray(curves, float), argument)
    lost = np.isin(np.asarray(fits.report.status), (Status.DIVERGED, Status.NONFINITE_INPUT))
    place = np.where(np.isnan(curves), 0, np.arange(curves.shape[1]))
    last = np.maximum.accumulate(place, axis=1)
    curves = np.take_along_axis(curves, last, axis=1)  # what they were before an early stop
    return np.where(lost[:, None], np.nan, curves), name


def _required(curves: np.ndarray, argument: str) -> np.ndarray:
    if curves.ndim != 2 or not curves.size:
        raise ValueError(
            f"{argument} has shape {curves.shape}; expected (models, epochs), as the history of "
            "the fits that jl.sweep returns. For one model there is learning_curves."
        )
    return curves


def _lines(axes: Axes, curves: np.ndarray) -> np.ndarray:
    """A line for each; what was drawn."""
    for place, curve in enumerate(curves):
        label = f"each of {len(curves)}" if place == 0 else None
        _line(axes, curve, color=GREY, linewidth=1.2, alpha=0.7, label=label)
    return curves


def _bands(axes: Axes, curves: np.ndarray) -> np.ndarray:
    """The middle 90 % and 50 %, and the median; what was drawn."""
    ends = np.quantile(curves, (0.05, 0.25, 0.5, 0.75, 0.95), axis=0)
    epochs = np.arange(1, curves.shape[1] + 1.0)
    if len(epochs) == 1:  # a band needs a width
        epochs, ends = np.array([0.7, 1.3]), np.repeat(ends, 2, axis=1)
    style = {"color": BLUE, "linewidth": 0}
    label = f"5 to 95 % of {len(curves):,} models"
    axes.fill_between(epochs, ends[0], ends[4], alpha=0.18, label=label, **style)
    axes.fill_between(epochs, ends[1], ends[3], alpha=0.3, label="25 to 75 %", **style)
    axes.plot(epochs, ends[2], color=BLUE, linewidth=2.5, label="median")
    return ends


def _line(axes: Axes, curve: np.ndarray, **style) -> None:
    marker = "o" if len(curve) == 1 else None
    axes.plot(range(1, len(curve) + 1), curve, marker=marker, **style)
