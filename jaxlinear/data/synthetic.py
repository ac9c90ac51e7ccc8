"""Data made from a key alone: known parameters to recover, as in d2l 3.3, 3.7 and 4."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxlinear import checks
from jaxlinear.model.affine import affine
from jaxlinear.types import Batch, Linear


def synthetic_regression(key: PRNGKeyArray, n: int, w, b, noise: float = 0.01) -> Batch:
    """x ~ N(0, 1) of shape (n, d) and y = w x + b + noise · N(0, 1).

    ``w`` is (d,) with ``b`` (), or (k, d) with ``b`` (k,). The data sets of d2l are
    ``synthetic_regression(key, 1000, [2, -3.4], 4.2)`` (3.3) and, for weight decay (3.7),
    ``synthetic_regression(key, 120, 0.01 * jnp.ones(200), 0.05)``.

    >>> batch = synthetic_regression(jax.random.key(0), 1000, [2, -3.4], 4.2)
    >>> batch.x.shape, batch.y.shape
    ((1000, 2), (1000,))
    """
    w = jnp.asarray(checks.numeric(w, "w"), jnp.result_type(float))
    b = jnp.asarray(checks.numeric(b, "b"), w.dtype)
    if w.ndim not in (1, 2) or b.shape != w.shape[:-1]:
        raise ValueError(
            f"w has shape {w.shape} and b {b.shape}; expected (d,) with (), or (k, d) with (k,)."
        )
    checks.count(n, "n")
    x_key, noise_key = jax.random.split(key)
    x = jax.random.normal(x_key, (n, w.shape[-1]), w.dtype)
    clean = jax.vmap(affine, (None, 0))(Linear(w, b), x)
    return Batch(x, clean + noise * jax.random.normal(noise_key, clean.shape, w.dtype))


def synthetic_classification(
    key: PRNGKeyArray, n: int, features: int = 2, classes: int = 3, separation: float = 2.0
) -> Batch:
    """n points of equally likely classes, x ~ N(centre of the class, 1), and integer labels.

    The centres lie ``separation`` from the origin in random directions, so that the best
    classifier is linear and the classes overlap. ``sklearn.datasets.make_blobs``.
    """
    for value, name in ((n, "n"), (features, "features"), (classes, "classes")):
        checks.count(value, name)
    centre_key, label_key, x_key = jax.random.split(key, 3)
    centres = jax.random.normal(centre_key, (classes, features))
    centres = separation * centres / jnp.linalg.norm(centres, axis=1, keepdims=True)
    y: Float[Array, " n"] = jax.random.randint(label_key, (n,), 0, classes)
    return Batch(centres[y] + jax.random.normal(x_key, (n, features)), y)
