"""One argument at a time: x, y, weight, offset, parameters, each as an array of its own dtype."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Shaped

from jaxlinear.checks import digits
from jaxlinear.checks.arrays import is_known, numeric
from jaxlinear.types import Batch, Linear

# What a loss may accept as targets: in words, and as a test in NumPy (xp) or, traced, in JAX.
TARGETS = {
    "real": ("finite numbers", lambda y, xp: xp.isfinite(y)),
    "probabilities": ("numbers in [0, 1]", lambda y, xp: (y >= 0) & (y <= 1)),
    "counts": ("numbers ≥ 0", lambda y, xp: (y >= 0) & xp.isfinite(y)),
    "positive": ("numbers > 0", lambda y, xp: (y > 0) & xp.isfinite(y)),
    "signs": ("-1 or 1", lambda y, xp: xp.abs(y) == 1),
    "labels": ("integer labels (n,), or distributions (n, k) that sum to 1", None),
}


def features(x, *, width: int | None = None) -> Shaped[Array, "n d"]:
    """x as (n, d): floating as it came, uint8 as bytes, other integers and booleans as floats.

    Digits that the dtype cannot hold are rounded, not refused: the few rows of a prediction have
    no spread to compare the rounding with, and w x is rounded as much as x is.
    """
    x = matrix(x, width)
    return jnp.asarray(digits.cast(x, dtype_of(x)))


def matrix(x, width: int | None = None):
    """x as it came, checked to have the shape (n, d)."""
    x = numeric(x, "x")
    if x.ndim != 2:
        fix = {
            0: " For one example of one feature pass [[x]].",
            1: " For one feature pass x[:, None], for one example x[None, :].",
        }.get(x.ndim, " Pass x.reshape(len(x), -1).")
        raise ValueError(f"x has shape {x.shape}; expected (examples, features).{fix}")
    if 0 in x.shape:
        raise ValueError(f"x has shape {x.shape}; expected at least one example and one feature.")
    if width is not None and x.shape[1] != width:
        raise ValueError(
            f"x has {x.shape[1]} features; the parameters expect {width}. Pass the same columns "
            "as in the fit."
        )
    return x


def dtype_of(x):
    """The dtype that x has in JAX."""
    stays = jnp.issubdtype(x.dtype, jnp.floating) or x.dtype == jnp.uint8
    return jnp.result_type(x if stays else float)


def wide(x):
    """The dtype of sums, targets, offsets and weights for x: bfloat16 cannot hold 257."""
    dtype = jnp.result_type(float) if x.dtype == jnp.uint8 else dtype_of(x)
    return jnp.promote_types(dtype, jnp.float32)


def weights(weight, n: int, dtype, outputs: tuple[int, ...] = ()):
    """weight as (n,) in ``dtype``, or None; also (n, k) where the k ``outputs`` may differ."""
    if weight is None:
        return None
    given = numeric(weight, "weight")
    if given.shape not in ((n,), (n, *outputs)):
        other = f" or {(n, *outputs)}" if outputs else ""
        fix = " Pass weight[:, 0]." if given.shape == (n, 1) else ""
        raise ValueError(
            f"weight has shape {given.shape}; expected ({n},){other}, one number per example.{fix}"
        )
    weight = digits.cast(given, dtype)
    if digits.narrows(given.dtype, dtype) and is_known(weight):
        host = np.asarray(weight)
        digits.require_room(
            "weight", given, (host == 0) & (np.asarray(given) != 0) | np.isinf(host), dtype
        )
    return weight


def offset(offset, batch: Batch, outputs: tuple[int, ...]):
    """offset like the outputs of the model, (n,) or (n, k); (n,) serves all k. None stays None."""
    if offset is None:
        return None
    offset = numeric(offset, "offset")
    n = len(batch.x)
    if offset.shape not in ((n,), (n, *outputs)):
        raise ValueError(
            f"offset has shape {offset.shape}; expected {(n, *outputs)}, a number for every output"
            f"{f', or ({n},), one for all outputs of an example' if outputs else ''}."
        )
    given, offset = offset, digits.kept(offset, "offset", wide(batch.x), batch.weight)
    if is_known(offset, batch.weight):
        present = np.ones(n, bool) if batch.weight is None else np.asarray(batch.weight) != 0
        host = np.asarray(offset)
        bad = ~np.isfinite(host) & present.reshape(n, *[1] * (host.ndim - 1))
        if bad.any():
            digits.require_room("offset", given, bad, offset.dtype)
            row = int(np.argwhere(bad)[0, 0])
            raise ValueError(
                f"offset[{row}] is {host[row].tolist()}; expected finite numbers. Mend it, or give "
                "the row weight 0."
            )
    if offset.ndim == len(outputs):
        offset = offset.reshape(n, 1)
    return jnp.broadcast_to(offset, (n, *outputs))


def targets(y, n: int, kind: str, dtype, weight=None):
    """y as (n,) or (n, k): int32 labels, or numbers in ``dtype``."""
    y = numeric(y, "y")
    if y.ndim not in (1, 2) or y.shape[0] != n or 0 in y.shape:
        raise ValueError(
            f"y has shape {y.shape}; expected ({n},) or ({n}, k), one row per example of x."
        )
    if kind != "labels":
        return digits.kept(y, "y", dtype, weight)
    if y.ndim == 2 and y.shape[1] > 1:
        return digits.cast(y, dtype)
    if y.ndim == 2 or jnp.issubdtype(y.dtype, jnp.floating):
        raise TypeError(
            f"y has shape {y.shape} and dtype {y.dtype}; expected {TARGETS['labels'][0]}, k ≥ 2. "
            "Use y.astype(int) for labels, y[:, 0] for one column; for probabilities of one class "
            "the logistic loss."
        )
    if is_known(y) and y.dtype.itemsize >= 4:
        # Before the cast to int32: 2**40 would wrap to label 0.
        host, limits = np.asarray(y), np.iinfo(np.int32)
        outside = (host < limits.min) | (host > limits.max)
        if outside.any():
            raise ValueError(f"y holds the label {host[outside][0]}; expected labels below 2**31.")
    return digits.cast(y, np.int32)


def stored(batch: Batch) -> Batch:
    """The checked arrays of a batch to be put on a device for later fits; nothing is moved yet."""
    x, y, weight = batch
    weight = None if weight is None else numeric(weight, "weight")
    x, y = (digits.stored(numeric(rows, name), name, weight) for rows, name in ((x, "x"), (y, "y")))
    return Batch(x, y, weight)


def parameters(params: Linear, name: str, shape: tuple[int, ...], x) -> Linear:
    """Parameters for outputs of ``shape``, finite where they are known."""
    params = Linear(*(numeric(leaf, name) for leaf in params))
    expected = (*shape, x.shape[1])
    if params.w.shape != expected or params.b.shape != shape:
        raise ValueError(
            f"{name} has w {params.w.shape} and b {params.b.shape}; expected {expected} and "
            f"{shape} for x {x.shape} and this y."
        )
    if is_known(params) and not all(np.isfinite(leaf).all() for leaf in params):
        raise ValueError(
            f"{name} holds NaN or inf; start from finite parameters, or from {name}=None."
        )
    return params


def same_shape(o, y) -> None:
    """Raise ValueError where the shapes differ, even where they would broadcast."""
    if o.shape != y.shape:
        raise ValueError(f"got shapes {o.shape} and {y.shape}; expected the same shape twice.")


def like(o, y) -> tuple[Array, Array]:
    """(o, y) as arrays of one shape and of o's dtype, so that no broadcasting hides a mistake."""
    o, y = jnp.asarray(o), jnp.asarray(y)
    if o.shape != y.shape:
        raise ValueError(
            f"the outputs have shape {o.shape} and the targets {y.shape}; expected the same. A "
            "loss takes ONE example: use jax.vmap, or mean_loss, for a batch."
        )
    return o, y.astype(o.dtype)
