"""Pictures of a fit: how it learned, what it learned, and where it is wrong.

Every function returns a new ``matplotlib.figure.Figure``, which a notebook shows and ``save``
writes. No pyplot and no setting of matplotlib is touched, so a server without a screen and a
thread can draw. Arrays may be JAX or NumPy arrays; colours are safe for colour-blind eyes.
"""

from collections.abc import Mapping, Sequence
from os import PathLike

import jax.numpy as jnp
import numpy as np

from jaxlinear.model import metrics
from jaxlinear.types import Linear

__all__ = [
    "confusion_matrix",
    "example_grid",
    "learning_curves",
    "penalty_curve",
    "predictions",
    "save",
    "weight_images",
    "weights_by_feature",
]

try:
    from matplotlib.colors import CenteredNorm
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ImportError as error:
    raise ImportError('Pictures need matplotlib: pip install "jaxlinear[plots]"') from error
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"  # Okabe and Ito, and a neutral
TITLE, LABEL, TICK = 15, 13, 11  # points, readable from the back of a room
MANY = 20  # beyond it neither the numbers in cells nor one more bar can be read


def learning_curves(history, validation: Mapping | None = None) -> Figure:
    """Training objective and validation loss by epoch, and a panel for every other metric.

    ``history`` is (epochs,), ``validation`` maps names such as "loss" and "accuracy" to
    (epochs,), as in ``Fit``. The NaN after an early stop are left out.
    """
    others = sorted(set(validation or ()) - {"loss"}, key=lambda name: (name != "accuracy", name))
    figure = Figure(figsize=(5.6 * (1 + len(others)), 4.4), layout="constrained")
    first, *panels = figure.subplots(1, 1 + len(others), squeeze=False)[0]
    _curve(first, history, "training objective", BLUE, "o")
    if validation and "loss" in validation:
        _curve(first, validation["loss"], "validation loss", ORANGE, "s")
    first.legend(fontsize=LABEL, frameon=False)
    _describe(first, "Loss by epoch", "Epoch", "Loss")
    for axes, name in zip(panels, others, strict=True):
        values = _curve(axes, validation[name], name, ORANGE, "s")
        show = (lambda v, _=None: f"{100 * v:.4g}%") if name == "accuracy" else "{:.4g}".format
        title = f"Validation {_plain(name)}: {show(values[-1])} after epoch {len(values)}"
        _describe(axes, title, "Epoch", _plain(name).capitalize())
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
        least = np.interp(np.log(best), np.log(np.sort(l2s)), curve[np.argsort(l2s)])
        axes.plot(best, least, color=ORANGE, marker="D", markersize=10, linestyle="none")
    title = f"Chosen: l2 = {chosen[0]:.3g}" if len(chosen) == 1 else "Chosen for every label"
    _describe(axes, title, "l2, the strength of the penalty", "Held-out loss")
    return figure


