"""Robust errors: of examples whose variances differ, or that are not independent.

With A = (XᵀWX)⁻¹ XᵀW, a coefficient changes by A_ji for a unit of y_i, and r are the residuals:

    hc0 … hc3    Var(θ_j) = Σ_i A_ji² r_i² c_i, one product for all targets
    clusters     Var(θ_j) = c Σ_g (Σ_{i in g} A_ji r_i)²
    Newey–West   Var(θ_j) = c Σ_l (1 − |l| / (L + 1)) Σ_i A_ji r_i A_j,i−l r_i−l, for |l| ≤ L.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int

from jaxlinear import checks
from jaxlinear.linalg.products import matmul

NAMES = ("classical", "hc0", "hc1", "hc2", "hc3")
_EXPECTED = f"one of {NAMES}, Clusters(names) or NeweyWest(lags)"
CORRECTIONS = ("stata", "sandwich", "none")


class Clusters(NamedTuple):
    """Errors that depend on each other within a cluster, and not across (Liang and Zeger, 1986).

    ``names`` (n,) are those of the clusters, words or numbers. With G clusters the ``correction``
    is c = G/(G − 1) (n − 1)/(n − p) for "stata", as in Stata's ``vce(cluster)``, statsmodels'
    ``cov_type="cluster"``, and R's ``vcovCL(type = "HC1")``, which is its default for ``lm``;
    G/(G − 1) for "sandwich", R's ``vcovCL(type = "HC0")``; 1 for "none".

    >>> x, y = jnp.arange(6.0)[:, None], jnp.array([1.0, 0.0, 2.0, 4.0, 3.0, 5.0])
    >>> errors = Clusters(["a", "a", "b", "b", "c", "c"])
    >>> told = jl.inference.of_least_squares(jl.least_squares(x, y), x, y, errors=errors)
    >>> print(told.standard_error.w.round(4), told.degrees_of_freedom)
    [0.0601] 2.0
    """

    names: Any
    correction: str = "stata"


class NeweyWest(NamedTuple):
    """Errors that depend on each other up to ``lags`` rows apart, in the order of the rows.

    A row of weight 0 keeps its place in that order.
    The ``correction`` is c = n/(n − p) for "stata", as in Stata's ``newey`` and statsmodels'
    ``cov_type="HAC"`` with ``use_correction=True``, and 1 for "sandwich" and "none": statsmodels'
    default, and R's ``NeweyWest(lag = lags, prewhite = FALSE)`` (Newey and West, 1987).
    """

    lags: int
    correction: str = "none"


Errors = str | Clusters | NeweyWest


class Kind(NamedTuple):
    """Errors as what is static: their name, the number of clusters or lags, the correction."""

    name: str
    number: int = 0
    correction: str = "none"


class Fitted(NamedTuple):
    """What the errors are made of: n examples, of which ``count`` are present, and k targets."""

    present: Bool[Array, " n"]
    residual: Float[Array, "n k"]
    leverage: Float[Array, " n"]
    count: Float[Array, ""]
    freedom: Float[Array, ""]
    cluster: Int[Array, " n"] | None


def checked(errors: Errors, n: int) -> tuple[Kind, Int[ArrayLike, " n"] | None]:
    """The kind of errors, and the cluster of every example where there are clusters."""
    if isinstance(errors, str):
        if errors not in NAMES:
            raise ValueError(f"errors is {errors!r}; expected {_EXPECTED}.")
        return Kind(errors), None
    if not isinstance(errors, Clusters | NeweyWest):
        raise TypeError(f"errors is a {type(errors).__name__}; expected {_EXPECTED}.")
    if errors.correction not in CORRECTIONS:
        raise ValueError(f"correction is {errors.correction!r}; expected one of {CORRECTIONS}.")
    if isinstance(errors, Clusters):
        names, cluster = checks.names_and_numbers(errors.names, n, "names")
        if len(names) < 2:
            raise ValueError(f"names holds {len(names)} cluster; expected at least two.")
        return Kind("clusters", len(names), errors.correction), cluster
    lags = checks.count(errors.lags, "lags")
    if lags >= n:
        raise ValueError(f"lags is {lags}; expected fewer than the {n} examples.")
    return Kind("newey_west", lags, errors.correction), None


def degrees_of_freedom(kind: Kind, fitted: Fitted) -> Float[Array, ""]:
    """Those of t: n − p, or G − 1 with G clusters."""
    if kind.name != "clusters":
        return fitted.freedom
    return _clusters_present(kind, fitted) - 1


def covariance(
    kind: Kind, left: Float[Array, "n q"], right: Float[Array, "n q"], fitted: Fitted
) -> Float[Array, "q k"]:
    """Cov(θ_l, θ_r) of q pairs of coefficients that have these columns of Aᵀ, for k targets."""
    spare = jnp.where(fitted.freedom > 0, fitted.freedom, jnp.nan)
    if kind.name == "clusters":
        factor = {"stata": (fitted.count - 1) / spare}.get(kind.correction, 1)
        if kind.correction != "none":
            groups = _clusters_present(kind, fitted)
            factor = factor * groups / jnp.where(groups > 1, groups - 1, jnp.nan)
        return factor * _within_clusters(kind, left, right, fitted)
    if kind.name == "newey_west":
        factor = fitted.count / spare if kind.correction == "stata" else 1
        return factor * _within_lags(kind, left, right, fitted)
    left_over = 1 - fitted.leverage
    # An example that alone determines a coefficient has leverage 1 and residual 0.
    rounding = 64 * jnp.finfo(left.dtype).eps
    left_over = jnp.where(left_over > rounding, left_over, jnp.nan)
    share = {"hc2": 1 / left_over, "hc3": 1 / jnp.square(left_over)}.get(kind.name, 1)
    squares = jnp.square(fitted.residual) * jnp.reshape(share, (-1, 1))
    total = matmul((left * right).T, squares)
    return total * fitted.count / spare if kind.name == "hc1" else total


def _clusters_present(kind: Kind, fitted: Fitted):
    examples = jax.ops.segment_sum(fitted.present * 1, fitted.cluster, kind.number)
    return jnp.sum(examples > 0).astype(fitted.count.dtype)


def _within_clusters(kind: Kind, left, right, fitted: Fitted):
    def of_pair(pair):
        sums = (
            jax.ops.segment_sum(column[:, None] * fitted.residual, fitted.cluster, kind.number)
            for column in pair
        )
        return jnp.sum(next(sums) * next(sums), axis=0)

    return jax.lax.map(of_pair, (left.T, right.T))


def _within_lags(kind: Kind, left, right, fitted: Fitted):
    row = jnp.arange(len(left))[:, None]

    def of_pair(pair):
        one, other = (column[:, None] * fitted.residual for column in pair)

        def add(lag, total):
            earlier = (jnp.where(row < lag, 0, jnp.roll(s, lag, axis=0)) for s in (other, one))
            products = one * next(earlier) + other * next(earlier)
            return total + (1 - lag / (kind.number + 1)) * jnp.sum(products, axis=0)

        return jax.lax.fori_loop(1, kind.number + 1, add, jnp.sum(one * other, axis=0))

    return jax.lax.map(of_pair, (left.T, right.T))
