"""Many tests at once: p-values adjusted for how many there are, as logarithms.

``method(log_p)`` takes the logarithms of the p-values of one family of tests, of any shape, and
returns those of the adjusted p-values, so that nothing underflows. Reject where they are at most
log α: then the error rate of the family is at most α. Several families, such as the coefficients
of many models, each for itself: ``jax.vmap(method, in_axes=1, out_axes=1)(log_p)``.

With p₍₁₎ ≤ … ≤ p₍ₘ₎, methods that step down take the maximum over the smaller p, those that step
up the minimum over the larger. A test with NaN stays NaN and does not count among the m.

statsmodels' ``multipletests(p, method=…)[1]``, R's ``p.adjust``.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxlinear import checks

__all__ = [
    "benjamini_hochberg",
    "benjamini_yekutieli",
    "bonferroni",
    "hochberg",
    "holm",
    "storey",
]

LogP = Shaped[ArrayLike, "*tests"] | list
Adjusted = Float[Array, "*tests"]


def bonferroni(log_p: LogP) -> Adjusted:
    """m p: the probability of any false rejection, however the tests depend on each other.

    statsmodels' and R's "bonferroni". ``holm`` rejects at least as many at the same guarantee.

    >>> print(jnp.exp(bonferroni(jnp.log(jnp.array([0.01, 0.02, 0.5])))).round(3))
    [0.03 0.06 1.  ]
    """
    return _adjusted(_of_bonferroni, log_p)


def holm(log_p: LogP) -> Adjusted:
    """max over j ≤ i of (m − j + 1) p₍ⱼ₎: any false rejection, under any dependence (Holm, 1979).

    statsmodels' and R's "holm".

    >>> print(jnp.exp(holm(jnp.log(jnp.array([0.01, 0.02, 0.5])))).round(3))
    [0.03 0.04 0.5 ]
    """
    return _adjusted(_of_holm, log_p)


def hochberg(log_p: LogP) -> Adjusted:
    """min over j ≥ i of (m − j + 1) p₍ⱼ₎: any false rejection, of tests that are independent.

    It also holds under positive dependence. statsmodels' "simes-hochberg", R's "hochberg"
    (Hochberg, 1988).
    """
    return _adjusted(_of_hochberg, log_p)


def benjamini_hochberg(log_p: LogP) -> Adjusted:
    """min over j ≥ i of m p₍ⱼ₎ / j: the false discovery rate of tests that are independent.

    That is the expected share of false rejections among the rejections. It also holds under
    positive dependence. statsmodels' "fdr_bh", R's "BH", ``scipy.stats.false_discovery_control``
    (Benjamini and Hochberg, 1995).

    >>> print(jnp.exp(benjamini_hochberg(jnp.log(jnp.array([0.01, 0.02, 0.5])))).round(3))
    [0.03 0.03 0.5 ]
    """
    return _adjusted(_of_benjamini_hochberg, log_p)


def benjamini_yekutieli(log_p: LogP) -> Adjusted:
    """Σ_j 1/j times ``benjamini_hochberg``: the false discovery rate under any dependence.

    statsmodels' "fdr_by", R's "BY" (Benjamini and Yekutieli, 2001).
    """
    return _adjusted(_of_benjamini_yekutieli, log_p)


def storey(log_p: LogP, *, threshold: float = 0.5) -> Adjusted:
    """Storey's q-value: π₀ times ``benjamini_hochberg``, with π₀ the share of true hypotheses.

    π₀ = (#{p > λ} + 1) / ((1 − λ) m), at most 1, with ``threshold`` λ in [0, 1): p-values above λ
    are mostly of true hypotheses, which are uniform. The + 1 keeps the false discovery rate of
    independent tests at most α (Storey, Taylor and Siegmund, 2004); R's ``qvalue(p, lambda = λ)``
    is without it. Raises ValueError for a ``threshold`` out of range. Its derivative takes π₀ as
    constant, as it is almost everywhere.

    >>> log_p = jnp.log(jnp.array([0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.3, 0.4, 0.9]))
    >>> print(jnp.exp(storey(log_p)).round(3)[:3], jnp.exp(benjamini_hochberg(log_p)).round(3)[:3])
    [0.004 0.004 0.004] [0.01 0.01 0.01]
    """
    threshold = checks.number(threshold, "threshold", np.float64, below=1.0)
    return _adjusted(_of_storey, log_p, threshold)


# ------------------------------------------------------------------ of sorted logarithms


def _of_bonferroni(log_p, rank, tests):
    return log_p + jnp.log(tests)


def _of_holm(log_p, rank, tests):
    return jax.lax.cummax(log_p + jnp.log(jnp.maximum(tests - rank + 1, 1)))


def _of_hochberg(log_p, rank, tests):
    return jax.lax.cummin(log_p + jnp.log(jnp.maximum(tests - rank + 1, 1)), reverse=True)


def _of_benjamini_hochberg(log_p, rank, tests):
    return jax.lax.cummin(log_p + jnp.log(tests / rank), reverse=True)


def _of_benjamini_yekutieli(log_p, rank, tests):
    harmonic = jnp.sum(jnp.where(rank <= tests, 1 / rank, 0))
    return _of_benjamini_hochberg(log_p, rank, tests) + jnp.log(harmonic)


def _of_storey(log_p, rank, tests, threshold):
    threshold = jnp.asarray(threshold, log_p.dtype)
    above = jnp.sum((log_p > jnp.log(threshold)) & (rank <= tests))
    true = jnp.minimum((above + 1) / ((1 - threshold) * jnp.maximum(tests, 1)), 1)
    return _of_benjamini_hochberg(log_p, rank, tests) + jnp.log(true)


def _adjusted(method: Callable, log_p: LogP, *options) -> Adjusted:
    log_p = jnp.asarray(checks.numeric(log_p, "log_p"))
    log_p = log_p.astype(jnp.promote_types(jnp.result_type(log_p, float), jnp.float32))
    if checks.is_known(log_p) and (np.asarray(log_p) > 0).any():
        raise ValueError(
            f"log_p has {jnp.nanmax(log_p):g}; expected logarithms, which are at most 0. Of "
            "p-values pass jnp.log(p)."
        )
    return _of_family(method, log_p, *options)


@functools.partial(jax.jit, static_argnums=0)
def _of_family(method: Callable, log_p: Float[Array, "*tests"], *options) -> Adjusted:
    flat = log_p.reshape(-1)
    absent = jnp.isnan(flat)
    tests = jnp.sum(~absent).astype(flat.dtype)
    order = jnp.argsort(flat)  # NaN last, and as inf no minimum
    rank = jnp.arange(1, len(flat) + 1, dtype=flat.dtype)
    ascending = jnp.where(absent, jnp.inf, flat)[order]
    adjusted = jnp.minimum(method(ascending, rank, jnp.maximum(tests, 1), *options), 0)
    adjusted = jnp.zeros_like(flat).at[order].set(adjusted, unique_indices=True)
    return jnp.where(absent, jnp.nan, adjusted).reshape(log_p.shape)
