"""How a fit came about: by epochs, and by penalties."""

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxlinear.cli.plots.drawing import BLUE, LABEL, ORANGE, describe, plain


def learning_curves(
    history, validation: Mapping | None = None, held_out: str = "validation"
) -> Figure:
    """Training objective and validation loss by epoch, and a panel for every other metric.

    ``history`` is (epochs,), ``validation`` maps names such as "loss" and "accuracy" to
    (epochs,), as in ``Fit``, and ``held_out`` is the name of the rows that these are of. The NaN
    after an early stop are left out.
    """
    others = sorted(set(validation or ()) - {"loss"}, key=lambda name: (name != "accuracy", name))
    figure = Figure(figsize=(5.6 * (1 + len(others)), 4.4), layout="constrained")
    first, *panels = figure.subplots(1, 1 + len(others), squeeze=False)[0]
    _curve(first, history, "training objective", BLUE, "o")
    if validation and "loss" in validation:
        _curve(first, validation["loss"], f"{held_out} loss", ORANGE, "s")
    first.legend(fontsize=LABEL, frameon=False)
    describe(first, "Loss by epoch", "Epoch", "Loss")
    for axes, name in zip(panels, others, strict=True):
        values = _curve(axes, validation[name], name, ORANGE, "s")
        show = (lambda v, _=None: f"{100 * v:.4g}%") if name == "accuracy" else "{:.4g}".format
        title = (
            f"{held_out.capitalize()} {plain(name)}: {show(values[-1])} after epoch {len(values)}"
        )
        describe(axes, title, "Epoch", plain(name).capitalize())
        if name == "accuracy":
            axes.yaxis.set_major_formatter(show)
    return figure


def penalty_curve(l2s, scores, chosen) -> Figure:
    """The held-out loss of every penalty, and the choice.

    ``l2s`` is (m,), ``scores`` (m,) or (m, k), one curve for each of k labels, and ``chosen`` ()
    or (k,). Scores that are NaN are left out.
    """
    scores, chosen = np.asarray(scores, float), np.ravel(np.asarray(chosen, float))
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for label, curve in enumerate(scores.reshape(len(scores), -1).T):
        axes.semilogx(l2s, curve, color=BLUE, linewidth=2.5, marker="o", markersize=5)
        best = chosen[min(label, len(chosen) - 1)]
        place = np.argmin(np.abs(np.subtract(l2s, best)))  # it may have been rounded
        axes.plot(best, curve[place], color=ORANGE, marker="D", markersize=10, linestyle="none")
    title = f"Chosen: l2 = {chosen[0]:.3g}" if len(chosen) == 1 else "Chosen for every label"
    describe(axes, title, "l2, the strength of the penalty", "Held-out loss")
    return figure


def _curve(axes, values, name: str, color: str, marker: str) -> np.ndarray:
    """Draw (epochs,) against epochs 1, 2, … and return what was drawn: no NaN at the end."""
    values = np.asarray(values, float)
    if values.ndim != 1 or np.isnan(values).all():
        raise ValueError(f"{name} is {values.shape}; expected (epochs,) of one model, not all NaN.")
    values = values[: 1 + np.flatnonzero(~np.isnan(values))[-1]]
    style = {"color": color, "linewidth": 2.5, "marker": marker, "label": plain(name)}
    size = 7 if len(values) <= 30 else 0  # a chain of markers would hide its line
    axes.plot(range(1, len(values) + 1), values, markersize=size, **style)
    axes.set_xlim(0.5, max(len(line.get_xdata()) for line in axes.lines) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    return values
