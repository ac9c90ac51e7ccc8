"""The choice among penalties by their scores, and the result of every cross-validation."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.types import Fit


class CrossValidation(NamedTuple):
    """The fit at the chosen l2, () or (k,), and the scores (m, *k) of all l2s: less is better.

    A score is Σ_i w_i error(o_i, y_i) / Σ_i w_i, where o_i is predicted without example i, its
    fold, or all held-out rows. It is NaN, and never chosen, where there is no such prediction.
    """

    fit: Fit
    l2: Float[Array, "*k"]
    scores: Float[Array, "m *k"]


def least(scores, l2s):
    """The index of the least score (m, …), and ``blind``: whether no score is finite.

    Scores that are not finite are ignored. Among equal scores, and where none is finite, the index
    is that of the strongest penalty.
    """
    strongest_first = jnp.argsort(-l2s)
    compared = jnp.where(jnp.isfinite(scores), scores, jnp.inf)[strongest_first]
    place = strongest_first[jnp.argmin(compared, axis=0)]
    return place, jnp.isinf(jnp.min(compared, axis=0))
