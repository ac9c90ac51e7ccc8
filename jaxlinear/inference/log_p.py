"""Logarithms of p-values, which do not underflow: of z, t, χ² and F statistics.

All are one function, since t² is F(1, ν), χ²/ν is F(ν, ∞) and z is t(∞). The tail of F(d₁, d₂) is
an incomplete beta function: with a = d₂/2, b = d₁/2, x = a / (a + b f) and y = 1 − x,

    P(F > f) = I_x(a, b) = x^a y^b / B(a, b) / (β₀ + α₁ / (β₁ + α₂ / (β₂ + …))).

The logarithm of the first factor is Loader's sum of small terms (2000), and the continued fraction
is that of Didonato and Morris (1992), whose coefficients stay exact as d₁ or d₂ → ∞.
``jax.scipy.special.betainc`` underflows at 1e-38 in float32, and loses digits for large d₂;
``log_ndtr`` is right in its value, but not in its derivative.

A statistic that is inf, or a t whose square is, has log p = −inf; one that is NaN, or df ≤ 0, has
NaN. Statistics and degrees of freedom broadcast, and results are in float32 at least. Derivatives
in a statistic are of any order, in degrees of freedom of the first.
"""

import functools
import math

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Shaped

from jaxlinear import checks

__all__ = ["chi2", "f", "t", "z"]

ALTERNATIVES = ("two-sided", "greater", "less")
Numbers = Shaped[ArrayLike, "..."] | list
LogP = Float[Array, "..."]


def z(z: Numbers, *, alternative: str = "two-sided") -> LogP:
    """log P(|Z| ≥ |z|) of a standard normal Z; "greater" is log P(Z ≥ z), "less" log P(Z ≤ z).

    ``scipy.stats.norm.logsf(z)`` is "greater", R's ``pnorm(z, lower.tail = FALSE, log.p = TRUE)``.

    >>> print(f"{z(1.96):.4f} {z(100.0):.2f} {z(1.96, alternative='greater'):.4f}")
    -2.9958 -5004.83 -3.6890
    """
    return t(z, jnp.inf, alternative=alternative)


def t(t: Numbers, df: Numbers, *, alternative: str = "two-sided") -> LogP:
    """log P(|T| ≥ |t|) of Student's T with ``df`` degrees of freedom, a fraction or inf too.

    "greater" is log P(T ≥ t), as ``scipy.stats.t.logsf(t, df)`` and R's ``pt(t, df, lower.tail =
    FALSE, log.p = TRUE)``; "less" is log P(T ≤ t).

    >>> print(f"{t(2.0, 10):.4f} {t(500.0, 98):.2f}")
    -2.6120 -386.91
    """
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative is {alternative!r}; expected one of {ALTERNATIVES}.")
    t, df = _numbers(t=t, df=df)
    t = -t if alternative == "less" else t
    positive = t >= 0
    size = jnp.where(positive, t, -t) + 2 * math.sqrt(jnp.finfo(t.dtype).tiny)  # t² > 0
    both = _log_tail(jnp.square(size), jnp.full_like(df, 0.5), df / 2)
    if alternative == "two-sided":
        return both
    return jnp.where(positive, both - math.log(2), jnp.log1p(-jnp.exp(both) / 2))


def chi2(chi2: Numbers, df: Numbers) -> LogP:
    """log P(X ≥ chi2) of X that is χ² with ``df`` degrees of freedom.

    ``scipy.stats.chi2.logsf(chi2, df)``, R's ``pchisq(…, lower.tail = FALSE, log.p = TRUE)``.

    >>> print(f"{chi2(3.841, 1):.4f} {chi2(4000.0, 3):.2f}")
    -2.9955 -1996.08
    """
    chi2, df = _numbers(chi2=chi2, df=df)
    return _log_tail(chi2 / df, df / 2, jnp.full_like(df, jnp.inf))


