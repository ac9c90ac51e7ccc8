"""The core types: NamedTuples of arrays, and one code that says how a fit ended.

Parameters, data and results are plain pytrees, so that they can be arguments and results of
functions under ``jit``, ``vmap`` and ``grad``, and a stack of models is the same type with
leading axes. This module imports no other of the library.
"""

import enum
from typing import Any, NamedTuple

from jaxtyping import Array, Float, Int, Shaped

Scalar = Float[Array, ""] | float
"""A number that is traced, never static: a Python float or an array of shape ()."""


class Linear(NamedTuple):
    """The parameters of o = w x + b.

    For targets of shape (n,) ``w`` is (d,) and ``b`` is (). For k outputs ``w`` is (k, d) and
    ``b`` is (k,): outputs first, as in ``torch.nn.Linear`` and scikit-learn's ``coef_``.
    """

    w: Float[Array, "*outputs d"]
    b: Float[Array, "*outputs"]


class Batch(NamedTuple):
    """Examples: a minibatch and a whole split are the same type.

    ``x`` is (n, d), ``y`` is (n,) or (n, k), ``weight`` is (n,) or None (all ones). A row of
    weight 0, even one with NaN, has no effect on values and gradients. The derivative in such a
    weight says how the row would change the value, and is 0 where the row holds NaN or inf.
    Folds, bootstraps, groups of different sizes, padding and masks are all expressed as weights.
    """

    x: Shaped[Array, "n d"]
    y: Shaped[Array, "n *outputs"]
    weight: Float[Array, " n"] | None = None


class Units(NamedTuple):
    """Powers of two by which columns of x (d,) and all targets () are divided: without rounding."""

    x: Float[Array, " d"]
    y: Float[Array, ""]


class Examples(NamedTuple):
    """A batch and its units: squares of x and y in these units neither overflow nor underflow.

    x and y are stored unscaled, and divided by their units where a block of them is read, so
    that no copy is made. The weights are already divided by the power of two ≤ their maximum.
    """

    x: Shaped[Array, "n d"]
    y: Shaped[Array, "n k"]
    weight: Float[Array, " n"] | None
    units: Units


Rows = Batch | Examples


class Dataset(NamedTuple):
    """A training split, a test split, and the names of the classes (or of the target)."""

    train: Batch
    test: Batch
    names: tuple[str, ...]


class Status(enum.IntEnum):
    """How a fit ended, one code per model; ``Status(code).sentence`` says it in words."""

    CONVERGED = 0
    MAX_STEPS = 1
    STALLED_AT_PRECISION = 2
    RANK_DEFICIENT = 3
    DIVERGED = 4
    NONFINITE_INPUT = 5
    NO_DESCENT = 6

    @property
    def sentence(self) -> str:
        """What the code means, and what to do about it."""
        return _SENTENCES[self]


_SENTENCES = {
    Status.CONVERGED: "The optimum, to what the dtype can tell; after SGD: patience ran out.",
    Status.MAX_STEPS: "All steps were taken; whether this is the optimum was not tested.",
    Status.STALLED_AT_PRECISION: "The dtype can do no more; use float64 for a closer solution.",
    Status.RANK_DEFICIENT: "Columns of x depend on each other as far as the dtype can tell: the "
    "solution of minimum norm.",
    Status.DIVERGED: "There is no optimum in reach: the objective or the parameters overflowed "
    "(lower lr, or scale the data), or classes can be separated (use a penalty, l2 > 0).",
    Status.NONFINITE_INPUT: "An example of nonzero weight holds NaN, inf or a label out of range, "
    "or no example has weight; mend the data or give such rows weight 0.",
    Status.NO_DESCENT: "A search along a direction of descent found no lower objective: the loss "
    "is not convex, or not smooth, there; mend the loss, or start elsewhere (init).",
}


class Report(NamedTuple):
    """How a fit ended: arrays, one entry per model.

    ``status`` is a ``Status`` code, ``steps`` the number of updates to the parameters,
    ``objective`` and ``gradient_norm`` the full training objective and the 2-norm of its
    gradient at the parameters. ``rank`` is that of x, without the column of ones, where the
    solver determines it. ``gap`` is how far the objective may be above the optimum: the smaller of
    ‖gradient‖² / (2 l2) in w, a bound where l2 > 0, and twice the decrease that the last Newton
    step predicted, where that step was short; inf where neither is known.
    """

    status: Int[Array, "*models"]
    steps: Int[Array, "*models"]
    objective: Float[Array, "*models"]
    gradient_norm: Float[Array, "*models"]
    rank: Int[Array, "*models"] | None = None
    gap: Float[Array, "*models"] | None = None


class Fit(NamedTuple):
    """The result of every solver.

    ``history`` is the training objective of every epoch or step, or None. ``validation`` maps
    the name of a metric to its value after every epoch, where a validation batch was given.
    ``state`` is what the solver needs to continue from here (the state of its optimizer), or None.
    """

    params: Linear
    report: Report
    history: Float[Array, "*models epochs"] | None = None
    validation: dict[str, Float[Array, "*models epochs"]] | None = None
    state: Any = None
