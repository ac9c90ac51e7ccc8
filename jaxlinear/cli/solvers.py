"""How ``jaxlinear train`` minimises the objective: by SGD, to the optimum, or in closed form.

All minimise the same objective. The columns of a file are standardised, so that a penalty is in
standard units, and the scales folded back into the parameters. Without a penalty the exact
solution does not depend on the scales: columns that float32 holds exactly are then left as they
are, which saves them a rounding.
"""

import argparse
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
from tqdm import tqdm

import jaxlinear as jl
from jaxlinear.cli import units
from jaxlinear.cli.interruptible import interruptible
from jaxlinear.cli.task import LOSSES, Task, metrics_of

SGD_DEFAULTS = {"epochs": 10, "lr": 0.1, "batch_size": 256, "momentum": 0.0, "patience": None}


class Solution(NamedTuple):
    """A fit, its parameters for the columns as they are and for standardised ones, and seconds."""

    fit: jl.Fit
    params: jl.Linear
    standard: jl.Linear
    seconds: dict[str, float | None]


def complete(options: argparse.Namespace) -> argparse.Namespace:
    """The options with SGD's defaults; raises ValueError where another solver is given SGD's."""
    if options.solver == "sgd":
        return argparse.Namespace(**{**SGD_DEFAULTS, **vars(options)})
    given = [f"--{name.replace('_', '-')}" for name in SGD_DEFAULTS if name in options]
    if given:
        raise ValueError(
            f"got {', '.join(given)} with --solver {options.solver}, which has no use for it; "
            "leave them out, or use --solver sgd."
        )
    return options


def solve(task: Task, options) -> Solution:
    """Fit the task by ``options.solver``; raises ValueError where there is no finite solution."""
    standard = units.AS_THEY_ARE if options.no_standardize else units.standard(task.train)
    unscaled = options.solver == "exact" and options.l2 == 0 and not options.no_standardize
    fitted = units.exact(task.train) if unscaled else standard
    train, test = (units.convert(part, fitted) for part in (task.train, task.test))
    task = task._replace(train=train, test=test)
    fit, seconds = SOLVERS[options.solver](task, options)
    _require_finite(fit, options)
    params = units.fold_back(fit.params, fitted)
    return Solution(fit, params, units.express(params, standard), seconds)


def _exact(task: Task, options) -> tuple[jl.Fit, dict[str, float | None]]:
    """The fit, and the seconds that it took, compiling included."""
    x, y, weight = task.train

    def fit():
        if options.l2 == 0:
            return jax.block_until_ready(jl.least_squares(x, y, weight=weight))
        return jax.block_until_ready(jl.ridge(x, y, options.l2, weight=weight))

    start = time.perf_counter()
    result = interruptible(fit)
    return result, {"fit": time.perf_counter() - start}


def _newton(task: Task, options) -> tuple[jl.Fit, dict[str, float | None]]:
    """The fit, and the seconds that it took, compiling included."""
    x, y, weight = task.train

    def fit():
        loss, l2 = LOSSES[task.loss], options.l2
        if task.loss == "softmax_cross_entropy":
            result = jl.softmax_regression(x, y, l2, classes=len(task.names) or None, weight=weight)
        else:
            result = jl.glm(loss, x, y, l2, weight=weight)
        return jax.block_until_ready(result)

    start = time.perf_counter()
    result = interruptible(fit)
    seconds = time.perf_counter() - start
    return result._replace(report=_together(result.report)), {"fit": seconds}


def _together(report: jl.Report) -> jl.Report:
    """One report of the models of all outputs: the worst status, most steps, sums of the rest."""
    if not report.status.ndim:
        return report
    return jl.Report(
        report.status.max(),
        report.steps.max(),
        report.objective.sum(),
        jnp.linalg.norm(report.gradient_norm),
        gap=report.gap.sum(),
    )


def _sgd(task: Task, options) -> tuple[jl.Fit, dict[str, float | None]]:
    """The fit, and the seconds that compiling and one epoch took."""
    train, test = task.train, task.test
    ends = []
    start = time.perf_counter()
    with tqdm(total=options.epochs, unit="epoch", desc="Training", delay=0.2) as bar:

        def show(epoch, objective, validation):
            ends.append(time.perf_counter() - start)
            numbers = {"objective": objective, **{f"test {k}": v for k, v in validation.items()}}
            bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()})
            bar.update()

        def fit():
            return jl.sgd_fit(
                LOSSES[task.loss],
                train.x,
                train.y,
                weight=train.weight,
                key=jax.random.key(options.seed),
                lr=options.lr,
                l2=options.l2,
                momentum=options.momentum,
                batch_size=options.batch_size,
                epochs=options.epochs,
                outputs=len(task.names) or None if task.loss == "softmax_cross_entropy" else None,
                validation=test,
                metrics=None if test is None else metrics_of(task.loss),
                patience=options.patience,
                callback=show,
            )

        result = interruptible(fit)
    per_epoch = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else None
    return result, {"compile": ends[0] - (per_epoch or 0.0), "per_epoch": per_epoch}


def _require_finite(fit: jl.Fit, options) -> None:
    status = jl.Status(int(fit.report.status))
    if status in (jl.Status.DIVERGED, jl.Status.NONFINITE_INPUT):
        rate = f" (--lr {options.lr:g})" if options.solver == "sgd" else ""
        raise ValueError(f"{status.name}: {status.sentence} Nothing was saved{rate}.")


SOLVERS = {"sgd": _sgd, "newton": _newton, "exact": _exact}
