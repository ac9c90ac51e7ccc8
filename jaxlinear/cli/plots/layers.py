"""What the layers of a network know: the scores of probes, layer by layer."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from jaxlinear.cli.plots.drawing import LABEL, PALETTE, TICK, describe, names_of
from jaxlinear.many.bootstrap import Interval

_MARKERS = "osD^v*PX"  # one for every eight colours


def scores_by_layer(
    found: Interval,
    layers: Sequence[str],
    concepts: Sequence[str],
    *,
    name: str = "Score",
    control=None,
) -> Figure:
    """A line for every concept, with error bars; ``found`` is of (layers, k), as ``probes.scores``.

    ``control`` (layers, k) is what probes score on labels that mean nothing: drawn dashed. Raises
    ValueError for names that are not as many as layers and concepts.
    """
    value, low, high = (np.asarray(part, float) for part in found)
    if value.ndim != 2 or (control is not None and np.shape(control) != value.shape):
        shapes = f"found has shape {value.shape}, control {np.shape(control)}"
        raise ValueError(f"{shapes}; expected (layers, concepts).")
    layers = names_of(layers, len(value), "layers")
    concepts = names_of(concepts, value.shape[1], "concepts")
    figure = Figure(figsize=(1.3 * len(layers) + 4.5, 5.4), layout="constrained")
    axes = figure.subplots()
    place = np.arange(len(layers))
    for k, concept in enumerate(concepts):
        at = place + 0.06 * (k - (len(concepts) - 1) / 2)  # so that bars do not hide each other
        style = {"color": PALETTE[k % len(PALETTE)], "linewidth": 2}
        marker = _MARKERS[k // len(PALETTE) % len(_MARKERS)]
        away = np.maximum([value[:, k] - low[:, k], high[:, k] - value[:, k]], 0)
        axes.errorbar(at, value[:, k], away, marker=marker, capsize=4, label=concept, **style)
        if control is not None:
            axes.plot(at, np.asarray(control)[:, k], linestyle="--", alpha=0.7, **style)
    if control is not None:
        axes.plot([], [], color="black", linestyle="--", label="labels that mean nothing")
    axes.set_xticks(place, layers, fontsize=TICK)
    shown, texts = axes.get_legend_handles_labels()
    last = [text == "labels that mean nothing" for text in texts]
    order = np.argsort(last, kind="stable")
    handles = [shown[place] for place in order], [texts[place] for place in order]
    axes.legend(
        *handles, fontsize=LABEL, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0)
    )
    describe(axes, f"{name} of linear probes, with 95 % intervals", "Layer", name)
    return figure
