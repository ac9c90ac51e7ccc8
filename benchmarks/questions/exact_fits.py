"""How long do exact fits take: least squares, ridge, its path, and the choice of its penalty?

All in float32. An answer is proven before its clock starts, against float64 NumPy: coefficients
within a part of the largest of their fit, scores within a part of each, choices one by one. A
rival that loops is timed on a part of its loop, evenly spread, and scaled: its row says so.
"""

import jax
import numpy as np

import jaxlinear as jl
from benchmarks import float64, machine, peak_memory, tasks
from benchmarks.answers import SAME, choices, near, one_choice
from benchmarks.data import images, problems, tall, targets_of_varying_noise
from benchmarks.harness import Rival
from benchmarks.rivals import exact
from benchmarks.rivals.libraries import on_jax, rivals
from benchmarks.tasks import Task, shape_of


def answer(*, directory=None, fast=False, rounds=7, say=print) -> dict:
    """One table for each of ``TASKS``; ``fast`` is a smoke test on small data."""
    return tasks.answer("exact_fits", TASKS, directory=directory, fast=fast, rounds=rounds, say=say)


def least_squares(directory, fast: bool) -> Task:
    x, y = tall(fast)
    data, tolerance = on_jax(x, y), 1e-3
    return Task(
        f"Least squares, {shape_of(x)}",
        "fit",
        [
            Rival("jaxlinear, `least_squares`", lambda: jl.least_squares(*data).params),
            Rival(
                "jaxlinear, `least_squares(refine=False)`",
                lambda: jl.least_squares(*data, refine=False).params,
            ),
            *rivals(
                "scikit-learn, `LinearRegression`",
                lambda: exact.sklearn_least_squares(x, y),
                needs=["sklearn"],
            ),
            *rivals("NumPy, normal equations", lambda: exact.numpy_ridge(x, y, 0)),
        ],
        near(float64.ridge(x, y, 0), tolerance),
        {"shape": x.shape, "tolerance": tolerance},
    )


def ridge(directory, fast: bool, intercept: bool = True) -> Task:
    x, y = tall(fast)
    data, l2, tolerance = on_jax(x, y), 1e-4, 1e-3
    said = "" if intercept else "intercept=False"
    return Task(
        f"Ridge{'' if intercept else ' without intercept'}, {shape_of(x)}, l2 = {l2:g}",
        "fit",
        [
            Rival(
                f"jaxlinear, `ridge({said})`" if said else "jaxlinear, `ridge`",
                lambda: jl.ridge(*data, l2, intercept=intercept).params,
            ),
            *rivals(
                f"scikit-learn, `Ridge({'fit_' + said})`" if said else "scikit-learn, `Ridge`",
                lambda: exact.sklearn_ridge(x, y, l2, intercept),
                needs=["sklearn"],
            ),
            *rivals(
                "NumPy, `x.T @ x` and `solve`" + (", centred" if intercept else ""),
                lambda: exact.numpy_ridge(x, y, l2, intercept),
            ),
        ],
        near(float64.ridge(x, y, l2, intercept), tolerance),
        {"shape": x.shape, "l2": l2, "tolerance": tolerance},
    )


def ridge_without_intercept(directory, fast: bool) -> Task:
    return ridge(directory, fast, intercept=False)


def ridge_path(directory, fast: bool) -> Task:
    x, y = images(directory, fast)
    # The products of the pixels, rounded to float32, leave two to four digits at the least l2.
    l2s, tolerance, every = np.logspace(-3, 2, 50), 1e-2, 10
    part = l2s[::every]
    data, made = on_jax(x, y), float64.moments(x, y)
    return Task(
        f"Ridge at {len(l2s)} penalties, Fashion-MNIST, {shape_of(x)}, {y.shape[1]} targets",
        "path",
        [
            Rival("jaxlinear, `ridge_path`", lambda: jl.ridge_path(*data, l2s).params),
            *rivals(
                "scikit-learn, loop over `Ridge`",
                lambda: exact.sklearn_path(x, y, part),
                said=f"timed on {len(part)} penalties of {len(l2s)} and scaled",
                work=len(part) / len(l2s),
                needs=["sklearn"],
            ),
        ],
        near(float64.stack(float64.solve(made, l2) for l2 in l2s), tolerance, stacked=True),
        {"shape": x.shape, "targets": y.shape[1], "l2s": l2s.tolist(), "tolerance": tolerance},
    )


