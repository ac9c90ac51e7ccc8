"""Ridge for all penalties by one eigendecomposition: of xᵀx for a tall x, x xᵀ for a wide one.

With A = √w (x − x̄) = U Σ Vᵀ, a fit at the penalty α = l2 Σ w is w = V (Σ² + α)⁻¹ Σ Uᵀ √w (y − ȳ):
each penalty costs two small products.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxlinear.exact import dual, normal_equations, statistics
from jaxlinear.exact.dual import Dual
from jaxlinear.exact.statistics import Gram
from jaxlinear.linalg import factor
from jaxlinear.linalg.factor import Factor, Spectrum
from jaxlinear.linalg.products import matmul
from jaxlinear.rows.means import Means, away_from
from jaxlinear.types import Fit, Rows


class Primal(NamedTuple):
    """The statistics of a tall x, and ``empty``, the number of its constant columns."""

    gram: Gram
    empty: Int[Array, ""]


class Decomposition(NamedTuple):
    """The fits of all penalties α: w = rhs diag(1 / (λ + α)) lhsᵀ, with the λ of ``spectrum``.

    For a tall x, lhs = V, rhs = √w (y − ȳ)ᵀ A V; for a wide one, lhs = Aᵀ U, rhs = √w (y − ȳ)ᵀ U.
    ``mean`` and ``weight`` are those of the examples. Derivatives pass through ``made_of``, from
    which the decomposition was computed.
    """

    spectrum: Spectrum
    lhs: Float[Array, "d r"]
    rhs: Float[Array, "k r"]
    mean: Means
    weight: Float[Array, ""]
    made_of: Primal | Dual


def decompose(batch: Rows, intercept: bool, l2s) -> Decomposition:
    """The decomposition for the shape of x; for a wide one as accurate as the least l2 needs."""
    if is_tall(*batch.x.shape, intercept):
        return primal(statistics.of_batch(batch), intercept)
    made_of, spectrum = dual.dual(batch, intercept, l2s)
    rows, sides, mean, weight = made_of.centred[:4]
    lhs, rhs = matmul(rows.T, spectrum.vectors), matmul(sides, spectrum.vectors)
    return Decomposition(spectrum, lhs, rhs, mean, weight, made_of)


def is_tall(n: int, d: int, intercept: bool) -> bool:
    """More examples than coefficients; with as many, 1 − h is 0 at l2 = 0 and loses its digits."""
    return n > d + intercept


def primal(gram: Gram, intercept: bool) -> Decomposition:
    """The decomposition of a tall x, from its statistics."""
    gram = gram if intercept else statistics.uncentred(gram)
    xx = jax.lax.stop_gradient(gram.xx)
    diagonal = jnp.diagonal(xx)
    empty = diagonal <= 0
    lift = jnp.where(empty, jnp.mean(diagonal), 0)  # constant columns are not ill-conditioning
    spectrum = factor.spectrum(xx + jnp.diag(lift))
    # Rounding mixes even eigenvectors that have no column in common.
    vectors = jnp.where(empty[:, None], 0, spectrum.vectors)
    spectrum, mean = spectrum._replace(vectors=vectors), Means(gram.mean_x, gram.mean_y)
    rhs, made_of = matmul(gram.xy, vectors), Primal(gram, jnp.sum(empty))
    return Decomposition(spectrum, vectors, rhs, mean, gram.weight, made_of)


def scales(decomposition: Decomposition, l2s) -> Float[Array, "m r"]:
    """1 / (λ + l2 Σ w) for every penalty."""
    return factor.shifted(decomposition.spectrum, decomposition.weight * l2s).scale


def held_out(decomposition: Decomposition, batch: Rows) -> Float[Array, "m r"]:
    """P: the outputs for the examples of ``batch`` are ȳ + P diag(scale) rhsᵀ."""
    return matmul(away_from(batch, "x", decomposition.mean.x), decomposition.lhs)


def fit(decomposition: Decomposition, l2) -> Fit:
    """The fit at l2, a number or (k,), one for each target."""
    made_of = decomposition.made_of
    if isinstance(made_of, Dual):
        return dual.fit(made_of, decomposition.spectrum, l2)
    alpha = decomposition.weight * l2
    factored = inverse(decomposition, jax.lax.stop_gradient(alpha))
    return normal_equations.fit_from(made_of.gram, jnp.reshape(alpha, (-1, 1)), factored)


def inverse(decomposition: Decomposition, alpha) -> Factor:
    """The factor of AᵀA + α I of a tall x, for α a number or (k,)."""
    factored = factor.shifted(decomposition.spectrum, alpha)
    empty = decomposition.made_of.empty
    return factored._replace(rank=factored.rank - jnp.where(alpha == 0, empty, 0))
