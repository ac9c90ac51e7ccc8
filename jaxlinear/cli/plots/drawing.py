"""What all pictures share: colours and sizes that can be read, titles, names and labels."""

from collections.abc import Sequence
from os import PathLike

import numpy as np
from matplotlib.figure import Figure

# Okabe and Ito's colours, and a neutral
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
PALETTE = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#F0E442", "#000000")
TITLE, LABEL, TICK = 15, 13, 11  # points, readable from the back of a room
DECADES = 100  # a greatest value so many times the least asks for a logarithmic scale
MANY = 20  # beyond it neither the numbers in cells nor one more bar can be read


def save(figure: Figure, path: str | PathLike) -> None:
    """Write the picture as PNG, or in the format that another ending of ``path`` names."""
    figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.15)


def describe(axes, title: str, across: str, up: str) -> None:
    """Title and labels in readable sizes, without the frame's idle sides."""
    axes.set_title(title, fontsize=TITLE, pad=10)
    axes.set_xlabel(across, fontsize=LABEL)
    axes.set_ylabel(up, fontsize=LABEL)
    axes.tick_params(labelsize=TICK)
    axes.spines[["top", "right"]].set_visible(False)


def name_cells(axes, rows: list[str], columns: list[str]) -> None:
    """Write the names of rows and columns beside the cells of an image."""
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)


def colorbar(axes, drawn, label: str, extend: str = "neither") -> None:
    """The scale of the colours, beside the axes."""
    style = {"shrink": 0.85, "aspect": 25, "extend": extend}
    bar = drawn.get_figure().colorbar(drawn, ax=axes, **style)
    bar.set_label(label, fontsize=LABEL)
    bar.ax.tick_params(labelsize=TICK)
    bar.outline.set_visible(False)


def labels(labels, argument: str, names: list[str], n: int | None = None) -> np.ndarray:
    """Integer labels (n,) that all have a name: -1 would silently take the last one."""
    labels = np.asarray(labels)
    k, shaped = len(names), labels.size and labels.shape == (n or labels.size,)
    if not shaped or labels.dtype.kind not in "iu" or not 0 <= labels.min() <= labels.max() < k:
        got, size = f"{argument} is {labels.dtype} of shape {labels.shape}", n or "n"
        raise ValueError(f"{got}; expected {size} integer labels from 0 to {k - 1}, one per name.")
    return labels.astype(np.int64)


def names_of(names: Sequence[str], count: int, argument: str = "names", longest=24) -> list[str]:
    """``count`` names, none so long that it runs into its neighbour."""
    if isinstance(names, str) or len(names) != count:
        got = f"{argument} is a {type(names).__name__} of {len(names)}"
        raise ValueError(f"{got}; expected a list of {count} names.")
    return [plain(n if len(n) <= longest else n[: longest - 1] + "…") for n in map(str, names)]


def plain(name: str) -> str:
    """A name as it stands: between two dollars matplotlib would read a formula."""
    return name.replace("$", r"\$")
