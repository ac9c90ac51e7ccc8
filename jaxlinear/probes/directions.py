"""Directions of concepts: differences of means, linear discriminants, and unit vectors of any fit.

All are made from a ``Gram``, whose targets are concepts in {0, 1}; ``jl.gram.ridge`` makes the
ridge directions, and ``of_layers`` the logistic ones.
"""

import jax.numpy as jnp
import numpy as np

from jaxlinear import checks
from jaxlinear.endings import usable
from jaxlinear.exact import gram as grams
from jaxlinear.exact.statistics import Gram
from jaxlinear.linalg.products import two_norm
from jaxlinear.types import Fit, Linear, Status


def mean_difference(gram: Gram) -> Linear:
    """w = μ₁ − μ₀, and b = −w (μ₁ + μ₀) / 2, positive nearer to the mean of class 1.

    ``gram`` is ``jl.gram.of(x, y, weight)`` of y (n,), or (n, k) for k concepts, in {0, 1}: NaN is
    no label. scikit-learn's ``NearestCentroid``; the difference-in-means probe of Marks and
    Tegmark, "The geometry of truth", 2023. NaN for a concept without one of the classes.

    >>> x = jnp.array([[0.0, 0.0], [0.0, 2.0], [2.0, 1.0]])
    >>> print(mean_difference(jl.gram.of(x, jnp.array([0, 0, 1]))))
    Linear(w=Array([2., 0.], dtype=float32), b=Array(-2., dtype=float32))
    """
    _require_two_classes(gram)
    difference, _ = _difference(gram)
    return Linear(difference, -jnp.sum(difference * _middle(gram, difference), axis=-1))


def linear_discriminant(gram: Gram, l2=0.0) -> Fit:
    """w = (S + l2 I)⁻¹ (μ₁ − μ₀), b = −w (μ₁ + μ₀) / 2 + log(p₁ / p₀): the log odds of class 1.

    S = Σ_c Σ_i∈c w_i (x_i − μ_c)(x_i − μ_c)ᵀ / Σ w is the covariance within the classes, which both
    share, and p the weights of the classes (Fisher, 1936). S differs from the covariance of all
    rows by a matrix of rank one, so that the direction is that of ``jl.gram.ridge``, and one
    factorisation serves all concepts; the report is of that fit, with a status for every concept:
    DIVERGED, with NaN, where S is 0 along the direction, as for classes that x separates exactly:
    l2 > 0 helps.

    ``gram`` is as in ``mean_difference``. scikit-learn's ``LinearDiscriminantAnalysis(
    solver="lsqr")``, without its ``shrinkage``, of which l2 is the ridge.

    >>> x = jnp.array([[0.0], [2.0], [2.0], [4.0]])
    >>> fit = linear_discriminant(jl.gram.of(x, jnp.array([0, 0, 1, 1])))
    >>> print(fit.params.w.round(5), fit.params.b.round(5))
    [2.] -4.0
    """
    _require_two_classes(gram)
    ridge = grams.ridge(gram, l2)
    difference, variance = _difference(gram)
    # S = T − v δδᵀ with T the covariance of all; ridge has w = v T⁻¹ δ (Sherman and Morrison).
    explained = jnp.sum(ridge.params.w * difference, axis=-1)
    left = variance * (1 - explained)
    apart = ~(1 - explained > 100 * jnp.finfo(left.dtype).eps)
    w = ridge.params.w / jnp.where(apart, jnp.nan, left)[..., None]
    odds = jnp.log(gram.mean_y) - jnp.log1p(-gram.mean_y)
    b = odds - jnp.sum(w * _middle(gram, difference), axis=-1)
    status = jnp.broadcast_to(ridge.report.status, apart.shape)
    status = jnp.where(apart & usable(status), jnp.int32(Status.DIVERGED), status)
    report = ridge.report._replace(status=status)
    return Fit(Linear(w, b), report)


def unit(params: Linear) -> Linear:
    """w / ‖w‖ and b / ‖w‖: directions of length 1, whose output is the signed distance to o = 0.

    w is (…, d), of any stack of models. ``x + distance * unit(params).w`` moves rows along one, by
    a distance in the unit of x. NaN where w is 0 and has no direction.

    >>> print(unit(jl.Linear(jnp.array([3.0, 4.0]), jnp.array(10.0))))
    Linear(w=Array([0.6, 0.8], dtype=float32), b=Array(2., dtype=float32))
    """
    w, b = (jnp.asarray(leaf) for leaf in params)
    norm = jnp.vectorize(two_norm, signature="(d)->()")(w)
    norm = jnp.where(norm > 0, norm, jnp.nan)
    return Linear(w / norm[..., None], b / norm)


def _difference(gram: Gram):
    """μ₁ − μ₀ (*k, d), and the variance p₁ p₀ of the labels (*k)."""
    variance = gram.mean_y * (1 - gram.mean_y)
    two = variance > 0
    scale = jnp.where(two, jnp.where(two, variance, 1) * gram.weight, jnp.nan)
    return gram.xy / scale[..., None], variance


def _middle(gram: Gram, difference):
    """(μ₁ + μ₀) / 2 (*k, d): x̄ is at p₁ between both."""
    mean = jnp.broadcast_to(gram.mean_x, difference.shape)
    return mean + (0.5 - gram.mean_y)[..., None] * difference


def _require_two_classes(gram: Gram) -> None:
    """Labels in {0, 1} have Σ w (y − ȳ)² = Σ w ȳ (1 − ȳ), and no others in [0, 1] do."""
    if not checks.is_known(gram):
        return
    mean, squares, weight = (np.asarray(leaf) for leaf in (gram.mean_y, gram.yy, gram.weight))
    expected = weight * mean * (1 - mean)
    room = np.sqrt(np.finfo(mean.dtype).eps) * weight
    wrong = ~(np.abs(squares - expected) <= room) & np.isfinite(mean)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0].tolist())
        raise ValueError(
            f"the Gram is of other targets than 0 and 1{f', in column {place[0]}' if place else ''}"
            "; expected jl.gram.of(x, y) with concepts that are there, 1, or not, 0."
        )
