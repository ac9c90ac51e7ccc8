"""What a target is, classes or numbers, and the loss that follows; with the reason, to be told."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxlinear.cli.losses import LOSSES, has_signs, is_classifier
from jaxlinear.data.single_precision import single
from jaxlinear.model.declaration import is_kinked

TASKS = {
    "classes": "softmax_cross_entropy",
    "labels": "logistic",
    "numbers": "squared_error",
    "counts": "poisson",
}
_CLASSES_AT_MOST = 20  # whole numbers with more values are not taken for classes unasked


class Target(NamedTuple):
    """y as the loss has it, the names of the classes, or (), the loss, and why this loss.

    ``values`` are the numbers that the classes have in the file, or None.
    """

    y: np.ndarray
    names: tuple[str, ...]
    loss: str
    reason: str
    values: np.ndarray | None = None


def read(y: np.ndarray, names: tuple[str, ...], options) -> Target:
    """The target y, numbers, or labels of the classes ``names``, for the loss that it asks for.

    ValueError where loss, task, solver and target do not fit each other.
    """
    loss, reason = asked(options)
    if loss is None:
        loss, reason = suggest(y, names)
    require_solver_of(loss, options.solver)
    if is_classifier(loss):
        return _classes(y, names, loss, reason)
    if names:
        raise ValueError(f"--loss {loss} needs numbers; the target holds {names[:5]}.")
    return Target(_numbers(y), (), loss, reason)


def asked(options) -> tuple[str | None, str]:
    """The loss that --loss or --task ask for, or None."""
    task = getattr(options, "task", None)
    if options.loss and task and TASKS[task] != options.loss:
        raise ValueError(f"got --task {task} and --loss {options.loss}; expected one of them.")
    if task:
        return TASKS[task], f"{task}, as --task says"
    return options.loss, f"as --loss says, for {options.loss}"


def encode(y: np.ndarray, target: Target) -> np.ndarray:
    """The target of other rows, as that of the training rows: labels, signs or numbers."""
    if target.values is None:
        return y if is_classifier(target.loss) else y.astype(jnp.result_type(float))
    unknown = y[~np.isin(y, target.values)]
    if unknown.size:
        raise ValueError(
            f"y_test holds {unknown[0]}; expected the classes of y, {target.names[:5]}."
        )
    label = np.searchsorted(target.values, y)
    return 2 * label - 1 if has_signs(target.loss) else label


def require_solver_of(loss: str, solver: str) -> None:
    """Raise ValueError unless the solver minimises the loss."""
    kinked = is_kinked(LOSSES[loss])
    if solver == "exact" and loss != "squared_error":
        raise ValueError(
            "--solver exact solves least squares, --loss squared_error; "
            f"--loss {loss} needs --solver {'sgd' if kinked else 'newton or sgd'}."
        )
    if solver == "newton" and kinked:
        raise ValueError(f"--loss {loss} has kinks, and needs --solver sgd.")


def suggest(y: np.ndarray, names: tuple[str, ...]) -> tuple[str, str]:
    """The loss for classes or for numbers, where y tells which, and how it does.

    Words are classes where they repeat: at most half as many different ones as rows. So are whole
    numbers that repeat and have two values, or the values 0 … k-1 or 1 … k with k ≤ 20 and three
    rows or more per value, on average. Fractions are numbers, and so are whole numbers with other
    values, of which there are more than 20, or more than half as many as rows. Else ValueError
    asks for --task.
    """
    values, n = np.unique(y), len(y)
    k = len(values)
    repeat = 2 * k <= n
    if names:
        if not repeat:
            raise ValueError(
                f"the target holds {k} words in {n} rows, {names[:5]}, too many for classes; "
                "name another --target, or say --task classes, or --loss softmax_cross_entropy."
            )
        return "softmax_cross_entropy", f"{k} words in {n:,} rows, so classes"
    whole = bool((values == np.round(values)).all())
    if y.ndim == 2:
        classes, numbers = False, not np.isin(values, (0, 1)).all()
    else:
        counts = k > 1 and values[0] in (0, 1) and (np.diff(values) == 1).all()
        often = counts and k <= _CLASSES_AT_MOST and 3 * k <= n
        classes = whole and repeat and (k == 2 or often)
        numbers = not whole or (not counts and not (repeat and k <= _CLASSES_AT_MOST))
    if not classes and not numbers:
        found = "0 and 1 in several columns" if y.ndim == 2 else f"{k} whole numbers in {n} rows"
        raise ValueError(
            f"the target holds {found}, which may be classes or numbers; say which: --task "
            "classes, --task numbers, --task labels where they do not exclude each other, --task "
            "counts (or --loss softmax_cross_entropy, squared_error, logistic, poisson)."
        )
    if classes:
        shown = ", ".join(f"{value:g}" for value in values[:5]) + " …" * (k > 5)
        return "softmax_cross_entropy", f"{k} whole numbers in {n:,} rows, {shown}, so classes"
    found = f"{k:,} whole numbers" if whole else "fractions"
    return "squared_error", f"{found} in {n:,} rows, so numbers"


def _numbers(y: np.ndarray) -> np.ndarray:
    """The target in JAX's dtype, or ValueError where training values lose their digits in it."""
    dtype = jnp.result_type(float)
    if dtype == np.float32:
        for column in y.astype(np.float64).reshape(len(y), -1).T:
            single(column, "the target")
    return y.astype(dtype)


def _classes(y: np.ndarray, names: tuple[str, ...], loss: str, reason: str) -> Target:
    """The classes of the file, whole numbers or words, as labels 0 … k-1 or as signs."""
    if y.ndim == 2 or (y != np.round(y)).any():
        return Target(y, names, loss, reason)
    values = np.arange(len(names)) if names else np.unique(y)
    names = names or tuple(f"{value:.0f}" for value in values)
    if len(names) < 2 or (len(names) > 2 and loss != "softmax_cross_entropy"):
        raise ValueError(f"--loss {loss} does not fit {len(names)} classes, {names[:5]}.")
    target = Target(y, names, loss, reason, values)
    return target._replace(y=encode(y, target))
