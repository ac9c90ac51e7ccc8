"""The problems of the grid: shapes over decades of n, d, k and l2, and how their data are drawn.

A solver that is tuned on the shapes that it is shown wins on them and nowhere else. So the grid
spans what people fit, and ``KEPT_BACK`` is drawn by a rule, for looking at and not for tuning.
"""

import zlib
from fnmatch import fnmatch
from typing import NamedTuple

import numpy as np

_GROUPS = 20  # of the one-hot columns
_SPREAD = 2  # of the outputs that the labels are drawn from
_PIXELS = 10_000_000  # that are smoothed at once


class Cell(NamedTuple):
    """One problem. Of ``loss`` classes, two classes are logistic regression with y in {0, 1}."""

    n: int
    d: int
    k: int
    kind: str  # of x: a key of ``DRAW``
    l2: float
    labels: str = "balanced"  # or unbalanced, clean (without noise), unbalanced clean
    loss: str = "classes"  # or poisson, gamma, huber, labels (k of them that share x)

    @property
    def name(self) -> str:
        loss = "" if self.loss == "classes" else f"{self.loss} "
        labels = "" if self.labels == "balanced" else f" {self.labels}"
        return f"{loss}{self.n}x{self.d}x{self.k} {self.kind} {self.l2:g}{labels}"

    @property
    def function(self) -> str:
        """The loss of ``jaxlinear.losses`` and of ``float64.LOSSES``."""
        logistic = self.loss == "labels" or (self.loss == "classes" and self.k == 2)
        if logistic:
            return "logistic"
        return "softmax_cross_entropy" if self.loss == "classes" else self.loss


GRID = (
    # Tiny: what the fixed costs of a call decide.
    Cell(50, 1, 2, "gaussian", 1e-3),
    Cell(50, 1, 2, "gaussian", 1e-6, "unbalanced"),
    Cell(300, 5, 2, "gaussian", 1e-2),
    Cell(300, 5, 3, "correlated", 1e-4),
    Cell(100, 10, 2, "correlated", 0.1),
    Cell(150, 4, 3, "gaussian", 1e-6, "clean"),
    Cell(500, 30, 2, "correlated", 1e-5),
    Cell(1_000, 3, 10, "gaussian", 1.0),
    Cell(200, 50, 2, "one-hot", 1e-2),
    Cell(1_000, 10, 2, "gaussian", 1e-6, "unbalanced"),
    # A few thousand examples.
    Cell(1_797, 64, 10, "images", 1e-3),
    Cell(1_000, 100, 2, "images", 1e-4),
    Cell(1_000, 100, 5, "correlated", 1e-2),
    Cell(2_000, 20, 2, "correlated", 1e-6),
    Cell(3_000, 200, 2, "one-hot", 1e-4),
    Cell(3_000, 200, 20, "one-hot", 1e-3, "unbalanced"),
    Cell(5_000, 50, 2, "gaussian", 1.0),
    Cell(5_000, 50, 5, "images", 1e-6),
    Cell(5_000, 10, 50, "gaussian", 1e-2),
    Cell(5_000, 100, 2, "correlated", 1e-3, "clean"),
    # Wide: fewer examples than features.
    Cell(100, 7_129, 2, "gaussian", 1e-2),
    Cell(100, 7_129, 2, "correlated", 1e-4, "unbalanced"),
    Cell(100, 7_129, 5, "correlated", 1e-3),
    Cell(70, 2_000, 3, "gaussian", 1.0),
    Cell(500, 1_500, 2, "correlated", 1e-3),
    Cell(500, 1_500, 2, "gaussian", 1e-6),
    Cell(500, 1_500, 10, "images", 1e-4),
    Cell(2_000, 4_096, 2, "gaussian", 1e-4),
    Cell(2_000, 4_096, 2, "images", 1e-6),
    Cell(2_000, 4_096, 10, "images", 1e-3),
    Cell(2_000, 4_096, 2, "one-hot", 1e-2),
    Cell(200, 20_000, 2, "gaussian", 0.1),
    Cell(50, 20_000, 4, "correlated", 1e-5),
    Cell(1_000, 10_000, 2, "gaussian", 1e-3, "unbalanced"),
    Cell(300, 3_000, 100, "gaussian", 1e-2),
    Cell(5_000, 20_000, 2, "gaussian", 1e-3),
    Cell(5_000, 20_000, 5, "images", 1e-2),
    # Many classes.
    Cell(5_000, 512, 100, "gaussian", 1e-3),
    Cell(5_000, 512, 100, "correlated", 1e-5),
    Cell(20_000, 128, 50, "gaussian", 1e-4),
    Cell(20_000, 128, 50, "images", 1e-2, "unbalanced"),
    Cell(2_000, 64, 1_000, "gaussian", 1e-3),
    Cell(2_000, 64, 1_000, "images", 0.1, "unbalanced"),
    Cell(2_000, 64, 100, "gaussian", 1e-5, "unbalanced"),
    Cell(10_000, 32, 200, "gaussian", 1e-3),
    Cell(10_000, 300, 300, "one-hot", 1e-2),
    Cell(50_000, 16, 100, "gaussian", 1e-5),
    Cell(1_000, 1_000, 50, "correlated", 1.0),
    # Thousands of both.
    Cell(10_000, 784, 10, "images", 1e-4),
    Cell(10_000, 784, 2, "images", 1e-6, "unbalanced"),
    Cell(6_000, 300, 10, "one-hot", 1e-5),
    Cell(10_000, 1_000, 2, "correlated", 1e-3),
    Cell(10_000, 1_000, 2, "gaussian", 1.0),
    Cell(20_000, 200, 2, "one-hot", 1e-6, "clean"),
    Cell(4_000, 2_000, 2, "correlated", 1e-5),
    Cell(4_000, 2_000, 3, "gaussian", 0.1),
    Cell(20_000, 50, 2, "gaussian", 1e-4),
    Cell(20_000, 50, 10, "correlated", 1e-6, "unbalanced"),
    # Tall: many more examples than features.
    Cell(300_000, 20, 2, "gaussian", 1e-4),
    Cell(300_000, 20, 2, "correlated", 1e-6, "unbalanced"),
    Cell(300_000, 20, 10, "images", 1e-3),
    Cell(300_000, 1, 2, "gaussian", 1e-6),
    Cell(100_000, 100, 2, "gaussian", 1e-3),
    Cell(100_000, 100, 2, "one-hot", 1e-5, "unbalanced"),
    Cell(100_000, 100, 5, "correlated", 1e-2),
    Cell(100_000, 5, 3, "gaussian", 0.1, "unbalanced"),
    Cell(200_000, 10, 50, "gaussian", 1e-4),
    Cell(50_000, 300, 2, "images", 1e-5),
    Cell(50_000, 300, 10, "gaussian", 1e-4, "clean"),
    Cell(30_000, 1_000, 2, "one-hot", 1e-4),
)
LOSSES = (
    Cell(1_000, 10, 1, "gaussian", 1e-4, loss="poisson"),
    Cell(20_000, 50, 1, "correlated", 1e-3, loss="poisson"),
    Cell(100_000, 20, 1, "gaussian", 1e-6, loss="poisson"),
    Cell(500, 1_500, 1, "gaussian", 1e-2, loss="poisson"),
    Cell(1_000, 10, 1, "gaussian", 1e-3, loss="gamma"),
    Cell(20_000, 50, 1, "correlated", 1e-4, loss="gamma"),
    Cell(1_000, 10, 1, "gaussian", 1e-3, loss="huber"),
    Cell(20_000, 100, 1, "correlated", 1e-4, loss="huber"),
    Cell(500, 1_500, 1, "gaussian", 1e-2, loss="huber"),
    Cell(2_000, 64, 50, "gaussian", 1e-3, loss="labels"),
    Cell(5_000, 200, 20, "images", 1e-4, "unbalanced", loss="labels"),
    Cell(500, 1_000, 100, "correlated", 1e-2, loss="labels"),
)


