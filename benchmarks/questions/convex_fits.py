"""How long does it take to the optimum of a logistic or softmax regression?

All in float32, data standardised or in [0, 1], as the rivals need it. An answer is proven by its
objective, computed again in float64 NumPy: its gap to the optimum, relative to the optimum, must
be within the limit of the table. A rival's tolerance is one at which it meets the limit, or, where
its row says that it does not, one that takes it no nearer. A rival that loops is timed on a part
of its loop, evenly spread, and scaled.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np

import jaxlinear as jl
from benchmarks import float64, machine, tasks
from benchmarks.data import load, problems
from benchmarks.harness import Rival
from benchmarks.rivals import convex
from benchmarks.rivals.libraries import on_jax, rivals
from benchmarks.tasks import Task, shape_of

GAP = "gap to the optimum"
# Of softmax regression on Fashion-MNIST at l2 = 1 / 60,000; also what cyanure ends at.
OPTIMUM = 0.3498928


def answer(*, directory=None, fast=False, rounds=7, say=print) -> dict:
    """One table for each of ``TASKS``; ``fast`` is a smoke test on small data."""
    return tasks.answer(
        "convex_fits", TASKS, directory=directory, fast=fast, rounds=rounds, say=say
    )


def fashion_mnist(directory, fast: bool) -> Task:
    """At least as near as scikit-learn's newton-cg stops by itself in float64: 0.349978."""
    x, y = load(directory, fast)[1]
    x, l2 = np.ascontiguousarray(x[:, :: 16 if fast else 1]), 1 / len(x)
    data, limit = on_jax(x, y), 0.349978 / OPTIMUM - 1
    return Task(
        f"Softmax regression, Fashion-MNIST, {shape_of(x)}, l2 = 1 / {len(x):,}",
        "fit",
        [
            Rival(
                "jaxlinear, `softmax_regression`",
                lambda: jl.softmax_regression(*data, l2).params,
            ),
            Rival(
                "jaxlinear, `softmax_regression(tol=1e-4)`",
                lambda: jl.softmax_regression(*data, l2, tol=1e-4).params,
            ),
            *rivals(
                "scikit-learn, `LogisticRegression`",
                lambda: convex.sklearn_logistic(x, y, l2, "newton-cg", 1e-5),
                threads=[machine.cores()],
                said="newton-cg, tol 1e-05",
                needs=["sklearn"],
            ),
            *rivals(
                "cyanure, `Classifier`",
                lambda: convex.cyanure_softmax(x, y, l2, 1e-3),
                threads=[machine.cores()],
                said="tol 0.001",
                needs=["cyanure"],
            ),
        ],
        within(
            limit, _optimum(x, y, l2) if fast else OPTIMUM,
            functools.partial(float64.softmax_objective, x=x, y=y, l2=l2),
        ),
        {"shape": x.shape, "l2": l2, "limit": limit},
        GAP,
        rounds=1,
        first_calls=True,
        headline="The optimum of softmax regression, Fashion-MNIST",
    )  # fmt: skip


def digits(directory, fast: bool) -> Task:
    x, y = _of_sklearn("load_digits")
    x, l2, limit = x / np.float32(16), 1 / len(x), 2e-6  # lbfgs gets no nearer in float32
    data = on_jax(x, y)
    fit = jax.jit(lambda x, y, l2: jl.softmax_regression(x, y, l2, classes=10).params)
    return Task(
        f"Softmax regression, digits, {shape_of(x)}, 10 classes, l2 = 1 / n",
        "fit",
        [
            Rival("jaxlinear, `softmax_regression`", lambda: fit(*data, l2)),
            _by_optax(jl.losses.softmax_cross_entropy, data, l2, 10),
            *_by_scikit_learn(
                functools.partial(convex.sklearn_logistic, x, y, l2),
                {"lbfgs": 1e-6, "newton-cg": 1e-5, "newton-cholesky": 1e-4},
            ),
        ],
        within(
            limit,
            _optimum(x, y, l2),
            functools.partial(float64.softmax_objective, x=x, y=y, l2=l2),
        ),
        {"shape": x.shape, "l2": l2, "limit": limit},
        GAP,
        first_calls=True,
    )


