"""The residuals of least squares in twice the precision of the data, for iterative refinement.

A solution is as accurate as the residuals that correct it (Wilkinson, 1963; Björck, 1967).
For float32 data the sums are taken in float64, where products of two float32 are exact, whether
or not the x64 mode is on. For float64 data all numbers are cut into slices of some 22 bits whose
products a matrix product sums without rounding (Ozaki et al., 2012), and the sums are kept in
pairs of numbers (Dekker, 1971). No product is ever rounded, so it makes no difference whether
the compiler contracts a · b + c into a fused multiply-add, which breaks the usual two-product.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxlinear.linalg.products import matmul
from jaxlinear.loops import with_float64
from jaxlinear.rows import blocks
from jaxlinear.rows.absent import where_present
from jaxlinear.types import Examples, Linear


class Normal(NamedTuple):
    """Σ w r (x − c)ᵀ (k, d), Σ w r (k,) and Σ w r² (k,), of the residuals r = y − (b + w x)."""

    w: Float[Array, "k d"]
    b: Float[Array, " k"]
    squares: Float[Array, " k"]


def normal(examples: Examples, params: Linear, rest: Linear, center: Float[Array, " d"]) -> Normal:
    """The right-hand side of the normal equations at ``params + rest``, right to the last digit.

    ``rest`` holds the digits of the solution for which ``params`` has no room; y is (n, k).
    All quantities are in the units of the examples (see ``exact.units``). Not differentiable.
    """
    if center.dtype == jnp.float64:
        return _in_slices(examples, params, rest, center)
    return with_float64(_in_float64)(examples, params, rest, center)


def _in_float64(examples: Examples, params: Linear, rest: Linear, center) -> Normal:
    wide = functools.partial(jnp.asarray, dtype=jnp.float64)
    w, b = (wide(p) + wide(r) for p, r in zip(params, rest, strict=True))
    c = wide(center)

    def sums(block):
        x, y, weight, unit = block
        x = wide(x) / 255 if x.dtype == jnp.uint8 else wide(x) / wide(unit.x)[None]
        x, y = (where_present(weight, rows) for rows in (x, wide(y) / wide(unit.y)))
        r = y - (matmul(x, w.T) + b[None])
        weighted = r if weight is None else wide(weight)[:, None] * r
        total = weighted.sum(axis=0)
        # No copy of x − c: this loses at most the 8 digits that float64 has beyond float32.
        away = matmul(weighted.T, x) - total[:, None] * c[None]
        return Normal(away, total, (weighted * r).sum(axis=0))

    # Blocks in the cache are up to ten times faster; an accelerator needs large ones.
    rows = blocks.rows_in_cache(examples.x.shape[1], 2**16, least=128, most=8192)
    total = blocks.fold(sums, lambda a, b: jax.tree.map(jnp.add, a, sums(b)), examples, rows)
    return jax.tree.map(lambda a: a.astype(center.dtype), total)


def _in_slices(examples: Examples, params: Linear, rest: Linear, center) -> Normal:
    d, k = len(center), len(params.b)
    rows = 256
    bits = (jnp.finfo(jnp.float64).nmant + 1 - max(rows, d + 1).bit_length()) // 2
    hi, lo = (jnp.concatenate([part.w, part.b[:, None]], axis=1) for part in (params, rest))

    def visit(total, block):
        x, y, weight, unit = block
        x = x / 255 if x.dtype == jnp.uint8 else x / unit.x[None]
        x, y = (where_present(weight, rows) for rows in (x, y / unit.y))
        x = jnp.concatenate([x, jnp.ones_like(x[:, :1])], axis=1)  # b is the weight of a 1
        column = _power_of_two_above(x, axis=0)
        cut = _slices((x / column, jnp.zeros_like(x)), bits, 3)

        unit = _power_of_two_above(hi * column, axis=1)
        w = _slices((hi * column / unit, lo * column / unit), bits, 4)
        r = (y, jnp.zeros_like(y))
        for i, j in _ORDERS:
            r = add(r, -matmul(cut[i], w[j].T) * unit.T)
        weighted = r if weight is None else _times(r, weight[:, None])

        unit = _power_of_two_above(weighted[0], axis=0)
        sides = _slices(jax.tree.map(lambda part: part / unit, weighted), bits, 4)
        sums, squares = total
        for i, j in _ORDERS:
            sums = add(sums, matmul(sides[j].T, cut[i]) * unit.T * column)
        return sums, squares + jnp.sum(weighted[0] * r[0], axis=0)

    zero = jnp.zeros((k, d + 1))
    start = ((zero, zero), jnp.zeros(k))
    sums, squares = blocks.fold(lambda block: visit(start, block), visit, examples, rows)
    (x, x_rest), (b, b_rest) = ((part[:, :d] for part in sums), (part[:, d:] for part in sums))
    high, low = _times((b, b_rest), -center[None])
    g = add(add((x, x_rest), high), low)
    return Normal(g[0] + g[1], (b + b_rest)[:, 0], squares)


# Slice i of one factor is multiplied by slice j of the other; other products are negligible.
_ORDERS = [(i, j) for i in range(3) for j in range(4) if i + j < 4]


def _slices(pair, bits: int, count: int) -> list:
    """A pair |hi + lo| ≤ 1 as a sum of multiples of 2^-bits, 2^-2bits, …, and a remainder."""
    hi, lo = pair
    parts = []
    for number in range(1, count):
        unit = 2.0 ** (-bits * number)
        top = jnp.round(hi / unit) * unit
        hi, lo = _two_sum(hi - top, lo)
        parts.append(top)
    return [*parts, hi]


def _power_of_two_above(values, axis: int):
    # Not exp2, which is rounded.
    _, exponent = jnp.frexp(jnp.max(jnp.abs(values), axis=axis, keepdims=True))
    return jnp.ldexp(jnp.ones(exponent.shape, values.dtype), exponent)


def _two_sum(a, b):
    """a + b and its rounding error, exactly (Knuth, 1969)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def add(pair, value):
    """The sum of a pair and a number, as a pair."""
    total, error = _two_sum(pair[0], value)
    return _two_sum(total, pair[1] + error)


def _times(pair, factor):
    """A pair times a number, from halves of 26 and 27 bits whose products are exact."""
    hi, lo = pair
    (a, b), (c, d) = _halves(hi), _halves(factor)
    total, error = _two_sum(a * c, a * d + b * c)
    return _two_sum(total, error + b * d + lo * factor)


def _halves(value):
    bits = jax.lax.bitcast_convert_type(value, jnp.uint64)
    top = jax.lax.bitcast_convert_type((bits >> 27) << 27, value.dtype)
    return top, value - top
