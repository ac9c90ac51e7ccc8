"""The errors of ridge on every example when it is left out, for the price of one fit.

The error of an example left out is r / (1 − h), with its residual r and leverage h in the fit to
all examples (Allen, 1974), so that one decomposition serves all examples and penalties.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.exact import spectral, statistics
from jaxlinear.exact.dual import Centred, lifted_eigenvalue
from jaxlinear.exact.spectral import Decomposition
from jaxlinear.exact.static import Validation
from jaxlinear.exact.statistics import Gram
from jaxlinear.linalg.products import matmul
from jaxlinear.rows import blocks
from jaxlinear.rows.absent import ones_or, readable, where_present
from jaxlinear.rows.means import Means, away_from, mean_of_rows
from jaxlinear.types import Rows

_ROWS = 1024
_OUTPUTS = 512


def mapped(score, penalties, targets: int):
    """``score`` for every penalty, in batches: wide products, but bounded memory."""
    return jax.lax.map(score, penalties, batch_size=max(1, _OUTPUTS // targets))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def scores(
    options: Validation, batch: Rows, decomposition: Decomposition, l2s
) -> Float[Array, "m k"]:
    """Σ_i w_i (r_i / (1 − h_i))² / Σ_i w_i for every penalty, from one decomposition.

    NaN where rounding leaves less than three digits of a 1 − h, as for an example that alone
    determines a coefficient, at a small penalty.
    """
    is_tall = spectral.is_tall(*batch.x.shape, options.intercept)
    from_decomposition = _from_hat if is_tall else _from_kernel
    return from_decomposition(options, batch, decomposition, l2s)


@scores.defjvp
def _scores_jvp(options, primals, tangents):
    """By the inverse: eigenvectors have no derivative where eigenvalues coincide."""
    batch, _, l2s = zip(primals, tangents, strict=True)
    is_tall = spectral.is_tall(*primals[0].x.shape, options.intercept)
    by_inverse = _from_hat_by_inverse if is_tall else _from_kernel_by_inverse
    _, change = jax.jvp(functools.partial(by_inverse, options), *zip(batch, l2s, strict=True))
    return scores(options, *primals), change


# A tall x: the hat matrix H = A (AᵀA + α I)⁻¹ Aᵀ gives outputs and leverages, block by block.


def _from_hat(options: Validation, batch: Rows, decomposition: Decomposition, l2s):
    gram, rhs = decomposition.made_of.gram, decomposition.rhs

    def sums(block):
        left = spectral.held_out(decomposition, block)
        squares = jnp.square(left)

        def errors(scale):
            outputs = matmul(rhs * scale[None], left.T)
            return _errors(options, block, gram, outputs, matmul(squares, scale))

        return mapped(errors, spectral.scales(decomposition, l2s), len(rhs))

    return _mean(options, gram, _summed(sums, batch))


def _from_hat_by_inverse(options: Validation, batch: Rows, l2s):
    gram = statistics.of_batch(batch)
    gram = gram if options.intercept else statistics.uncentred(gram)

    def score(l2):
        inverse = _inverse(gram.xx, gram.weight * l2)
        w = matmul(gram.xy, inverse)

        def sums(block):
            rows = away_from(block, "x", gram.mean_x)
            spread = jnp.sum(matmul(rows, inverse) * rows, axis=1)
            return _errors(options, block, gram, matmul(w, rows.T), spread)

        return _mean(options, gram, _summed(sums, batch))

    return jax.lax.map(score, l2s)


def _summed(sums, batch: Rows):
    return blocks.fold(
        lambda block: sums(readable(block)),
        lambda total, block: jax.tree.map(jnp.add, total, sums(readable(block))),
        batch,
        _ROWS,
    )


def _errors(options: Validation, block: Rows, gram: Gram, outputs, spread):
    """Σ w (r / (1 − h))² and Σ (1 − h), with the leverages h."""
    residual = away_from(block, "y", gram.mean_y).T - outputs
    weight = ones_or(block.weight, len(spread), spread.dtype)
    complement = 1 - statistics.leverage(gram, weight, spread, options.intercept)
    total = jnp.sum(where_present(block.weight, complement))
    if not options.generalized:
        lost = 1e-3 * complement < jnp.finfo(complement.dtype).eps
        residual = residual / jnp.where(lost, jnp.nan, complement)[None]
    return jnp.sum(weight[None] * jnp.square(residual), axis=1), total


def _mean(options: Validation, gram: Gram, sums):
    squares, total = sums
    if options.generalized:
        squares = squares / jnp.square(total / gram.count)[..., None]
    return squares / gram.weight


# A wide x: r and 1 − h would lose their digits to cancellation. With C = (A Aᵀ + α I)⁻¹, without
# the direction √w of the intercept, I − H = α C, and √w r / (1 − h) is √w (y − ȳ) C / diag(C).


def _from_kernel(options: Validation, batch: Rows, decomposition: Decomposition, l2s):
    centred, rhs = decomposition.made_of.centred, decomposition.rhs
    vectors = decomposition.spectrum.vectors

    def score(argument):
        l2, scale = argument
        residual = matmul(rhs * scale[None], vectors.T)
        complement = where_present(batch.weight, matmul(jnp.square(vectors), scale), 1)
        lifted = lifted_eigenvalue(centred) + centred.weight * l2
        return _mean_of_kernel(options, centred, lifted, jnp.square(residual), complement)

    return mapped(score, (l2s, spectral.scales(decomposition, l2s)), len(rhs))


def _from_kernel_by_inverse(options: Validation, batch: Rows, l2s):
    """Without √w, whose derivative is ∞ at 0: √w C √w⁻¹ = (W x xᵀ + α I)⁻¹, W = diag(w)."""
    batch = readable(batch)
    means = Means(mean_of_rows(batch, "x"), mean_of_rows(batch, "y"))
    means = means if options.intercept else jax.tree.map(jnp.zeros_like, means)
    x, y = (away_from(batch, name, getattr(means, name)) for name in ("x", "y"))
    weight = ones_or(batch.weight, len(x), x.dtype)
    absent, total = weight == 0, jnp.sum(weight)
    lift = jax.lax.stop_gradient(jnp.sum(weight * jnp.sum(jnp.square(x), axis=1)) / len(x))
    kernel = matmul(x, x.T) + options.intercept * lift / total

    def score(l2):
        alpha = total * l2
        # Without a penalty any weight > 0 fits the example exactly: there is no derivative.
        each = jnp.where(absent & (alpha == 0), 0, weight)
        diagonal = jnp.where(absent & (alpha == 0), lift, alpha)
        inverse = jnp.linalg.inv(kernel * each[None] + jnp.diag(diagonal))
        squares = each[None] * jnp.square(matmul(y.T, inverse.T))
        share = options.intercept * each / total
        known = Centred(x, y.T, means, total, absent, share)
        return _mean_of_kernel(options, known, lift + alpha, squares, jnp.diagonal(inverse))

    return jax.lax.map(score, l2s)


def _mean_of_kernel(options: Validation, centred: Centred, lifted, squares, complement):
    complement = complement - centred.share / lifted
    if options.generalized:
        present = True if centred.absent is None else ~centred.absent
        complement = jnp.broadcast_to(jnp.mean(complement, where=present), complement.shape)
    return jnp.sum(squares / jnp.square(complement)[None], axis=1) / centred.weight


def _inverse(matrix, alpha):
    one = jnp.eye(len(matrix), dtype=matrix.dtype)
    return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(matrix + alpha * one), True), one)
