"""What exact fits and their cross-validation are told before tracing, and what they are given."""

from typing import NamedTuple

from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float

from jaxlinear.types import Batch


class Setting(NamedTuple):
    """Static options of a fit; ``steps`` are the least and the most passes of refinement."""

    intercept: bool
    steps: tuple[int, int] = (0, 0)


class Validation(NamedTuple):
    """Static options of cross-validation.

    ``generalized`` replaces every leverage by their mean. ``blocks`` is the number of folds of
    consecutive rows, None where folds are given or single rows are left out. ``apart``: every row
    is held out once, and has weight 1 in the other folds.
    """

    intercept: bool
    per_target: bool
    generalized: bool
    blocks: int | None
    apart: bool


class Data(NamedTuple):
    """A checked batch with its penalty, or with all penalties; ``sound`` where it is finite."""

    batch: Batch
    l2: Float[Array, "*m"] | float
    sound: Bool[ArrayLike, ""]