def breast_cancer(directory, fast: bool) -> Task:
    x, y = _of_sklearn("load_breast_cancer")
    x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
    return _binary("breast cancer, standardised", x, y, 1 / len(x))


def tall(directory, fast: bool) -> Task:
    n, d = (2_000, 10) if fast else (20_000, 50)
    draw = functools.partial(np.random.default_rng(0).standard_normal, dtype=np.float32)
    x = draw((n, d))
    y = x @ draw(d) / 2 > -np.log(1 / np.random.default_rng(1).uniform(size=n) - 1)
    return _binary("two classes", x, y, 1e-4)


def _binary(title: str, x, y, l2: float) -> Task:
    y, limit = y.astype(np.float32), 1e-6
    data = on_jax(x, y)
    fit = jax.jit(lambda x, y, l2: jl.logistic_regression(x, y, l2).params)
    return Task(
        f"Logistic regression, {title}, {shape_of(x)}, l2 = {l2:.2g}",
        "fit",
        [
            Rival("jaxlinear, `logistic_regression`", lambda: fit(*data, l2)),
            _by_optax(jl.losses.logistic, data, l2),
            *_by_scikit_learn(
                functools.partial(convex.sklearn_logistic, x, y, l2),
                {"lbfgs": 1e-5, "newton-cholesky": 1e-5},
            ),
        ],
        within(
            limit, float64.logistic_optimum(x, y, l2),
            functools.partial(float64.logistic_objective, x=x, y=y, l2=l2),
        ),
        {"shape": x.shape, "l2": l2, "limit": limit},
        GAP,
        first_calls=True,
    )  # fmt: skip