def _by_rule(number: int, seed: int) -> tuple[Cell, ...]:
    """Log-uniform in n, d and l2; two classes half of the time, else log-uniform in k.

    What the largest of the grid is, in numbers of x and in products with it, is the most.
    """
    rng = np.random.default_rng(seed)

    def decades(low, high, digits=2):
        return float(f"{low * (high / low) ** rng.random():.{digits - 1}e}")

    cells = []
    while len(cells) < number:
        n, d = int(decades(50, 300_000)), int(decades(1, 20_000))
        k = 2 if rng.random() < 0.5 else int(decades(3, 1_000))
        kind = tuple(DRAW)[rng.integers(len(DRAW))]
        labels = _LABELS[rng.integers(len(_LABELS))]
        cell = Cell(n, d, k, kind, decades(1e-6, 1, digits=1), labels)
        small = n * d <= 1e8 and n * d * k <= 1e9 and d * k <= 1e6 and n >= 3 * k
        if small and (kind != "one-hot" or d >= 2 * _GROUPS):
            cells.append(cell)
    return tuple(cells)


def gaussian(rng, n: int, d: int) -> np.ndarray:
    return rng.standard_normal((n, d), dtype=np.float32)


def correlated(rng, n: int, d: int) -> np.ndarray:
    """Each column is 0.99 of the one before it and something new: AR(1)."""
    x = rng.standard_normal((d, n), dtype=np.float32)
    for j in range(1, d):
        x[j] = np.float32(0.99) * x[j - 1] + np.float32(np.sqrt(1 - 0.99**2)) * x[j]
    return np.ascontiguousarray(x.T)