def f(f: Numbers, df1: Numbers, df2: Numbers) -> LogP:
    """log P(X ≥ f) of X that is F with ``df1`` and ``df2`` degrees of freedom.

    ``scipy.stats.f.logsf(f, df1, df2)``, R's ``pf(…, lower.tail = FALSE, log.p = TRUE)``.

    >>> print(f"{f(3.0, 2, 27):.4f} {f(1e4, 2, 1000):.2f}")
    -2.7091 -1522.26
    """
    f, df1, df2 = _numbers(f=f, df1=df1, df2=df2)
    return _log_tail(f, df1 / 2, df2 / 2)


def _numbers(**values):
    """In the dtype of the first, float32 at least; of one shape, but for others of shape ()."""
    arrays = [jnp.asarray(checks.numeric(value, name)) for name, value in values.items()]
    dtype = jnp.promote_types(jnp.result_type(arrays[0], float), jnp.float32)
    try:
        shape = jnp.broadcast_shapes(*(array.shape for array in arrays))
    except ValueError as error:
        shapes = {name: array.shape for name, array in zip(values, arrays, strict=True)}
        raise ValueError(f"got shapes {shapes}; expected shapes that broadcast.") from error
    first, *others = arrays
    others = [a if a.ndim == 0 else jnp.broadcast_to(a, shape) for a in others]
    return [a.astype(dtype) for a in (jnp.broadcast_to(first, shape), *others)]


# ------------------------------------------------------------------ the tail of F, and its slope


@jax.jit
@jax.custom_jvp
def _log_tail(f, b, a):
    """log P(F > f), with b and a half the degrees of freedom."""
    return _of_fraction(f, b, a)[0]


@jax.jit
@jax.custom_jvp
def _log_slope(f, b, a):
    """log s with s = f × density / tail: s = −d log P / d log f."""
    return _of_fraction(f, b, a)[1]


def _of_log_f(slope, f, f_dot):
    """The tangent slope × d log f, 0 where f is an end of its range."""
    inside = (f > 0) & (f < jnp.inf)
    return jnp.where(inside, slope * (f_dot / jnp.where(inside, f, 1)), 0)


def _with_halves(index, primals, tangents):
    """What the degrees of freedom add to a tangent: forward through the continued fraction."""
    f, b, a = primals
    total = 0
    for place, tangent in enumerate(tangents[1:]):
        if not isinstance(tangent, jax.custom_derivatives.SymbolicZero):
            halves, one = [b, a], jnp.ones_like((b, a)[place])

            def of_half(half, place=place, halves=halves):
                return _of_fraction(f, *(half if i == place else h for i, h in enumerate(halves)))

            total = total + jax.jvp(of_half, (halves[place],), (one,))[1][index] * tangent
    return total


def _rule(function, index):
    def rule(primals, tangents):
        f, b, a = primals
        value, total = function(*primals), _with_halves(index, primals, tangents)
        if not isinstance(tangents[0], jax.custom_derivatives.SymbolicZero):
            slope = jnp.exp(_log_slope(*primals))
            slope = slope - _excess(f, *_finite(b, a)) if index else -slope
            total = total + _of_log_f(slope, f, tangents[0])
        return value, jnp.broadcast_to(total, value.shape).astype(value.dtype)

    return rule


_log_tail.__wrapped__.defjvp(_rule(_log_tail, 0), symbolic_zeros=True)
_log_slope.__wrapped__.defjvp(_rule(_log_slope, 1), symbolic_zeros=True)


def _finite(*halves):
    """At most so large that squares are finite; that far F is at its limit to all digits."""
    most = math.sqrt(jnp.finfo(halves[0].dtype).max) / 1e4
    return [jnp.where(half > 0, jnp.minimum(half, most), jnp.nan) for half in halves]


def _excess(f, b, a):
    """a y − b x = a b (f − 1) / (a + b f): how far f is above 1."""
    return b * (f - 1) * (a / (a + b * f))