def weight_images(params: Linear, names: Sequence[str], shape=(28, 28)) -> Figure:
    """The weights of every output as an image, all on one scale that is symmetric about zero.

    ``params.w`` is (k, d), or (d,) with one name; d is the number of pixels of ``shape``.
    """
    w = np.atleast_2d(np.asarray(params.w, float))
    images, names = _images(w, shape, "params.w"), _names(names, len(w), longest=16)
    scale = CenteredNorm(halfrange=np.abs(w).max() or 1.0)  # also where all weights are zero
    columns = min(len(w), 5)
    rows = -(-len(w) // columns)
    width = max(2.1 * columns + 1.2, 5.5)  # the title needs that much
    figure = Figure(figsize=(width, 2.3 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, name in zip(grid.flat, images, names, strict=False):
        drawn = axes.imshow(image, cmap="RdBu_r", norm=scale)
        axes.set_title(name, fontsize=LABEL)
    figure.suptitle("Weights: red raises the output, blue lowers it", fontsize=TITLE)
    _colorbar(grid, drawn, "Weight")
    return figure


def example_grid(
    x, y, predicted, names: Sequence[str], shape=(28, 28), rows: int = 4, columns: int = 8
) -> Figure:
    """The first images with their true label above their predicted one; ✗ and a frame: wrong.

    ``x`` is (n, d) with d the pixels of ``shape``, ``y`` and ``predicted`` are labels (n,).
    """
    names = _names(names, len(names), longest=12)
    y = _labels(y, "y", names, len(x))[: rows * columns]
    predicted = _labels(predicted, "predicted", names, len(x))[: rows * columns]
    images = _images(x[: rows * columns], shape, "x")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    low, high = (0, 255) if images.dtype == np.uint8 else (images.min(), images.max())
    figure = Figure(figsize=(max(1.5 * columns, 6), 1.85 * rows + 0.8), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(images) :]:
        axes.axis("off")
    for axes, image, true, guess in zip(grid.flat, images, y, predicted, strict=False):
        mark, color, width = ("✗", ORANGE, 3.5) if true != guess else ("✓", GREY, 0.5)
        axes.imshow(image, cmap="gray_r", vmin=low, vmax=high)
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=color, linewidth=width)
        axes.set_title(names[true], fontsize=TICK, pad=4)
        axes.set_xlabel(f"{mark} {names[guess]}", fontsize=TICK, color=color)
    title = f"{np.sum(y != predicted)} of {len(y)} wrong (true class above, prediction below)"
    figure.suptitle(title, fontsize=TITLE)
    return figure


def confusion_matrix(y, predicted, names: Sequence[str]) -> Figure:
    """How many examples of each true class (rows) were given to each class (columns).

    ``y`` and ``predicted`` are labels (n,). The colour is the fraction of the row, the number
    the count; beyond 20 classes the colour alone.
    """
    names, k = _names(names, len(names)), len(names)
    y = _labels(y, "y", names)
    predicted = _labels(predicted, "predicted", names, len(y))
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
    _name_cells(axes, names, names)
    title = f"Accuracy {np.mean(y == predicted):.1%} of {len(y):,} examples"
    _describe(axes, title, "Predicted class", "True class")
    _colorbar(axes, drawn, "Fraction of the true class")
    return figure


def predictions(y, predicted, name: str = "target") -> Figure:
    """Predicted against true values, both (n,), with the diagonal on which they agree."""
    y, predicted = np.asarray(y, float), np.asarray(predicted, float)
    if y.ndim != 1 or y.shape != predicted.shape or not y.size:
        shapes = f"y has shape {y.shape}, predicted {predicted.shape}"
        raise ValueError(f"{shapes}; expected (n,) twice. Draw one output at a time: y[:, 0].")
    r2 = metrics.r2(jnp.asarray(predicted, float), jnp.asarray(y, float))
    figure = Figure(figsize=(6.2, 6.2), layout="constrained")
    axes = figure.subplots()
    opacity = float(np.clip(200 / len(y), 0.05, 0.7))  # many points would hide each other
    axes.scatter(y, predicted, s=22, color=BLUE, alpha=opacity, linewidths=0)
    ends = min(y.min(), predicted.min()), max(y.max(), predicted.max())
    axes.plot(ends, ends, color=ORANGE, linewidth=2, linestyle="--", label="predicted = true")
    axes.set_aspect("equal")
    axes.legend(fontsize=LABEL, frameon=False, loc="upper left")
    title = f"R² = {r2:.3f} on {len(y):,} examples"
    _describe(axes, title, f"True {_plain(name)}", f"Predicted {_plain(name)}")
    return figure


def weights_by_feature(params: Linear, features: Sequence[str], names: Sequence[str]) -> Figure:
    """The largest weights, of at most 20 features, the largest on top.

    Bars for one output, ``params.w`` (d,) or (1, d); for k outputs, (k, d), a heat map of
    features × outputs, by the largest |weight| of each feature. ``names`` are the outputs'.
    """
    w = np.atleast_2d(np.asarray(params.w, float))
    names, features = _names(names, len(w)), _names(features, w.shape[-1], "features", 32)
    largest = np.argsort(-np.abs(w).max(axis=0), kind="stable")[:MANY]
    many = f"the {MANY} largest of {len(features):,}" if len(features) > MANY else "all"
    w, features = w[:, largest], [features[index] for index in largest]
    width = 8 if len(w) == 1 else 0.6 * len(w) + 5.5
    figure = Figure(figsize=(width, 0.35 * len(features) + 2), layout="constrained")
    axes = figure.subplots()
    if len(w) == 1:
        axes.barh(range(len(features)), w[0], color=np.where(w[0] < 0, ORANGE, BLUE))
        axes.set_yticks(range(len(features)), features)
        axes.axvline(0, color="black", linewidth=1)
        axes.invert_yaxis()
        _describe(axes, f"Weights for {names[0]}, {many} features", "Weight", "Feature")
    else:
        scale = CenteredNorm(halfrange=np.abs(w).max() or 1.0)
        drawn = axes.imshow(w.T, cmap="RdBu_r", norm=scale, aspect="auto")
        _name_cells(axes, features, names)
        _describe(axes, f"Weights, {many} features", "Output", "Feature")
        _colorbar(axes, drawn, "Weight")
    return figure


def save(figure: Figure, path: str | PathLike) -> None:
    """Write the picture as PNG, or in the format that another ending of ``path`` names."""
    figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.15)


def _describe(axes, title: str, across: str, up: str) -> None:
    """Title and labels in readable sizes, without the frame's idle sides."""
    axes.set_title(title, fontsize=TITLE, pad=10)
    axes.set_xlabel(across, fontsize=LABEL)
    axes.set_ylabel(up, fontsize=LABEL)
    axes.tick_params(labelsize=TICK)
    axes.spines[["top", "right"]].set_visible(False)


def _curve(axes, values, name: str, color: str, marker: str) -> np.ndarray:
    """Draw (epochs,) against epochs 1, 2, … and return what was drawn: no NaN at the end."""
    values = np.asarray(values, float)
    if values.ndim != 1 or np.isnan(values).all():
        raise ValueError(f"{name} is {values.shape}; expected (epochs,) of one model, not all NaN.")
    values = values[: 1 + np.flatnonzero(~np.isnan(values))[-1]]
    style = {"color": color, "linewidth": 2.5, "marker": marker, "label": _plain(name)}
    size = 7 if len(values) <= 30 else 0  # a chain of markers would hide its line
    axes.plot(range(1, len(values) + 1), values, markersize=size, **style)
    axes.set_xlim(0.5, max(len(line.get_xdata()) for line in axes.lines) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True, min_n_ticks=1))
    return values


