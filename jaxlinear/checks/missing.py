"""Examples whose targets may be missing: a NaN, which is given weight 0."""

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool

from jaxlinear.checks import arguments, digits
from jaxlinear.checks.arguments import dtype_of, matrix, targets, weights
from jaxlinear.checks.arrays import is_known, numeric
from jaxlinear.checks.values import finite_rows, known_now
from jaxlinear.types import Batch


@known_now
def examples_with_missing(x, y, weight) -> tuple[Batch, Bool[ArrayLike, ""]]:
    """Check a batch whose targets are numbers, or NaN where missing, which then get weight 0.

    The weight may be (n, k); it becomes so where y (n, k) is not traced and has missing targets.
    """
    given = Batch(matrix(x), numeric(y, "y"), weight)
    n, wide = len(given.x), arguments.wide(given.x)
    weight = weights(weight, n, wide, given.y.shape[1:])
    in_rows = weight if weight is None or weight.ndim == 1 else weight.sum(axis=1)
    x = digits.kept(given.x, "x", dtype_of(given.x), in_rows)
    y = targets(given.y, n, "real", wide, weight)
    known = is_known(x, y, weight)
    if y.ndim == 1 or known:
        xp = np if known else jnp
        missing = xp.isnan(xp.asarray(y))
        if y.ndim == 1 or missing.any():
            weight = 1 if weight is None else weight.reshape(n, *[-1] * (y.ndim - 1))
            weight = jnp.where(missing, 0, weight).astype(wide)
    batch = Batch(x, y, weight)
    columns = y.reshape(n, -1)
    absent = False if weight is None else weight.reshape(n, -1) == 0
    row_absent = False if weight is None else absent.all(axis=1)
    sound = {
        "x": (finite_rows(x) | row_absent).all(),
        "y": (jnp.isfinite(columns) | absent).all(),
        "weight": True if weight is None else ((weight >= 0) & jnp.isfinite(weight)).all(),
    }
    if not known:
        return batch, jnp.stack([jnp.asarray(part) for part in sound.values()]).all()
    if all(sound.values()):
        return batch, np.True_
    name = min(sound, key=sound.get)  # the first that is not
    values = np.asarray(getattr(batch, name))
    bad = ~np.isfinite(values)
    if name == "weight":
        bad |= values < 0
    elif weight is not None:
        without = np.asarray(row_absent)[:, None] if name == "x" else np.asarray(absent)
        bad &= ~(without[:, 0] if values.ndim == 1 else without)
    if name != "weight":
        digits.require_room(name, getattr(given, name), bad, values.dtype)
    place = np.argwhere(bad)[0]
    raise ValueError(
        f"{name}[{', '.join(map(str, place))}] is {values[tuple(place)]}; expected finite numbers"
        f"{' ≥ 0' if name == 'weight' else ''}. Mend it, or give the row weight 0."
    )