def _of_fraction(f, b, a):
    """(log P, log s), by the fraction for the smaller of both tails as far as that can be told."""
    b, a = _finite(b, a)
    inside = (f > 0) & (f < jnp.inf)
    at = jnp.where(inside, f, 1)
    n = a + b
    log_factor = (
        (jnp.log(b) + jnp.log(a / n) - math.log(2 * math.pi)) / 2
        + (_stirling(n) - _stirling(a) - _stirling(b))
        - _distance(at, b, a)
    )
    upper = b * at * (1 + 1 / a) > b + 1
    x, excess = a / (a + b * at), _excess(at, b, a)
    y = b / (a + b * at) * at
    log_fraction = jnp.log(
        _fraction(
            jnp.where(upper, a, b),
            jnp.where(upper, b, a),
            jnp.where(upper, x, y),
            jnp.where(upper, excess, -excess),
        )
    )
    log_this = log_factor - log_fraction
    log_lower = jnp.log1p(-jnp.exp(jnp.where(upper, -1, jnp.minimum(log_this, 0))))
    log_p = jnp.where(upper, log_this, log_lower)
    log_slope = jnp.where(upper, log_fraction, log_factor - log_lower)
    unknown = jnp.isnan(f) | jnp.isnan(n)
    ends = jnp.where(f > 0, -jnp.inf, 0), jnp.where(f > 0, jnp.log(a), -jnp.inf)
    return tuple(
        jnp.where(unknown, jnp.nan, jnp.where(inside, value, end)).astype(f.dtype)
        for value, end in zip((log_p, log_slope), ends, strict=True)
    )


def _distance(f, b, a):
    """n log((a + b f) / n) − b log f ≥ 0 with n = a + b, which is 0 at f = 1.

    It is the same in 1/f with a and b exchanged. The terms of that with the smaller b cancel less.
    """
    log_f = jnp.where(jnp.abs(f - 1) < 0.5, jnp.log1p(f - 1), jnp.log(f))
    least, n = jnp.minimum(a, b), a + b
    above = jnp.where(b <= a, f - 1, (1 - f) / f)
    return n * jnp.log1p(least / n * above) - least * jnp.where(b <= a, log_f, -log_f)


def _fraction(a, b, x, excess):
    """β₀ + α₁ / (β₁ + α₂ / (β₂ + …)) for I_x(a, b), by Lentz's method (Thompson, Barnett, 1986)."""
    eps = jnp.finfo(x.dtype).eps
    most = 10_000  # it takes some √max(a, b)

    def beta(m):
        tail = (excess + 1 + m * (2 - x)) * ((a + m) / (a + 2 * m + 1))
        return m + m * ((b - m) * x / (a + 2 * m - 1)) + tail

    def alpha(m):
        root = a + 2 * m - 1
        return m * ((a + m - 1) / root * ((a + b + m - 1) * x / root) * ((b - m) * x))

    def step(state):
        m, value, ratio, inverse, _ = state
        ratio = _away_from_0(beta(m) + alpha(m) / ratio)
        inverse = 1 / _away_from_0(beta(m) + alpha(m) * inverse)
        change = ratio * inverse
        return m + 1, value * change, ratio, inverse, jnp.abs(change - 1)

    def goes_on(state):
        m, *_, change = state
        return (m < most) & jnp.any(change > 4 * eps)

    first = _away_from_0((excess + 1) * (a / (a + 1)))
    start = jnp.ones((), x.dtype), first, first, jnp.zeros_like(x), jnp.full_like(x, jnp.inf)
    _, value, _, _, change = jax.lax.while_loop(goes_on, step, start)
    return jnp.where(change > 1e3 * eps, jnp.nan, value)


def _away_from_0(value):
    tiny = jnp.finfo(value.dtype).tiny
    return jnp.where(jnp.abs(value) < tiny, tiny, value)


# 1/12, −1/360, …: B_2k / (2k (2k − 1)).
_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)


def _stirling(z):
    """log Γ(z) − ((z − 1/2) log z − z + log(2π) / 2), without cancellation."""
    small = z < 8
    low = jnp.where(small, z, 1)
    ratios = functools.reduce(lambda product, k: product * ((low + k) / (low + 8)), range(8), 1.0)
    above = (low - 0.5) * jnp.log1p(8 / low) - 8 - jnp.log(ratios)
    inverse = 1 / jnp.where(small, z + 8, z)
    series = functools.reduce(
        lambda total, term: total * jnp.square(inverse) + term, _STIRLING[::-1]
    )
    return series * inverse + jnp.where(small, above, 0)
