"""Thousands of fits in one program, for every solver: each ends, and in good time.

A release of jaxlib never returned from such a program, at 0 % of the processor: so every solver
has a process of its own, and a limit on its time that no slow machine needs.
"""

import subprocess
import sys
import textwrap

import pytest

LIMIT = 300  # seconds; some take 10

FITS = {
    "least_squares": """
        fit = jl.least_squares(x, y)
        told = jl.inference.of_least_squares(fit.params, x, y)
        return fit, told.standard_error.w
    """,
    "ridge": "return jl.ridge(x, y, 0.1), 0",
    "ridge_path": """
        path = jl.ridge_path(x, y, np.array([0.1, 1.0]))
        return jax.tree.map(lambda leaf: leaf[1], path), path.params.w
    """,
    "ridge_cv": """
        chosen = jl.ridge_cv(x, y, np.array([0.1, 1.0]))
        return chosen.fit, chosen.scores
    """,
    "gram": "return jl.gram.ridge(jl.gram.of(x, y), 0.1), 0",
    "logistic": """
        fit = jl.logistic_regression(x, label)
        told = jl.inference.of_glm(jl.losses.logistic, fit.params, x, label)
        return fit, told.standard_error.w
    """,
    "softmax": "return jl.softmax_regression(x, label.astype(int), 0.1, classes=2), 0",
    "poisson": """
        fit = jl.poisson_regression(x, count)
        told = jl.inference.of_glm(jl.losses.poisson, fit.params, x, count)
        return fit, told.standard_error.w
    """,
    "huber": "return jl.glm(jl.losses.huber, x, y, 0.1), 0",
    "sgd_fit": """
        fit = jl.sgd_fit(jl.losses.logistic, x, label, key=jax.random.key(0), lr=0.1, epochs=2)
        return fit, fit.history
    """,
}

PROGRAM = """
import jax
import jax.numpy as jnp
import numpy as np

import jaxlinear as jl

rng = np.random.default_rng(0)
genes = rng.binomial(2, 0.3, size=({models}, 1_000)).astype(np.float32)
shared = rng.normal(size=(1_000, 5)).astype(np.float32)
y = rng.normal(size=1_000).astype(np.float32)
label = (y > 0).astype(np.float32)
count = rng.poisson(2.0, size=1_000).astype(np.float32)


def fit(x):
{body}


def one(gene):
    fitted, more = fit(jnp.concatenate([gene[:, None], shared], axis=1))
    return fitted.params, fitted.report.status, more


params, status, more = jax.jit(lambda genes: jax.lax.map(one, genes, batch_size=1_000))(genes)
assert np.isin(status, [jl.Status.CONVERGED, jl.Status.MAX_STEPS]).all(), np.unique(status)
assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((params, more)))
alone = fit(np.concatenate([genes[-1][:, None], shared], axis=1))[0].params
np.testing.assert_allclose(params.w[-1], alone.w, rtol=1e-3, atol=1e-5)
print("done")
"""


def load(name, models=8_000, limit=LIMIT):
    body = textwrap.indent(textwrap.dedent(FITS[name]).strip(), "    ")
    code = PROGRAM.format(body=body, models=models)
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=limit
    )


@pytest.mark.full
@pytest.mark.parametrize("name", FITS)
def test_thousands_of_fits_in_one_program(name):
    ended = load(name)
    assert ended.stdout.strip() == "done", ended.stderr[-2000:]
