"""How long do exact fits take: least squares, ridge, its path, and the choice of its penalty?

All in float32. An answer is proven before its clock starts, against float64 NumPy: coefficients
within a part of the largest of their fit, scores within a part of each, choices one by one. A
rival that loops is timed on a part of its loop, evenly spread, and scaled: its row says so.
"""

import functools
from collections.abc import Callable

import jax
import numpy as np

import jaxlinear as jl
from benchmarks import exact_rivals, float64, machine, peak_memory, sgd_epoch, tasks
from benchmarks.harness import Rival
from benchmarks.libraries import on_jax, rivals
from benchmarks.tasks import Task, shape_of

SAME = "same choice, %"


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
                lambda: exact_rivals.sklearn_least_squares(x, y),
                needs=["sklearn"],
            ),
            *rivals("NumPy, normal equations", lambda: exact_rivals.numpy_ridge(x, y, 0)),
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
                lambda: exact_rivals.sklearn_ridge(x, y, l2, intercept),
                needs=["sklearn"],
            ),
            *rivals(
                "NumPy, `x.T @ x` and `solve`" + (", centred" if intercept else ""),
                lambda: exact_rivals.numpy_ridge(x, y, l2, intercept),
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
                lambda: exact_rivals.sklearn_path(x, y, part),
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
            lambda: exact_rivals.sklearn_leave_one_out(x, y, l2s, gcv_mode),
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
                lambda: exact_rivals.jaxlinear_problems(one, single),
                work,
                said,
            ),
            *rivals(
                "NumPy, stacked `x.T @ x` and `solve`, centred",
                lambda: exact_rivals.numpy_problems(x, y, l2),
            ),
            *rivals(
                "scikit-learn, loop over `Ridge`",
                lambda: exact_rivals.sklearn_problems(x[::every], y[::every], l2),
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
                lambda: exact_rivals.jaxlinear_choice(*data, l2s, folds),
            ),
            *rivals(
                "himalaya, `RidgeCV`",
                lambda: exact_rivals.himalaya_choice(x, y, l2s, folds),
                needs=["himalaya"],
            ),
            *rivals(
                "himalaya, `RidgeCV`, backend torch",
                lambda: exact_rivals.himalaya_choice_with_torch(x, y, l2s, folds),
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


def tall(fast: bool) -> tuple[np.ndarray, np.ndarray]:
    """Columns with means, and one target with noise."""
    n, d = (20_000, 20) if fast else (1_000_000, 100)
    draw = functools.partial(np.random.default_rng(0).standard_normal, dtype=np.float32)
    x = draw((n, d))
    x += np.linspace(-1, 1, d, dtype=np.float32)
    return x, x @ draw(d) + draw(n) + 3


def images(directory, fast: bool) -> tuple[np.ndarray, np.ndarray]:
    """Fashion-MNIST in [0, 1] and one-hot targets; every eighth pixel of the sample if fast."""
    x, y = sgd_epoch.load(directory, fast)[1]
    return np.ascontiguousarray(x[:, :: 8 if fast else 1]), np.eye(10, dtype=np.float32)[y]


def problems(number: int, n: int = 100, d: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """x (p, n, d) with means, y (p, n)."""
    draw = functools.partial(np.random.default_rng(0).standard_normal, dtype=np.float32)
    x = draw((number, n, d)) + np.linspace(-1, 1, d, dtype=np.float32)
    return x, np.einsum("pnd,pd->pn", x, draw((number, d))) + draw((number, n))


def targets_of_varying_noise(n: int, d: int, targets: int) -> tuple[np.ndarray, np.ndarray]:
    """Correlated columns, signals of rank 20, and noise from a tenth to ten times of each.

    So the best l2 of the targets spread over the grid.
    """
    draw = functools.partial(np.random.default_rng(0).standard_normal, dtype=np.float32)
    x = draw((n, d // 5)) @ draw((d // 5, d)) / np.float32(d // 5) ** 0.5 + draw((n, d)) + 1
    signal = x @ (draw((d, 20)) @ draw((20, targets)) / np.float32(20 * d) ** 0.5)
    return x, signal + draw((n, targets)) * np.logspace(-1, 1, targets, dtype=np.float32)


def near(expected: jl.Linear, tolerance: float, *, stacked: bool = False) -> Callable:
    """A check that gives the correct digits of w, or refuses w and b.

    Errors are parts of the largest number of the fit that they belong to. Of ``stacked`` fits
    an answer may hold a part: every so manieth.
    """
    expected = expected if stacked else float64.stack([expected])

    def check(params) -> float:
        params = params if stacked else [params]
        found = float64.stack(params) if isinstance(params, list) else params
        right = jl.Linear(*(a[:: len(expected.w) // len(found.w)] for a in expected))
        errors = [_error(f, r, right.w) for f, r in zip(found, right, strict=True)]
        for name, error in zip("wb", errors, strict=True):
            if not error <= tolerance:  # a NaN is refused too
                raise ValueError(f"{name} is off by {error:.1e}, expected at most {tolerance:g}")
        return _digits(errors[0])

    return check


def _error(found, right, w) -> float:
    """The largest error of a fit over its largest number; w says how large b may be off."""
    found = np.asarray(found, np.float64)
    if found.shape != right.shape:
        raise ValueError(f"got shape {found.shape}, expected {right.shape}")
    count = len(right)
    largest = np.maximum(_largest(right, count), _largest(w, count))
    return float(np.max(_largest(found - right, count) / largest))


def _largest(a, count: int):
    return np.abs(a).reshape(count, -1).max(axis=1)


def _digits(error: float) -> float:
    return round(float(-np.log10(max(error, 1e-16))), 1)


def one_choice(l2s, expected, tolerance: float) -> Callable:
    """A check of scores (m, k) and of the l2 of the least mean score; gives correct digits."""
    best = np.argmin(expected.mean(axis=1))

    def check(answer) -> float:
        scores = np.asarray(answer.scores, np.float64)
        if scores.shape != expected.shape:
            raise ValueError(f"got scores of shape {scores.shape}, expected {expected.shape}")
        error = np.max(np.abs(scores / expected - 1))
        if not error <= tolerance:
            raise ValueError(f"scores are off by {error:.1e}, expected at most {tolerance:g}")
        if nearest(l2s, answer.l2) != best:
            raise ValueError(f"chose l2 = {float(answer.l2):g}, expected {l2s[best]:g}")
        return _digits(error)

    return check


def choices(l2s, expected, *, least_same: float = 0.995, tie: float = 1e-3) -> Callable:
    """A check of an l2 for each target; gives the percentage of those equal to float64's.

    Where two scores (m, k) tie but for a thousandth, rounding may choose either.
    """
    best, targets = np.argmin(expected, axis=0), np.arange(expected.shape[1])
    least = expected[best, targets]

    def check(answer) -> float:
        chosen = nearest(l2s, answer.l2)
        if chosen.shape != best.shape:
            raise ValueError(f"got l2 of shape {chosen.shape}, expected {best.shape}")
        same = np.mean(chosen == best)
        worst = np.max(expected[chosen, targets] / least - 1)
        error = np.max(np.abs(np.min(answer.scores, axis=0) / least - 1))
        if not (same >= least_same and worst <= tie and error <= tie):
            raise ValueError(
                f"{100 * same:.2f} % of the choices are those of float64, a choice costs up to "
                f"{worst:.1e}, and scores are off by up to {error:.1e}"
            )
        return round(100 * float(same), 2)

    return check


def nearest(l2s, l2) -> np.ndarray:
    """The position of l2 in l2s, whatever it has been rounded or scaled by on the way."""
    l2 = np.asarray(l2, np.float64)
    return np.argmin(np.abs(np.log(l2[..., None] / l2s)), axis=-1)
