"""Ridge from one eigendecomposition, for every penalty: Σ w x xᵀ of a tall x, x xᵀ of a wide one.

With A = √w (x − x̄) = U Σ Vᵀ, a fit at the penalty α = l2 Σ w is w = V (Σ² + α)⁻¹ Σ Uᵀ √w (y − ȳ):
a penalty more costs two small products.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxlinear.exact import normal_equations, statistics
from jaxlinear.exact.dual import Dual, dual, fit_dual
from jaxlinear.exact.statistics import Gram
from jaxlinear.linalg import factor
from jaxlinear.linalg.factor import Factor, Spectrum
from jaxlinear.linalg.products import matmul
from jaxlinear.rows.means import Means, away_from
from jaxlinear.types import Fit, Rows


class Primal(NamedTuple):
    """A tall x: its statistics, and the spectrum of AᵀA. ``empty`` counts constant columns."""

    gram: Gram
    spectrum: Spectrum
    empty: Int[Array, ""]


def decompose(batch: Rows, intercept: bool, l2s) -> Primal | Dual:
    """The decomposition by the shape of x; of a wide one fit for the least of ``l2s``."""
    if is_tall(*batch.x.shape, intercept):
        return primal(statistics.of_batch(batch), intercept)
    return dual(batch, intercept, l2s)


def is_tall(n: int, d: int, intercept: bool) -> bool:
    """More examples than coefficients; with as many 1 − h is 0, and must not cancel."""
    return n > d + intercept


def primal(gram: Gram, intercept: bool) -> Primal:
    """From statistics."""
    gram = gram if intercept else statistics.uncentred(gram)
    xx = jax.lax.stop_gradient(gram.xx)
    diagonal = jnp.diagonal(xx)
    empty = diagonal <= 0
    lift = jnp.where(empty, jnp.mean(diagonal), 0)  # a constant column hides nothing
    spectrum = factor.spectrum(xx + jnp.diag(lift))
    # Rounding mixes even eigenvectors that share no column.
    vectors = jnp.where(empty[:, None], 0, spectrum.vectors)
    return Primal(gram, spectrum._replace(vectors=vectors), jnp.sum(empty))


def scales(decomposition: Primal | Dual, weight, l2s) -> Float[Array, "m r"]:
    """1 / (λ + l2 Σ w) for every penalty."""
    alphas = weight * l2s
    return factor.shifted(decomposition.spectrum, alphas).scale


def mean_of(decomposition: Primal | Dual) -> Means:
    """The means that a decomposition is counted from."""
    if isinstance(decomposition, Primal):
        return Means(decomposition.gram.mean_x, decomposition.gram.mean_y)
    return decomposition.centred.mean


def weight_of(decomposition: Primal | Dual):
    """The total weight of the examples of a decomposition."""
    if isinstance(decomposition, Primal):
        return decomposition.gram.weight
    return decomposition.centred.weight


def held_out(decomposition: Primal | Dual, batch: Rows):
    """P (m, r) and R (k, r): outputs of other examples, less ȳ, are R diag(scale) Pᵀ."""
    away = away_from(batch, "x", mean_of(decomposition).x)
    vectors = decomposition.spectrum.vectors
    if isinstance(decomposition, Primal):
        sides = decomposition.gram.xy.reshape(-1, away.shape[1])
        return matmul(away, vectors), matmul(sides, vectors)
    rows, sides = decomposition.centred.rows, decomposition.centred.sides
    return matmul(away, matmul(rows.T, vectors)), matmul(sides, vectors)


def fit(decomposition: Primal | Dual, l2) -> Fit:
    """The fit at l2, a number or (k,), one for each target."""
    if isinstance(decomposition, Primal):
        alpha = decomposition.gram.weight * l2
        factored = inverse(decomposition, jax.lax.stop_gradient(alpha))
        return normal_equations.fit_from(decomposition.gram, jnp.reshape(alpha, (-1, 1)), factored)
    return fit_dual(decomposition, l2)


def inverse(primal: Primal, alpha) -> Factor:
    """The factor of AᵀA + α I, of which α is a number or (k,)."""
    factored = factor.shifted(primal.spectrum, alpha)
    return factored._replace(rank=factored.rank - jnp.where(alpha == 0, primal.empty, 0))