def _name_cells(axes, rows: list[str], columns: list[str]) -> None:
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)


def _colorbar(axes, drawn, label: str) -> None:
    bar = drawn.get_figure().colorbar(drawn, ax=axes, shrink=0.85, aspect=25)
    bar.set_label(label, fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    bar.outline.set_visible(False)


def _images(rows, shape, argument: str) -> np.ndarray:
    """Rows (n, d) as images (n, height, width)."""
    rows, pixels = np.asarray(rows), int(np.prod(shape))
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != pixels:
        raise ValueError(f"{argument} is {rows.shape}; expected (n, {pixels}), or another shape=.")
    return rows.reshape(-1, *shape)


def _labels(labels, argument: str, names: list[str], n: int | None = None) -> np.ndarray:
    """Integer labels (n,) that all have a name: -1 would silently take the last one."""
    labels = np.asarray(labels)
    k, shaped = len(names), labels.size and labels.shape == (n or labels.size,)
    if not shaped or labels.dtype.kind not in "iu" or not 0 <= labels.min() <= labels.max() < k:
        got, size = f"{argument} is {labels.dtype} of shape {labels.shape}", n or "n"
        raise ValueError(f"{got}; expected {size} integer labels from 0 to {k - 1}, one per name.")
    return labels.astype(np.int64)


def _names(names: Sequence[str], count: int, argument: str = "names", longest=24) -> list[str]:
    """``count`` names, none so long that it runs into its neighbour."""
    if isinstance(names, str) or len(names) != count:
        got = f"{argument} is a {type(names).__name__} of {len(names)}"
        raise ValueError(f"{got}; expected a list of {count} names.")
    return [_plain(n if len(n) <= longest else n[: longest - 1] + "…") for n in map(str, names)]


def _plain(name: str) -> str:
    """A name as it stands: between two dollars matplotlib would read a formula."""
    return name.replace("$", r"\$")
