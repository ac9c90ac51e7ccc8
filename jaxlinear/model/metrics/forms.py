"""Outputs, targets and weights in the forms that metrics accept, checked.

Invalid targets raise an error where their values are known; where they are traced they become NaN,
or the label -1, and so does the metric.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxlinear import checks

Scores = Shaped[ArrayLike, "..."] | list  # (n,) or (n, k), of any real numbers
Targets = Shaped[ArrayLike, "..."] | list
Weight = Shaped[ArrayLike, "..."] | list | None
Value = Float[Array, ""]


def weights(weight, o):
    """The weights (n,) of the rows of o, or None."""
    return checks.weights(weight, len(o), jnp.result_type(float))


def column(rows, name: str):
    """The rows as (n,) or (n, k), k ≥ 2: (n, 1) becomes (n,). Narrow integers become int32."""
    rows = checks.numeric(rows, name)
    if rows.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {rows.shape}; expected (n,) or (n, k).")
    if not jnp.issubdtype(rows.dtype, jnp.floating) and rows.dtype.itemsize < 4:
        rows = rows.astype(np.int32)
    return rows[:, 0] if rows.ndim == 2 and rows.shape[1] == 1 else rows


def targets(o, y, weight, *, independent: bool, named: bool = False):
    """y as targets of o: labels, distributions, or a number for each output.

    ``named``: the outputs are labels themselves, any integers.
    """
    shape, expected, fine = _expected(o, y, independent, named)
    if y.shape != shape:
        raise ValueError(f"y has shape {y.shape} beside outputs {o.shape}; expected {expected}.")
    if checks.is_known(y, weight):
        host, present = np.asarray(y), True if weight is None else np.asarray(weight) != 0
        wrong = ~fine(host, np)
        wrong = wrong & np.reshape(present, (-1, *[1] * (wrong.ndim - 1)))
        if wrong.any():
            place = tuple(np.argwhere(wrong)[0].tolist())
            raise ValueError(
                f"y[{', '.join(map(str, place))}] is {host[place].tolist()}; expected {expected}."
            )
    y = jnp.asarray(y)
    sound = fine(y, jnp)
    if y.ndim == 1 and o.ndim == 2:
        return jnp.where(sound, y, -1).astype(jnp.int32)
    if named and not jnp.issubdtype(y.dtype, jnp.floating) and y.shape == o.shape:
        return y  # any integer is a label
    y = jnp.where(sound.reshape(*sound.shape, *[1] * (y.ndim - sound.ndim)), floats(y), jnp.nan)
    return jnp.where(sound, jnp.argmax(y, axis=1), jnp.nan) if y.ndim > o.ndim else y


def _expected(o, y, independent: bool, named: bool):
    """The expected shape of y, its valid values in words, and a test of them in ``xp``."""
    n, *k = o.shape
    if k and not independent and y.ndim == 1:
        words = f"labels 0 … {k[0] - 1}, ({n},)"
        return (n,), words, lambda y, xp: (y >= 0) & (y < k[0]) & (y == xp.floor(y))
    if not independent and (k or (named and y.ndim == 2)):
        shape = o.shape if k else y.shape
        words = f"{shape}, whose rows sum to 1; independent=True is for rows of several labels"
        return shape, words, checks.is_distribution
    if named:
        words = f"labels {o.shape}, whole numbers"
        return o.shape, words, lambda y, xp: xp.isfinite(y) & (y == xp.floor(y))
    return o.shape, f"numbers in [0, 1], {o.shape}", lambda y, xp: (y >= 0) & (y <= 1)


def logits(o: Scores, y: Targets, weight: Weight, *, independent: bool):
    """Classified examples: o one logit (n,) or k floating outputs (n, k), y likewise in [0, 1].

    Labels become one-hot. Two classes that exclude each other become one logit, that of class 1.
    The weight is an array, and 0 where a row has none.
    """
    o, y = column(o, "o"), column(y, "y")
    weight = weights(weight, o)
    y = targets(o, y, weight, independent=independent)
    o = floats(o)
    if y.ndim < o.ndim:
        hot = jax.nn.one_hot(y, o.shape[1], dtype=o.dtype)
        y = jnp.where((y < 0)[:, None], jnp.nan, hot)
    if o.ndim == 2 and not independent and o.shape[1] == 2:
        o, y = o[:, 1] - o[:, 0], y[:, 1]
    return o, y.astype(o.dtype), jnp.ones(len(o), o.dtype) if weight is None else weight


def log_odds(o):
    """log p_j − log(1 − p_j) of every class, p = softmax(o) for o (n, k).

    In the order of p, and distinct where p would be rounded to 1.
    """
    log_p = jax.nn.log_softmax(o)
    largest = jax.nn.one_hot(jnp.argmax(o, axis=1), o.shape[1], dtype=bool)
    others = jax.nn.logsumexp(jnp.where(largest, -jnp.inf, o), axis=1, keepdims=True)
    return jnp.where(largest, o - others, log_p - jnp.log1p(-jnp.exp(log_p)))


def pair(o, y):
    """o and y, of one shape, in the floating dtype that holds both, float32 at least."""
    o, y = checks.numeric(o, "o"), checks.numeric(y, "y")
    checks.same_shape(o, y)
    o, y = jnp.asarray(o), jnp.asarray(y)
    dtype = jnp.promote_types(jnp.result_type(o, y, float), jnp.float32)
    return o.astype(dtype), y.astype(dtype)


def floats(rows):
    """The rows in floating point, in float32 at least."""
    rows = jnp.asarray(rows)
    return rows.astype(jnp.promote_types(jnp.result_type(rows, float), jnp.float32))