def leave_one_out(directory, fast: bool) -> Task:
    x, y = (a[: 1000 if fast else 20_000] for a in images(directory, fast))
    l2s, tolerance = np.logspace(-3, 2, 50), 1e-4
    data = on_jax(x, y)

    def by_scikit_learn(gcv_mode):
        return rivals(
            "scikit-learn, `RidgeCV`",
            lambda: exact.sklearn_leave_one_out(x, y, l2s, gcv_mode),
            threads=[machine.cores()],
            said=f"gcv_mode={gcv_mode}",
            needs=["sklearn"],
        )

    return Task(
        f"Leave-one-out choice among {len(l2s)} penalties, Fashion-MNIST, {shape_of(x)}, "
        f"{y.shape[1]} targets",
        "choice",
        [
            Rival("jaxlinear, `ridge_cv`", lambda: jl.ridge_cv(*data, l2s)),
            *by_scikit_learn("auto"),
            *by_scikit_learn("svd"),
        ],
        one_choice(l2s, float64.leave_one_out(x, y, l2s), tolerance),
        {"shape": x.shape, "targets": y.shape[1], "l2s": l2s.tolist(), "tolerance": tolerance},
    )


def many_problems(directory, fast: bool) -> Task:
    x, y = problems(200 if fast else 10_000)
    l2, tolerance, every = 1e-2, 1e-4, 20
    said, work = f"timed on {len(x[::every])} problems and scaled", 1 / every
    data = on_jax(x, y)
    single = [on_jax(*problem) for problem in zip(x[::every], y[::every], strict=True)]
    one = jax.jit(lambda x, y: jl.ridge(x, y, l2).params)
    all_at_once = jax.jit(jax.vmap(one))
    return Task(
        f"{len(x):,} problems of {shape_of(x[0])}, l2 = {l2:g}",
        f"{len(x):,} fits",
        [
            Rival("jaxlinear, `jit(vmap(ridge))`", lambda: all_at_once(*data)),
            Rival(
                "jaxlinear, loop over `jit(ridge)`",
                lambda: exact.jaxlinear_problems(one, single),
                work,
                said,
            ),
            *rivals(
                "NumPy, stacked `x.T @ x` and `solve`, centred",
                lambda: exact.numpy_problems(x, y, l2),
            ),
            *rivals(
                "scikit-learn, loop over `Ridge`",
                lambda: exact.sklearn_problems(x[::every], y[::every], l2),
                said=said,
                work=work,
                needs=["sklearn"],
            ),
        ],
        near(
            float64.stack(float64.ridge(*p, l2) for p in zip(x, y, strict=True)),
            tolerance,
            stacked=True,
        ),
        {"shape": x.shape, "l2": l2, "tolerance": tolerance},
    )


def many_targets(directory, fast: bool) -> Task:
    n, d, targets = (200, 30, 400) if fast else (1000, 300, 20_000)
    x, y = targets_of_varying_noise(n, d, targets)
    l2s, folds = np.logspace(-3, 2, 20), 5
    data = on_jax(x, y)
    ways = {"jaxlinear": "jaxlinear_choice", "himalaya": "himalaya_choice"}
    return Task(
        f"{folds}-fold choice among {len(l2s)} penalties for each of {targets:,} targets, "
        f"{shape_of(x)}",
        "choice",
        [
            Rival(
                "jaxlinear, `ridge_cv(per_target=True)`",
                lambda: exact.jaxlinear_choice(*data, l2s, folds),
            ),
            *rivals(
                "himalaya, `RidgeCV`",
                lambda: exact.himalaya_choice(x, y, l2s, folds),
                needs=["himalaya"],
            ),
            *rivals(
                "himalaya, `RidgeCV`, backend torch",
                lambda: exact.himalaya_choice_with_torch(x, y, l2s, folds),
                threads=[machine.cores()],
                needs=["himalaya", "torch"],
            ),
        ],
        choices(l2s, float64.k_fold(x, y, l2s, folds)),
        {"shape": x.shape, "targets": targets, "l2s": l2s.tolist(), "folds": folds},
        SAME,
        lambda: peak_memory.measure(ways, (x, y, l2s), folds),
    )


TASKS = (
    least_squares,
    ridge,
    ridge_without_intercept,
    ridge_path,
    leave_one_out,
    many_problems,
    many_targets,
)
