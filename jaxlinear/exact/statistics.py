"""The sufficient statistics of least squares, whose size is d × (d + k) whatever n is.

The rows are centred before their products are summed, so that no digits cancel.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.linalg.products import matmul
from jaxlinear.rows import blocks
from jaxlinear.rows.absent import readable
from jaxlinear.rows.means import away_from, guess_of_means
from jaxlinear.types import Rows

_ROWS = 4096


class Gram(NamedTuple):
    """The statistics of a batch: weighted sums over its examples of weight > 0.

    ``weight`` is Σ w, ``count`` the number of examples, ``mean_x`` and ``mean_y`` the weighted
    means, ``xx`` = Σ w (x − x̄)(x − x̄)ᵀ, ``xy`` = Σ w (y − ȳ)(x − x̄)ᵀ, outputs first, and ``yy`` =
    Σ w (y − ȳ)². Where every target has examples of its own (see ``of``), all of them have a
    leading axis of targets.
    """

    weight: Float[Array, "*k"]
    count: Float[Array, "*k"]
    mean_x: Float[Array, "*k d"]
    mean_y: Float[Array, "*outputs"]
    xx: Float[Array, "*k d d"]
    xy: Float[Array, "*outputs d"]
    yy: Float[Array, "*outputs"]


def of_batch(batch: Rows) -> Gram:
    """The statistics of a checked batch of y (n, k), block by block so that memory is bounded.

    Rows are centred at an estimate of the mean; the sums are moved to the mean at the end.
    """
    guess = guess_of_means(batch)

    def sums(block):
        block = readable(block)
        x, y = (away_from(block, name, center) for name, center in guess._asdict().items())
        ones = jnp.ones((len(x), 1), x.dtype)
        weight = ones if block.weight is None else block.weight[:, None].astype(x.dtype)
        sides = jnp.concatenate([y, ones], axis=1)
        weighted = sides if block.weight is None else weight * sides
        left = x if block.weight is None else weight * x
        return (
            jnp.stack([jnp.sum(weight), jnp.sum(weight != 0).astype(x.dtype)]),
            _upper_strips(left, x),
            matmul(weighted.T, x),
            jnp.sum(weighted * sides, axis=0),
            jnp.sum(weighted, axis=0),
        )

    def add(total, block):
        return jax.tree.map(jnp.add, total, sums(block))

    (weight, count), strips, xy, yy, y = blocks.fold(sums, add, batch, _ROWS)
    around = Gram(
        weight,
        count,
        xy[-1] / jnp.where(weight == 0, 1, weight),
        y[:-1] / jnp.where(weight == 0, 1, weight),
        _from_upper_strips(strips),
        xy[:-1],
        yy[:-1],
    )
    mean_x, mean_y = guess.x + around.mean_x, guess.y + around.mean_y
    return _moved(around, -1)._replace(mean_x=mean_x, mean_y=mean_y)


def _upper_strips(left, right) -> list:
    """leftᵀ right, which is symmetric, in strips of rows without what lies below them.

    Four strips save three eighths of the work; with fewer than 256 columns nothing is gained.
    """
    d = right.shape[1]
    size = -(-d // 4) if d >= 256 else d
    return [matmul(left[:, i : i + size].T, right[:, i:]) for i in range(0, d, size)]


def _from_upper_strips(strips: list) -> Float[Array, "d d"]:
    d = strips[0].shape[1]
    upper = jnp.concatenate([jnp.pad(s, ((0, 0), (d - s.shape[1], 0))) for s in strips])
    return jnp.triu(upper) + jnp.triu(upper, 1).T


def uncentred(gram: Gram) -> Gram:
    """The statistics around 0 instead of the means, for fits without an intercept."""
    moved = _moved(gram, 1)
    return moved._replace(mean_x=jnp.zeros_like(gram.mean_x), mean_y=jnp.zeros_like(gram.mean_y))


def _moved(gram: Gram, sign: int) -> Gram:
    """Products moved from the means to 0 (sign 1), or back (sign -1), by Steiner's theorem."""
    mean_x, mean_y = gram.mean_x, gram.mean_y
    amount = sign * gram.weight
    return gram._replace(
        xx=gram.xx + amount * mean_x[:, None] * mean_x[None, :],
        xy=gram.xy + amount * mean_y[:, None] * mean_x[None, :],
        yy=gram.yy + amount * jnp.square(mean_y),
    )


def leverage(gram: Gram, weight, spread, intercept):
    """The leverages w (s + 1 / Σ w), with the ``spread`` s = (x − x̄)ᵀ (xx + α I)⁻¹ (x − x̄)."""
    return weight * (spread + intercept / gram.weight)
