"""Products at the full precision of the dtype, and norms that do not overflow."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxlinear.rows.absent import power_of_two


def matmul(a, b):
    """a @ b at the full precision of the dtype, which is not the default on accelerators."""
    return jnp.matmul(a, b, precision="highest")


_LONG = 2**20  # entries of a matrix from which two cores read it faster than one
_WIDE, _PARTS = 32, 16  # columns from which splitting into parts is faster; at most so many parts


def weighted_rows(weights: Float[Array, "n k"], rows: Float[Array, "n p"]) -> Float[Array, "k p"]:
    """Σ_i weights_i ⊗ rows_i, on all cores.

    On a CPU, XLA computes the product of one row and a matrix on one core. With a second row of
    zeros it takes 0.6 to 1 of that time; split into parts that are added up, 0.3 to 0.6. For
    many models it takes 0.6 where the weights have a row for every example, not every model.
    """
    if weights.shape[1] > 1 or rows.size < _LONG or jax.default_backend() != "cpu":
        return matmul(weights.T, rows)
    return _of_one_output(weights, rows)


@jax.custom_batching.custom_vmap
def _of_one_output(weights, rows):
    n, p = rows.shape
    if p < _WIDE:
        return matmul(jnp.pad(weights, ((0, 0), (0, 1))).T, rows)[:1]
    parts = max(number for number in range(1, _PARTS + 1) if n % number == 0)
    of_each = matmul(weights.reshape(parts, 1, -1), rows.reshape(parts, -1, p))
    return jnp.sum(of_each, axis=0)


@_of_one_output.def_vmap
def _of_many_models(models, batched, weights, rows):
    of_weights, of_rows = batched
    if of_rows:
        axes = (0 if of_weights else None), 0
        return jax.vmap(lambda weights, rows: matmul(weights.T, rows), axes)(weights, rows), True
    by_example = jax.lax.optimization_barrier(weights[..., 0].T)
    return matmul(by_example.T, rows)[:, None], True


def unit_scale(
    squares: Float[Array, "*k d"],
) -> tuple[Float[Array, "*k d"], Bool[Array, "*k d"]]:
    """The square roots, with 1 in place of 0, and a mask of the places where that was done."""
    empty = squares <= 0
    return jnp.sqrt(jnp.where(empty, 1, squares)), empty


def norm_of_tree(tree):
    """The 2-norm of all numbers of a tree, such as a gradient."""
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def two_norm(values):
    """The 2-norm of all values, even where their squares would overflow or underflow."""
    unit = power_of_two(jnp.max(jnp.abs(values)))
    return unit * jnp.sqrt(jnp.sum(jnp.square(values / unit)))
