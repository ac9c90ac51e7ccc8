"""Weights by the names of their features."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import CenteredNorm
from matplotlib.figure import Figure

from jaxlinear.cli.plots.drawing import BLUE, MANY, ORANGE, colorbar, describe, name_cells, names_of
from jaxlinear.types import Linear


def weights_by_feature(params: Linear, features: Sequence[str], names: Sequence[str]) -> Figure:
    """The largest weights, of at most 20 features, the largest on top.

    Bars for one output, ``params.w`` (d,) or (1, d); for k outputs, (k, d), a heat map of
    features × outputs, by the largest |weight| of each feature. ``names`` are the outputs'.
    """
    w = np.atleast_2d(np.asarray(params.w, float))
    names, features = names_of(names, len(w)), names_of(features, w.shape[-1], "features", 32)
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
        describe(axes, f"Weights for {names[0]}, {many} features", "Weight", "Feature")
    else:
        scale = CenteredNorm(halfrange=np.abs(w).max() or 1.0)
        drawn = axes.imshow(w.T, cmap="RdBu_r", norm=scale, aspect="auto")
        name_cells(axes, features, names)
        describe(axes, f"Weights, {many} features", "Output", "Feature")
        colorbar(axes, drawn, "Weight")
    return figure
