"""The certified sets of NIST (Statistical Reference Datasets) and others with known answers."""

import json
from fractions import Fraction
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear import Status

REFERENCE = Path(__file__).parents[3] / "shared" / "reference"
needs_reference = pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the reference sets are not beside the checkout"
)

# What the data allow once they are rounded to float64: digits of the exact solution of those.
DIGITS = {
    "Norris": 14.0,
    "Pontius": 13.5,
    "NoInt1": 14.5,
    "NoInt2": 14.5,
    "Filip": 7.6,
    "Longley": 14.6,
    "Wampler1": 15.0,
    "Wampler2": 13.2,
    "Wampler3": 15.0,
    "Wampler4": 15.0,
    "Wampler5": 15.0,
}
every_set = pytest.mark.parametrize("name", DIGITS)


def nist(name):
    """The raw columns with powers taken in float64, the targets, and the certificate."""
    known = json.loads((REFERENCE / "nist" / f"{name}.json").read_text())
    x = np.array(known["X_raw"], float).reshape(known["n_obs"], -1)
    if known["polynomial_degree"]:
        x = np.hstack([x**power for power in range(1, known["polynomial_degree"] + 1)])
    return x, np.array(known["y"], float), known


def coefficients(fit, intercept):
    return np.hstack([[fit.params.b] * intercept, fit.params.w]).astype(float)


def digits(got, expected):
    """The least −log10 of the relative errors, 15 at most."""
    return min(15.0, -np.log10(np.max(np.abs(got - expected) / np.abs(expected)) + 1e-16))


@needs_reference
@every_set
def test_float64_reaches_what_the_data_allow(name, x64):
    x, y, known = nist(name)
    fit = jl.least_squares(x, y, intercept=known["intercept"])
    exact = np.array([float(text) for text in known["coef_exact_20_digits"]])
    assert digits(coefficients(fit, known["intercept"]), exact) >= DIGITS[name] - 0.2
    assert fit.report.status == Status.CONVERGED
    assert fit.report.rank == x.shape[1]


def solved_in_fractions(x, y, intercept):
    """The least-squares solution of the numbers as they are, in exact arithmetic."""
    design = np.hstack([np.ones((len(x), 1)), x]) if intercept else x
    rows = [
        [Fraction(float(v)) for v in (*row, target)] for row, target in zip(design, y, strict=True)
    ]
    p = design.shape[1]
    system = [[sum(r[i] * r[j] for r in rows) for j in range(p + 1)] for i in range(p)]
    for i in range(p):
        system[i] = [value / system[i][i] for value in system[i]]
        for k in set(range(p)) - {i}:
            factor = system[k][i]
            system[k] = [a - factor * b for a, b in zip(system[k], system[i], strict=True)]
    return np.array([float(row[-1]) for row in system])


@needs_reference
@every_set
def test_float32_has_six_digits_or_says_that_it_has_not(name):
    x, y, known = nist(name)
    x, y = x.astype(np.float32), y.astype(np.float32)
    fit = jl.least_squares(x, y, intercept=known["intercept"])
    exact = solved_in_fractions(x, y, known["intercept"])
    right = digits(coefficients(fit, known["intercept"]), exact) >= 6
    # Filip's columns have condition 3e8 when scaled: more than float32 can tell apart.
    assert right == (name != "Filip")
    expected = Status.RANK_DEFICIENT if name == "Filip" else Status.CONVERGED
    assert fit.report.status == expected


@needs_reference
@pytest.mark.parametrize("name", ["Longley", "Wampler4"])
def test_scales_of_columns_change_no_digit(name, x64):
    x, y, _ = nist(name)
    scales = 10.0 ** np.random.default_rng(0).integers(-12, 13, x.shape[1])
    plain, scaled = jl.least_squares(x, y), jl.least_squares(x * scales, y)
    # Scaling by 10 rounds, which moves the solution by as much as the condition number.
    assert digits(np.asarray(scaled.params.w) * scales, np.asarray(plain.params.w)) > 8


NASTY = np.arange(1.0, 10.0)


@pytest.mark.parametrize(
    ("column", "w", "b"),
    [
        (NASTY + 99999990, 1.0, -99999990.0),
        (NASTY * 1e12, 1e-12, 0.0),
        (NASTY * 1e-12, 1e12, 0.0),
        (NASTY - 0.5, 1.0, 0.5),
        (NASTY, 1.0, 0.0),
    ],
    ids=["big", "huge", "tiny", "round", "itself"],
)
def test_wilkinsons_nasty_columns(column, w, b, x64):
    fit = jl.least_squares(column[:, None], NASTY)
    np.testing.assert_allclose(fit.params.w, [w], rtol=1e-14)
    np.testing.assert_allclose(fit.params.b, b, rtol=1e-14, atol=1e-13)


def test_wilkinsons_column_of_zeros(x64):
    fit = jl.least_squares(np.zeros((9, 1)), NASTY)
    assert fit.report.status == Status.RANK_DEFICIENT and fit.report.rank == 0
    assert (fit.params.w[0], fit.params.b) == (0, 5)


@needs_reference
def test_the_diabetes_set(x64):
    known = json.loads((REFERENCE / "glm" / "diabetes_ols_ridge_lasso_enet.json").read_text())
    x, y = np.array(known["X"]), np.array(known["y"])
    fit = jax.jit(jl.least_squares)(x, y)
    np.testing.assert_allclose(fit.params.b, y.mean(), rtol=1e-12)
    design = np.hstack([np.ones((len(x), 1)), x])
    expected = np.linalg.lstsq(design, y, rcond=None)[0]
    np.testing.assert_allclose(coefficients(fit, True), expected, rtol=1e-10)
