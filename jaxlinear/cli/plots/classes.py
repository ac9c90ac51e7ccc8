"""Where decisions are wrong, and what their probabilities are worth."""

import functools
import itertools
from collections.abc import Sequence

import jax
import numpy as np
from matplotlib.figure import Figure

from jaxlinear.cli.plots.drawing import (
    BLUE,
    GREY,
    MANY,
    PALETTE,
    TICK,
    colorbar,
    describe,
    labels,
    name_cells,
    names_of,
)
from jaxlinear.model import metrics
from jaxlinear.model.metrics.forms import log_odds


def confusion_matrix(y, predicted, names: Sequence[str]) -> Figure:
    """How many examples of each true class (rows) were given to each class (columns).

    ``y`` and ``predicted`` are labels (n,). The colour is the fraction of the row, the number
    the count; beyond 20 classes the colour alone.
    """
    names, k = names_of(names, len(names)), len(names)
    y = labels(y, "y", names)
    predicted = labels(predicted, "predicted", names, len(y))
    counts = np.bincount(y * k + predicted, minlength=k * k).reshape(k, k)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # a class may be absent
    side = max(4.0, min(0.65 * k, 10.0))
    figure = Figure(figsize=(side + 2.6, side + 1.6), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts if k <= MANY else np.empty((0, 0))):
        color = "white" if fractions[row, column] > 0.5 else "black" if count else GREY
        style = {"color": color, "fontsize": TICK if k <= 12 else 9}
        axes.text(column, row, count, ha="center", va="center", **style)
    name_cells(axes, names, names)
    title = f"Accuracy {np.mean(y == predicted):.1%} of {len(y):,} examples"
    describe(axes, title, "Predicted class", "True class")
    colorbar(axes, drawn, "Fraction of the true class")
    return figure


def roc_curves(o, y, names: Sequence[str]) -> Figure:
    """The ROC curve of every class against all others, or, of two, of the second.

    ``o`` are the outputs of the model, logits (n,) of class 1 or (n, k); ``y`` are labels (n,), and
    ``names`` those of the classes. Beyond 20 classes only the mean area is told.
    """
    names, o = names_of(names, len(names), longest=16), _logits(o)
    y = labels(y, "y", names, len(o))
    figure = Figure(figsize=(6.4, 5.8), layout="constrained")
    axes = figure.subplots()
    classes = [1] if o.ndim == 1 else range(o.shape[1])
    curves, areas = jax.device_get(_ranked(o, y[:, None] == np.asarray(classes)))
    styles = itertools.product(("-", "-.", ":"), PALETTE)  # of many classes no two look alike
    drawn = zip(zip(*curves, strict=True), areas, classes, itertools.cycle(styles))
    for (false, true, _), area, label, (line, color) in drawn:
        text = f"{names[label]}, area {area:.3f}" if len(classes) <= MANY // 2 else None
        axes.plot(false, true, line, linewidth=2, alpha=0.85, label=text, color=color)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.5, label="by chance")
    axes.set_aspect("equal")
    axes.legend(fontsize=TICK, frameon=False, loc="lower right")
    title = f"ROC AUC {np.nanmean(areas):.3f} of {len(y):,} examples"
    describe(axes, title, "False positives", "True positives")
    return figure


@jax.jit
def _ranked(o, of_class):
    """The ROC curves (k, n + 1) and areas (k,) of all classes, (n, k), by the odds of o."""
    scores = o[:, None] if o.ndim == 1 else log_odds(o)
    both = jax.vmap(lambda *pair: (metrics.roc_curve(*pair), metrics.roc_auc(*pair)), 1)
    return both(scores, of_class)


def calibration_curve(o, y, bins: int = 10) -> Figure:
    """Predicted probabilities against what has come true, with the examples in every bin below.

    ``o`` and ``y`` are as in ``roc_curves``: the probability is that of class 1, or, of more than
    two classes, of the class that is predicted.
    """
    o, y = _logits(o), np.asarray(y)
    jax.eval_shape(lambda: metrics.calibration_curve(o, y, bins=bins))  # checks values
    curve, error = jax.device_get(_calibrated(o, y, bins))
    figure = Figure(figsize=(5.8, 6.4), layout="constrained")
    axes, below = figure.subplots(2, sharex=True, height_ratios=[4, 1])
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1.5, label="predicted = true")
    kept = curve.weight > 0
    axes.plot(
        curve.predicted[kept],
        curve.observed[kept],
        color=BLUE,
        linewidth=2.5,
        marker="o",
        markersize=7,
        label="the model",
    )
    axes.legend(fontsize=TICK, frameon=False, loc="upper left")
    describe(
        axes,
        f"Calibration error {error:.3f} of {len(o):,} examples",
        "Predicted probability",
        "Observed share",
    )
    middle = (np.arange(bins) + 0.5) / bins
    below.bar(middle, curve.weight, width=0.9 / bins, color=BLUE)
    describe(below, "How many there are", "Predicted probability", "Examples")
    return figure


@functools.partial(jax.jit, static_argnames="bins")
def _calibrated(o, y, bins: int):
    curve, error = metrics.calibration_curve, metrics.calibration_error
    return curve(o, y, bins=bins), error(o, y, bins=bins)


def _logits(o) -> np.ndarray:
    """Outputs as one logit (n,), where there are two classes, or as (n, k)."""
    o = np.asarray(o, float)
    return o[:, 1] - o[:, 0] if o.ndim == 2 and o.shape[1] == 2 else o
