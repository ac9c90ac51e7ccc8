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
from jaxlinear.cli import errors, penalty, units
from jaxlinear.cli.errors import Errors
from jaxlinear.cli.interruptible import interruptible
from jaxlinear.cli.losses import LOSSES
from jaxlinear.cli.scores import watched
from jaxlinear.cli.task import Task
from jaxlinear.model.declaration import is_kinked

SGD_DEFAULTS = {
    "epochs": None,
    "lr": 0.1,
    "batch_size": 256,
    "momentum": 0.0,
    "patience": None,
    "checkpoint": None,
}
_CHECKPOINTS = 100  # of a run at most: what is lost is a hundredth of it
_EPOCHS, _STEPS = 10, 1000  # by default at least: small files need many epochs to get anywhere


class Solution(NamedTuple):
    """A fit, its parameters for the columns as they are and for standardised ones, and seconds.

    ``interval`` are the ends of the intervals of the standardised ones, and ``errors`` those of the
    parameters for the columns as they are; None where the fit is no optimum.
    """

    fit: jl.Fit
    params: jl.Linear
    standard: jl.Linear
    seconds: dict[str, float | None]
    choice: penalty.Choice | None
    errors: Errors | None = None
    interval: tuple[jl.Linear, jl.Linear] | None = None


def complete(options: argparse.Namespace) -> argparse.Namespace:
    """The options, of which those of SGD ask for SGD; ValueError where they contradict --solver."""
    given = [f"--{name.replace('_', '-')}" for name in SGD_DEFAULTS if name in options]
    solver = "sgd" if options.solver == "auto" and given else options.solver
    if given and solver != "sgd":
        raise ValueError(
            f"got {', '.join(given)} with --solver {solver}, which has no use for it; "
            "leave them out, or use --solver sgd."
        )
    return argparse.Namespace(**{**vars(options), "solver": solver})


def suited(options: argparse.Namespace, task: Task) -> argparse.Namespace:
    """The options with the solver that ``auto`` stands for, and what only the data can tell.

    The optimum, unless the loss has kinks or the examples are images, of which SGD is good enough.
    Where l2 is not given, ``auto`` to the optimum chooses it, and all else takes 0.
    """
    chosen = dict(vars(options))
    if options.solver == "auto":
        optimum = "exact" if task.loss == "squared_error" else "newton"
        chosen["solver"] = "sgd" if task.images or is_kinked(LOSSES[task.loss]) else optimum
    if chosen["solver"] == "sgd":
        chosen = SGD_DEFAULTS | chosen
        batches = -(-len(task.train.x) // max(chosen["batch_size"], 1))
        if chosen["epochs"] is None:
            chosen["epochs"] = max(_EPOCHS, -(-_STEPS // batches))
    if options.l2 is None and (options.solver != "auto" or chosen["solver"] == "sgd"):
        chosen["l2"] = 0.0
    return argparse.Namespace(**chosen)


def solve(task: Task, options) -> Solution:
    """Fit the task by ``options.solver``; raises ValueError where there is no finite solution."""
    standard = units.AS_THEY_ARE if options.no_standardize else units.standard(task.train.batch)
    unscaled = options.solver == "exact" and options.l2 == 0 and not options.no_standardize
    fitted = units.exact(task.train.batch) if unscaled else standard
    parts = (task.train, task.validation, task.test)
    train, validation, test = (units.convert(part, fitted) for part in parts)
    task = task._replace(train=train, validation=validation, test=test)
    fit, seconds, choice = SOLVERS[options.solver](task, options)
    _require_finite(fit, options)
    params = units.fold_back(fit.params, fitted)
    expressed = units.express(params, standard)
    solution = Solution(fit, params, expressed, seconds, choice)
    if options.solver == "sgd" or int(fit.report.status) != jl.Status.CONVERGED:
        return solution
    found = errors.at_optimum(
        task.loss, fit.params, train, options.l2 if choice is None else choice.l2
    )
    if found is None:
        return solution
    outputs = params.b.size
    found = errors.rescaled(found, fitted.shift, fitted.scale, outputs)
    there = errors.expressed(found, standard.shift, standard.scale, outputs)
    return solution._replace(errors=found, interval=errors.intervals(expressed, there))


def _exact(task: Task, options):
    x, y, weight = task.train.batch

    def fit():
        if options.l2 is None:
            return penalty.choose(task.loss, task.train, None, options.seed)
        if options.l2 == 0:
            return jl.least_squares(x, y, weight=weight), None
        return jl.ridge(x, y, options.l2, weight=weight), None

    return _timed(fit)


def _newton(task: Task, options):
    x, y, weight = task.train.batch
    of_classes = task.loss == "softmax_cross_entropy"

    def fit():
        outputs = len(task.names) or None if of_classes else None
        if options.l2 is None:
            return penalty.choose(task.loss, task.train, outputs, options.seed)
        loss, l2 = LOSSES[task.loss], options.l2
        if of_classes:
            return jl.softmax_regression(x, y, l2, classes=outputs, weight=weight), None
        return jl.glm(loss, x, y, l2, offset=task.train.offset, weight=weight), None

    result, seconds, choice = _timed(fit)
    return result._replace(report=_together(result.report)), seconds, choice


def _timed(fit):
    """The fit, the seconds that it took, compiling included, and the choice of its penalty."""
    start = time.perf_counter()
    result, choice = interruptible(lambda: jax.block_until_ready(fit()))
    return result, {"fit": time.perf_counter() - start}, choice


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


def _sgd(task: Task, options):
    """The fit, and the seconds that compiling and one epoch took."""
    train, stops = task.train, task.validation is not None
    watch, name = (task.validation, "validation") if stops else (task.test, "test")
    ends = []
    start = time.perf_counter()
    with tqdm(total=options.epochs, unit="epoch", desc="Training", delay=0.2) as bar:

        def show(epoch, objective, validation):
            ends.append(time.perf_counter() - start)
            numbers = {"objective": objective}
            numbers |= {f"{name} {key}": value for key, value in validation.items()}
            bar.update(max(epoch + 1 - bar.n, 0))  # some are done before, some come late
            bar.set_postfix({key: f"{value:.4g}" for key, value in numbers.items()})

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
                validation=watch and watch.batch,
                metrics=None if watch is None else watched(task.loss),
                patience=options.patience,
                callback=show,
                checkpoint=options.checkpoint,
                every=options.checkpoint and max(1, options.epochs // _CHECKPOINTS),
            )

        result = interruptible(fit)
    per_epoch = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else None
    compiling = ends[0] - (per_epoch or 0.0) if ends else time.perf_counter() - start
    return result, {"compile": compiling, "per_epoch": per_epoch}, None


def _require_finite(fit: jl.Fit, options) -> None:
    status = jl.Status(int(fit.report.status))
    if status in (jl.Status.DIVERGED, jl.Status.NONFINITE_INPUT):
        rate = f" (--lr {options.lr:g})" if options.solver == "sgd" else ""
        raise ValueError(f"{status.name}: {status.sentence} Nothing was saved{rate}.")


SOLVERS = {"sgd": _sgd, "newton": _newton, "exact": _exact}
