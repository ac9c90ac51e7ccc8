"""Predicted numbers beside those observed."""

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from jaxlinear.cli.plots.drawing import BLUE, LABEL, ORANGE, describe, plain
from jaxlinear.model import metrics

_POINTS = 20_000  # that are drawn, at most


def predictions(y, predicted, name: str = "target") -> Figure:
    """Predicted against true values, both (n,), with the diagonal on which they agree."""
    y, predicted = _pair(y, predicted)
    r2 = metrics.r2(jnp.asarray(predicted, float), jnp.asarray(y, float))
    figure = Figure(figsize=(6.2, 6.2), layout="constrained")
    axes = figure.subplots()
    some = _shown(y - predicted)
    axes.scatter(y[some], predicted[some], s=22, **_points(len(some)))
    ends = min(y.min(), predicted.min()), max(y.max(), predicted.max())
    axes.plot(ends, ends, color=ORANGE, linewidth=2, linestyle="--", label="predicted = true")
    axes.set_aspect("equal")
    axes.legend(fontsize=LABEL, frameon=False, loc="upper left")
    title = f"R² = {r2:.3f} on {len(y):,} examples"
    describe(axes, title, f"True {plain(name)}", f"Predicted {plain(name)}")
    return figure


def residuals(y, predicted, name: str = "target") -> Figure:
    """What is left, true − predicted, against the predictions, with its mean in ten equal parts.

    A curve or a funnel says that the model is not the right one: a term is missing, or the
    spread grows with the mean.
    """
    y, predicted = _pair(y, predicted)
    left = y - predicted
    figure = Figure(figsize=(6.8, 5.2), layout="constrained")
    axes = figure.subplots()
    some = _shown(left)
    axes.scatter(predicted[some], left[some], s=22, **_points(len(some)))
    axes.axhline(0, color="black", linewidth=1)
    order = np.argsort(predicted, kind="stable")
    parts = np.array_split(order, min(10, max(1, len(y) // 5)))
    means = np.array([[predicted[part].mean(), left[part].mean()] for part in parts])
    style = {"color": ORANGE, "linewidth": 2.5, "marker": "o", "label": "mean of a tenth"}
    axes.plot(*means.T, **style)
    axes.legend(fontsize=LABEL, frameon=False)
    title = f"Residuals of {len(y):,} examples, root mean square {np.sqrt(np.mean(left**2)):.4g}"
    describe(axes, title, f"Predicted {plain(name)}", "True minus predicted")
    return figure


def _pair(y, predicted) -> tuple[np.ndarray, np.ndarray]:
    y, predicted = np.asarray(y, float), np.asarray(predicted, float)
    if y.ndim != 1 or y.shape != predicted.shape or not y.size:
        shapes = f"y has shape {y.shape}, predicted {predicted.shape}"
        raise ValueError(f"{shapes}; expected (n,) twice. Draw one output at a time: y[:, 0].")
    return y, predicted


def _shown(left: np.ndarray) -> np.ndarray:
    """The rows that are drawn: of many some, at equal distances, and those that are farthest off.

    More would only be drawn over each other, for seconds.
    """
    if len(left) <= _POINTS:
        return np.arange(len(left))
    regular = np.linspace(0, len(left) - 1, _POINTS).astype(int)
    return np.union1d(regular, np.argsort(np.abs(left))[-100:])


def _points(n: int) -> dict:
    """The style of n points; of many, each hides less of the others."""
    return {"color": BLUE, "alpha": float(np.clip(200 / n, 0.05, 0.7)), "linewidths": 0}
