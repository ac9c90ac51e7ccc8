"""Adjusted p-values against their definitions in NumPy, and against statsmodels."""

import jax
import numpy as np
import pytest
from differences import assert_derivatives

from jaxlinear.inference import log_p, multiple

METHODS = {name: getattr(multiple, name) for name in multiple.__all__}
STATSMODELS = {
    "bonferroni": "bonferroni",
    "holm": "holm",
    "hochberg": "simes-hochberg",
    "benjamini_hochberg": "fdr_bh",
    "benjamini_yekutieli": "fdr_by",
}
every_method = pytest.mark.parametrize("name", METHODS)


def by_definition(name, p):
    """The adjusted p-value of each test, from all that are at least or at most as large."""
    m = len(p)
    rank = np.argsort(np.argsort(p, kind="stable"), kind="stable") + 1
    if name == "bonferroni":
        return np.minimum(m * p, 1)
    steps, pick = {
        "holm": (m - rank + 1, lambda i: rank <= rank[i]),
        "hochberg": (m - rank + 1, lambda i: rank >= rank[i]),
    }.get(name, (m / rank, lambda i: rank >= rank[i]))
    extreme = np.max if name == "holm" else np.min
    found = np.array([extreme((steps * p)[pick(i)]) for i in range(m)])
    if name == "benjamini_yekutieli":
        found = found * np.sum(1 / np.arange(1, m + 1))
    if name == "storey":
        found = found * min((np.sum(p > 0.5) + 1) / (0.5 * m), 1)
    return np.minimum(found, 1)


def p_values(n, seed=0):
    """Some small, some of the null, and ties."""
    rng = np.random.default_rng(seed)
    p = np.where(rng.random(n) < 0.4, rng.random(n) ** 8, rng.random(n))
    p[: n // 8] = p[n // 8 : 2 * (n // 8)]
    return p


@every_method
def test_the_definition(name, x64):
    for n in (1, 2, 57):
        p = p_values(n)
        got = METHODS[name](np.log(p))
        np.testing.assert_allclose(np.exp(got), by_definition(name, p), rtol=1e-12)


@pytest.mark.parametrize("name", STATSMODELS)
def test_statsmodels(name, x64):
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p = p_values(300, seed=1)
    expected = multitest.multipletests(p, method=STATSMODELS[name])[1]
    np.testing.assert_allclose(np.exp(METHODS[name](np.log(p))), expected, rtol=1e-12)


@every_method
def test_nan_stays_nan_and_does_not_count(name, x64):
    p = p_values(40)
    with_nan = np.insert(np.log(p), [0, 7, 7, 40], np.nan)
    got = METHODS[name](with_nan)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(with_nan))
    np.testing.assert_allclose(np.exp(got[~np.isnan(got)]), by_definition(name, p), rtol=1e-12)
    assert np.isnan(METHODS[name]([np.nan, np.nan])).all()


@every_method
def test_nothing_underflows(name):
    tiny = np.array([-np.inf, -1e6, -1e5, -2000.0, -0.1], np.float32)
    got = METHODS[name](tiny)
    assert got.dtype == np.float32 and got[0] == -np.inf
    np.testing.assert_allclose(got[1:4], tiny[1:4], rtol=1e-2)
    assert (np.diff(got[1:]) > 0).all()


@every_method
def test_shapes_jit_and_families_by_vmap(name):
    values = np.log(p_values(60)).reshape(3, 20).astype(np.float32)
    method = METHODS[name]
    of_all = method(values)
    np.testing.assert_array_equal(of_all, method(values.reshape(-1)).reshape(3, 20))
    each = jax.jit(jax.vmap(method))(values)
    np.testing.assert_allclose(each, np.stack([method(row) for row in values]), rtol=1e-6)
    assert method(np.zeros((0, 3), np.float32)).shape == (0, 3)


@every_method
def test_derivatives(name, x64):
    values = np.random.default_rng(3).permutation(np.linspace(-20.0, -0.5, 9))
    assert_derivatives(METHODS[name], (values,), order=1)


def test_a_study_of_many_tests_keeps_its_rates():
    """Of 20,000 tests a tenth is real: the shares that are false among those found."""
    rng = np.random.default_rng(0)
    real = np.arange(20_000) < 2_000
    log = log_p.z((rng.normal(size=20_000) + 4 * real).astype(np.float32))
    for name, alpha in (("benjamini_hochberg", 0.1), ("storey", 0.1), ("holm", 0.05)):
        found = np.asarray(METHODS[name](log)) <= np.log(alpha)
        false = (found & ~real).sum() / found.sum()
        assert found.sum() > 400 and false < 1.2 * alpha
    assert (METHODS["storey"](log) <= METHODS["benjamini_hochberg"](log)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: multiple.holm([0.01, 0.5]), r"has 0.5; expected logarithms.*pass jnp.log\(p\)"),
        (lambda: multiple.storey([-1.0], threshold=1.0), r"threshold is 1.0; expected .* \[0, 1\)"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(ValueError, match=message):
        call()
