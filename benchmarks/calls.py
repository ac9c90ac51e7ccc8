"""One call of every family of fits, and data on which all of them have an optimum."""

from typing import NamedTuple

import jax
import numpy as np

import jaxlinear as jl

_LABELS, _ONE = jl.losses.softmax_cross_entropy, jl.losses.logistic


class Data(NamedTuple):
    """Features, and for every example a number, a yes or no, a count, and a label."""

    x: np.ndarray
    number: np.ndarray
    one: np.ndarray
    count: np.ndarray
    label: np.ndarray
    held_out: np.ndarray
    l2s: np.ndarray


def data(n: int, d: int, k: int | None = None, classes: int = 3) -> Data:
    """Columns of unit variance on which a number, or k of them, depends; and the others on it."""
    rng = np.random.default_rng(0)

    def numbers(*outputs):
        w = rng.standard_normal((d, *outputs)) / np.sqrt(d)
        return x @ w.astype(np.float32) + rng.gumbel(size=(n, *outputs)).astype(np.float32)

    x = rng.standard_normal((n, d), np.float32)
    number = numbers() if k is None else numbers(k)
    return Data(
        x,
        number,
        (number > 0).astype(np.float32),
        rng.poisson(np.exp(number / 4)).astype(np.float32),
        np.argmax(numbers(classes), axis=1).astype(np.int32),
        np.arange(n) % 5 == 4,
        np.geomspace(1, 1e-3, 8).astype(np.float32),
    )


def _sgd_fit(of: Data, classes: int):
    settings = {"key": jax.random.key(0), "lr": 0.1, "epochs": 5, "outputs": classes}
    return jl.sgd_fit(_LABELS, of.x, of.label, **settings)


FITS = {
    "least_squares": lambda of, _: jl.least_squares(of.x, of.number),
    "ridge": lambda of, _: jl.ridge(of.x, of.number, 0.1),
    "ridge_cv": lambda of, _: jl.ridge_cv(of.x, of.number, of.l2s),
    "logistic_regression": lambda of, _: jl.logistic_regression(of.x, of.one, 0.1),
    "poisson_regression": lambda of, _: jl.poisson_regression(of.x, of.count, 0.1),
    "softmax_regression": lambda of, k: jl.softmax_regression(of.x, of.label, 0.1, classes=k),
    "glm_path": lambda of, _: jl.glm_path(_ONE, of.x, of.one, of.l2s),
    "glm_cv": lambda of, _: jl.glm_cv(_ONE, of.x, of.one, of.l2s, 5),
    "linear_probe": lambda of, k: jl.linear_probe(of.x, of.label, of.held_out, of.l2s, outputs=k),
    "sgd_fit": _sgd_fit,
}
"""``fit(data, classes)`` by the name of the function; ``sgd_fit`` takes five epochs."""


def report_of(result) -> jl.Report:
    """Of a fit, or of the fit of a choice; ValueError where it is not what was asked for."""
    report = getattr(result, "fit", result).report
    if not np.isin(report.status, [jl.Status.CONVERGED, jl.Status.MAX_STEPS]).all():
        worst = jl.Status(int(np.max(report.status)))
        raise ValueError(f"a fit ended as {worst.name}: {worst.sentence}")
    return report
