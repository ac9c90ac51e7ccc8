"""Logarithms of p-values against mpmath at 50 digits, from p near 1 to log p = −1e6."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from differences import assert_derivatives
from scipy import stats

from jaxlinear.inference import log_p

mpmath = pytest.importorskip("mpmath")
TOLERANCE = {np.float64: 1e-12, np.float32: 2e-5}
both_dtypes = pytest.mark.parametrize("dtype", TOLERANCE)
float32_first = pytest.mark.parametrize(
    "dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.full)]
)


def tail_of_f(f, df1, df2):
    a, b, f = (mpmath.mpf(value) for value in (df2 / 2, df1 / 2, f))
    x, y = a / (a + b * f), b * f / (a + b * f)
    try:
        return mpmath.log(mpmath.betainc(a, b, 0, x, regularized=True))
    except ValueError:  # its own transformations may cancel; this sum has none
        total = mpmath.hyp2f1(a + b, 1, a + 1, x, maxterms=10**6)
        return mpmath.log(x**a * y**b / (a * mpmath.beta(a, b)) * total)


def tail_of_t(t, df):
    return tail_of_f(mpmath.mpf(t) ** 2, 1, df)


def tail_of_z(z):
    return mpmath.log(mpmath.erfc(mpmath.mpf(z) / mpmath.sqrt(2)))


def tail_of_chi2(chi2, df):
    half = mpmath.mpf(chi2) / 2
    return mpmath.log(mpmath.gammainc(mpmath.mpf(df) / 2, half, regularized=True))


# Numbers that float32 holds exactly, so that both dtypes have the same answers.
SIZES = (2.0**-10, 0.25, 0.9921875, 1.0078125, 1.625, 1.875, 3.0, 40.0, 1000.0, 1e5)
GRIDS = {
    "z": (log_p.z, tail_of_z, [(s,) for s in (*SIZES[:-1], 1400.0)]),
    "t": (
        log_p.t, tail_of_t,
        [(s, df) for s in SIZES for df in (1, 1.5, 10, 99.5, 1e4, 1e6) if df < 1e6 or s != 40],
    ),
    "chi2": (
        log_p.chi2, tail_of_chi2,
        [(s * df, df) for s in SIZES[:8] for df in (1, 2.5, 30, 1000, 8192)]
        + [(2e6, 3), (2e6, 200)],
    ),
    "f": (
        log_p.f, tail_of_f,
        [(s, a, b) for s in SIZES for a in (1, 2.5, 30, 1000) for b in (1, 2.5, 30, 1000)],
    ),
    "f of many": (
        log_p.f, tail_of_f,
        [(s, 1e6, b) for s in SIZES[1:8] for b in (1, 30)] + [(s, 30, 1e6) for s in SIZES[1:7]],
    ),
}  # fmt: skip


@functools.cache
def grid(name):
    function, tail, points = GRIDS[name]
    with mpmath.workdps(50):
        return function, np.array(points).T, np.array([float(tail(*point)) for point in points])


@both_dtypes
@pytest.mark.parametrize("name", GRIDS)
def test_all_digits(name, dtype, x64):
    function, arguments, expected = grid(name)
    assert expected.min() < -20 and expected.max() > -1e-3
    got = jax.jit(function)(*(jnp.asarray(a, dtype) for a in arguments))
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=TOLERANCE[dtype], atol=1e-36)


@both_dtypes
def test_both_degrees_of_freedom_may_be_large(dtype, x64):
    f = np.array([0.9921875, 1.0, 1.0078125], dtype)
    got = log_p.f(f, dtype(1e6), dtype(1e6))
    expected = stats.f.logsf(f.astype(float), 1e6, 1e6)
    np.testing.assert_allclose(got, expected, rtol=50 * TOLERANCE[dtype])


@float32_first
def test_one_sided(dtype, x64):
    t = np.array([-300.0, -5.0, -0.25, 0.0, 0.25, 5.0, 300.0], dtype)
    for df in (3, 2000):
        with mpmath.workdps(50):
            both = [mpmath.exp(tail_of_t(float(abs(s)), df)) for s in t]
            tails = [p / 2 if s >= 0 else 1 - p / 2 for s, p in zip(t, both, strict=True)]
            greater = np.array([float(mpmath.log(p)) for p in tails])
        got = log_p.t(t, df, alternative="greater")
        np.testing.assert_allclose(got, greater, rtol=TOLERANCE[dtype], atol=1e-300)
        got = log_p.t(t, df, alternative="less")
        np.testing.assert_allclose(got, greater[::-1], rtol=TOLERANCE[dtype], atol=1e-300)


def test_many_degrees_of_freedom_are_those_of_z(x64):
    t = np.array([0.0, 0.1, 1.0, 10.0, 1000.0])
    np.testing.assert_allclose(log_p.t(t, 1e13), log_p.z(t), rtol=1e-6)
    np.testing.assert_array_equal(log_p.t(t, np.inf), log_p.z(t))
    np.testing.assert_allclose(log_p.chi2(t**2, 1.0), log_p.z(t), rtol=1e-12, atol=1e-100)
    np.testing.assert_allclose(log_p.f(t, 3.0, np.inf), log_p.chi2(3 * t, 3.0), rtol=1e-12)


STATISTICS = {
    "z": lambda s: log_p.z(s),
    "t": lambda s: log_p.t(s, 7.5, alternative="greater"),
    "chi2": lambda s: log_p.chi2(jnp.abs(s), 3.0),
    "f": lambda s: log_p.f(jnp.abs(s), 4.0, jnp.asarray([3.0, 2000.0])[:, None]),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_derivatives_in_the_statistic(name, x64):
    assert_derivatives(STATISTICS[name], ([-3.0, -0.4, 0.3, 2.0, 9.0],), tolerance=1e-6)


def test_derivatives_in_the_degrees_of_freedom(x64):
    def function(df1, df2):
        f = jnp.asarray([0.2, 1.1, 5.0, 300.0])
        return log_p.f(f, df1, df2), log_p.t(-f, df2, alternative="greater"), log_p.chi2(f, df1)

    assert_derivatives(function, ([1.0, 2.5, 8.0, 40.0], [1.5, 20.0, 90.0, 6.0]), order=1)


@float32_first
def test_derivatives_at_extremes(dtype, x64):
    """Where the tail underflows, its density over it is still right: z + 1/z − …"""
    slope = jax.vmap(jax.grad(lambda z: log_p.z(z, alternative="greater")))
    got = slope(np.array([-2.0, 0.0, 50.0, 1400.0], dtype))
    hazard = np.exp(stats.norm.logpdf([-2, 0]) - stats.norm.logsf([-2, 0]))
    far = [z + 1 / z - 2 / z**3 + 10 / z**5 - 74 / z**7 for z in (50.0, 1400.0)]
    np.testing.assert_allclose(got, [*-hazard, *np.negative(far)], rtol=TOLERANCE[dtype])


@float32_first
def test_ends(dtype, x64):
    inf, nan = dtype(np.inf), dtype(np.nan)
    t = np.array([inf, -inf, nan, 1.0, 1.0, 1.0], dtype)
    df = np.array([3.0, 3.0, 3.0, 0.0, -1.0, nan], dtype)
    np.testing.assert_array_equal(log_p.t(t, df), [-inf, -inf, nan, nan, nan, nan])
    got = log_p.t(t, df, alternative="greater")
    np.testing.assert_array_equal(got, [-inf, 0, nan, nan, nan, nan])
    np.testing.assert_array_equal(log_p.z(t[:3]), [-inf, -inf, nan])
    np.testing.assert_array_equal(log_p.chi2([inf, 0.0, -1.0], 2.0), [-inf, 0, 0])
    np.testing.assert_array_equal(log_p.f([inf, 0.0, -1.0], 2.0, 5.0), [-inf, 0, 0])


def test_shapes_and_dtypes():
    t = np.linspace(-3, 3, 5, dtype=np.float32)
    wide = log_p.t(t[:, None], np.arange(1, 4))
    assert wide.shape == (5, 3)
    by_vmap = jax.vmap(lambda df: log_p.t(t, df), out_axes=1)(jnp.arange(1, 4))
    np.testing.assert_allclose(wide, by_vmap, rtol=1e-6)
    assert log_p.t(t.astype(np.float16), 3).dtype == np.float32
    assert log_p.chi2(4, [1, 2]).shape == (2,)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_p.t(1.0, 3, alternative="larger"), "alternative is 'larger'; expected one of"),
        (lambda: log_p.t(np.ones(3), np.ones(4)), r"shapes {'t': \(3,\), 'df': \(4,\)}; expected"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