def concepts(directory, fast: bool) -> Task:
    n, d, k, every = (300, 20, 30, 10) if fast else (5_000, 768, 1_000, 250)
    x, y = features(n, d, k)
    l2, limit, part = 1e-3, 1e-6, y[:, ::every]
    said = f"timed on {part.shape[1]} labels of {k} and scaled"
    data = on_jax(x, y)
    optima = np.array([float64.logistic_optimum(x, label, l2) for label in part.T])

    def objective(params):
        found = jl.Linear(*(leaf[:: len(leaf) // len(optima)] for leaf in params))
        return float64.logistic_objective(found, x, part, l2)

    return Task(
        f"{k:,} labels that share x, {shape_of(x)}, l2 = {l2:g}",
        f"{k:,} fits",
        [
            Rival(
                "jaxlinear, `logistic_regression`",
                lambda: jl.logistic_regression(*data, l2).params,
            ),
            *_by_scikit_learn(
                functools.partial(convex.sklearn_labels, x, part, l2),
                {"lbfgs": 1e-7, "newton-cg": 1e-5},
                part.shape[1] / k,
                said,
            ),
        ],
        within(limit, optima, objective),
        {"shape": x.shape, "labels": k, "l2": l2, "limit": limit},
        GAP,
        rounds=3,
        first_calls=True,
        headline=f"{k:,} logistic probes on features of {shape_of(x)}",
    )


def many_problems(directory, fast: bool) -> Task:
    number, every = (100, 10) if fast else (1_000, 10)
    x, o = problems(number, 200, 20)
    y = (o > 3).astype(np.float32)
    l2, limit = 1e-2, 1e-6
    data, part = on_jax(x, y), (x[::every], y[::every])
    said, work = f"timed on {len(part[0])} problems and scaled", 1 / every
    one = jax.jit(lambda x, y: jl.logistic_regression(x, y, l2).params)
    all_at_once = jax.jit(jax.vmap(one))
    single = [on_jax(*problem) for problem in zip(*part, strict=True)]
    optima = np.array([float64.logistic_optimum(*p, l2) for p in zip(*part, strict=True)])

    def objective(params):
        params = float64.stack(params) if isinstance(params, list) else params
        found = zip(
            *(np.asarray(leaf)[:: len(leaf) // len(optima)] for leaf in params), strict=True
        )
        return np.array(
            [
                float64.logistic_objective(jl.Linear(*fit), *problem, l2)
                for fit, *problem in zip(found, *part, strict=True)
            ]
        )

    return Task(
        f"{number:,} logistic regressions of {shape_of(x[0])}, l2 = {l2:g}",
        f"{number:,} fits",
        [
            Rival("jaxlinear, `jit(vmap(logistic_regression))`", lambda: all_at_once(*data)),
            Rival(
                "jaxlinear, loop over `jit(logistic_regression)`",
                lambda: [one(*problem) for problem in single],
                work,
                said,
            ),
            *_by_scikit_learn(
                functools.partial(convex.sklearn_problems, *part, l2),
                {"lbfgs": 1e-5, "newton-cholesky": 1e-4},
                work,
                said,
            ),
        ],
        within(limit, optima, objective),
        {"shape": x.shape, "l2": l2, "limit": limit},
        GAP,
        first_calls=True,
    )


TASKS = (
    fashion_mnist,
    digits,
    breast_cancer,
    tall,
    concepts,
    many_problems,
)


def _by_scikit_learn(fit: Callable, tolerances: dict, work: float = 1, said="") -> list[Rival]:
    """``fit(solver, tol)`` as variants, of which the fastest that is near enough stays.

    Of a loop, ``work`` is the part that is run, and ``said`` says so.
    """
    return [
        rival
        for solver, tol in tolerances.items()
        for rival in rivals(
            f"scikit-learn, {'loop over ' if said else ''}`LogisticRegression`",
            functools.partial(fit, solver, tol),
            said=", ".join(filter(None, (solver, f"tol {tol:g}", said))),
            work=work,
            needs=["sklearn"],
        )
    ]


def _by_optax(loss: Callable, data, l2: float, outputs: int | None = None) -> Rival:
    zero, tol = jl.zeros(data[0].shape[1], outputs), 1e-5
    run = convex.optax_lbfgs(loss, jl.Batch(*data), l2, zero, tol)
    return Rival("optax, `lbfgs`, loop over the compiled update", run, variant=f"tol {tol:g}")


def _of_sklearn(name: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn import datasets

    x, y = getattr(datasets, name)(return_X_y=True)
    return x.astype(np.float32), y


def features(n: int, d: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Like those of a network: 60 directions behind d columns of many sizes, and k concepts."""
    rng = np.random.default_rng(0)
    hidden = rng.standard_normal((n, 60))
    sizes = 0.3 * np.exp(rng.standard_normal(d))
    x = (hidden @ rng.standard_normal((60, d))) * sizes + rng.standard_normal((n, d))
    o = 0.3 * hidden @ rng.standard_normal((60, k)) + 1.5 * rng.standard_normal(k)
    y = rng.uniform(size=(n, k)) < 1 / (1 + np.exp(-o))
    return x.astype(np.float32), y.astype(np.float32)


def within(limit: float, optimum, objective: Callable) -> Callable:
    """A check that gives the largest relative gap to the optimum, or refuses it."""

    def check(params) -> float:
        gap = float(np.max((objective(params) - optimum) / optimum))
        if not gap <= limit:
            raise ValueError(f"stopped {gap:.1e} above the optimum, expected at most {limit:.1g}")
        return float(f"{max(gap, 0):.1g}")

    return check


def _optimum(x, y, l2: float) -> float:
    """Found by the library itself in float64, and taken for no better than it is found to be."""
    with jax.enable_x64(True):
        fit = jl.softmax_regression(x.astype(np.float64), y, l2)
    return float64.softmax_objective(fit.params, x, y, l2) - float(fit.report.gap)
