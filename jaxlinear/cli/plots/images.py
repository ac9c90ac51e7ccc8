"""Weights and examples that are images."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

from jaxlinear.cli.plots.drawing import GREY, LABEL, ORANGE, TICK, TITLE, colorbar, labels, names_of
from jaxlinear.types import Linear


def weight_images(params: Linear, names: Sequence[str], shape=(28, 28)) -> Figure:
    """The weights of every output as an image, all on one scale that is symmetric about zero.

    ``params.w`` is (k, d), or (d,) with one name; d is the number of pixels of ``shape``.
    """
    w = np.atleast_2d(np.asarray(params.w, float))
    images, names = _images(w, shape, "params.w"), names_of(names, len(w), longest=16)
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
    colorbar(grid, drawn, "Weight")
    return figure


def example_grid(
    x, y, predicted, names: Sequence[str], shape=(28, 28), rows: int = 4, columns: int = 8
) -> Figure:
    """The first images with their true label above their predicted one; ✗ and a frame: wrong.

    ``x`` is (n, d) with d the pixels of ``shape``, ``y`` and ``predicted`` are labels (n,).
    """
    names = names_of(names, len(names), longest=12)
    y = labels(y, "y", names, len(x))[: rows * columns]
    predicted = labels(predicted, "predicted", names, len(x))[: rows * columns]
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


def _images(rows, shape, argument: str) -> np.ndarray:
    """Rows (n, d) as images (n, height, width)."""
    rows, pixels = np.asarray(rows), int(np.prod(shape))
    if rows.ndim != 2 or not len(rows) or rows.shape[1] != pixels:
        raise ValueError(f"{argument} is {rows.shape}; expected (n, {pixels}), or another shape=.")
    return rows.reshape(-1, *shape)