def images(rng, n: int, d: int) -> np.ndarray:
    """Squares of smoothed noise in [0, 1], within a border that is 0 everywhere."""
    side = int(np.ceil(np.sqrt(d)))
    x = np.empty((n, d), np.float32)
    rows = max(1, _PIXELS // side**2)
    for start in range(0, n, rows):
        z = rng.standard_normal((min(rows, n - start), side, side), dtype=np.float32)
        for axis in (1, 2) * 3:
            z = (np.roll(z, 1, axis) + 2 * z + np.roll(z, -1, axis)) / 4
        z = np.minimum(1, np.square(z / (2 * z.std())))
        if side > 3:
            z[:, [0, -1], :] = z[:, :, [0, -1]] = 0
        x[start : start + rows] = z.reshape(len(z), -1)[:, :d]
    return x


def one_hot(rng, n: int, d: int) -> np.ndarray:
    """Twenty categories of each example, dense; the first levels of each are the frequent ones."""
    x = np.zeros((n, d), np.float32)
    for columns in np.array_split(np.arange(d), _GROUPS):
        share = 1 / np.arange(1, len(columns) + 1)
        x[np.arange(n), rng.choice(columns, n, p=share / share.sum())] = 1
    return x


DRAW = {"gaussian": gaussian, "correlated": correlated, "images": images, "one-hot": one_hot}
_LABELS = ("balanced", "unbalanced", "clean", "unbalanced clean")
KEPT_BACK = _by_rule(20, seed=2026)
FAST = (
    Cell(30, 40, 2, "gaussian", 1e-2),
    Cell(30, 40, 2, "one-hot", 0.1, "unbalanced"),
    Cell(60, 9, 3, "images", 1e-2, "clean"),
    Cell(50, 2, 1, "correlated", 1e-2, loss="poisson"),
)
CELLS = GRID + LOSSES + KEPT_BACK  # a number on the command line is a position here
GROUPS = ("the grid", "other losses", "kept back")


def group(number: int) -> str:
    """Which of the lists a cell is of: each has a median of its own."""
    ends = len(GRID), len(GRID) + len(LOSSES)
    return GROUPS[sum(number >= end for end in ends)]


def choose(words: str | None = None, kept_back: bool = False) -> list[int]:
    """Numbers of cells from ``3,7,10-12`` and patterns of names such as ``*x2 images*``.

    Without words all, but for those that are kept back, or those alone.
    """
    numbers = range(len(CELLS))
    if words is None:
        return [i for i in numbers if (group(i) == GROUPS[-1]) == kept_back]
    chosen = []
    for word in words.split(","):
        first, _, last = word.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found = [i for i in numbers if int(first) <= i <= int(last or first)]
        else:
            found = [i for i in numbers if fnmatch(CELLS[i].name, word)]
        if not found:
            raise ValueError(
                f"got cells {word!r}; expected numbers 0 to {len(CELLS) - 1}, such as 3,7,10-12, "
                "or a pattern of names, such as '*x2 images*'"
            )
        chosen += found
    return list(dict.fromkeys(chosen))


def draw(cell: Cell) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a cell, the same ones wherever it stands in the list."""
    rng = np.random.default_rng(zlib.crc32(cell.name.encode()))
    x = DRAW[cell.kind](rng, cell.n, cell.d)
    outputs = cell.k
    o = x @ rng.standard_normal((cell.d, outputs), dtype=np.float32)
    o = (o - o.mean(axis=0)) / np.maximum(o.std(axis=0), np.float32(1e-6))
    return x, _TARGETS[cell.loss](rng, cell, o)


def _classes(rng, cell: Cell, o) -> np.ndarray:
    """The largest output, of which noise makes a draw from the softmax; no class is absent."""
    o = _SPREAD * o - ("unbalanced" in cell.labels) * np.linspace(0, 5, cell.k)
    y = np.argmax(o if "clean" in cell.labels else o + rng.gumbel(size=o.shape), axis=1)
    if len(np.unique(y)) < cell.k:
        y[rng.permutation(cell.n)[: cell.k]] = np.arange(cell.k)
    return y.astype(np.float32 if cell.k == 2 else np.int32)


def _labels(rng, cell: Cell, o) -> np.ndarray:
    o = _SPREAD * o - 3 * ("unbalanced" in cell.labels)
    return (rng.logistic(size=o.shape) < o).astype(np.float32)


def _counts(rng, cell: Cell, o) -> np.ndarray:
    return rng.poisson(np.exp(0.5 + o[:, 0] / 2)).astype(np.float32)


def _positive(rng, cell: Cell, o) -> np.ndarray:
    shape = 2
    return (np.exp(0.5 + o[:, 0] / 2) * rng.gamma(shape, size=cell.n) / shape).astype(np.float32)


def _heavy_tails(rng, cell: Cell, o) -> np.ndarray:
    return (_SPREAD * o[:, 0] + rng.standard_t(2, size=cell.n)).astype(np.float32)


_TARGETS = {
    "classes": _classes,
    "labels": _labels,
    "poisson": _counts,
    "gamma": _positive,
    "huber": _heavy_tails,
}
