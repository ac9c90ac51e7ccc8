"""What all probes of a call share, checked once: the targets and weights of all concepts."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxlinear import checks
from jaxlinear.convex.held_out import error_of
from jaxlinear.convex.labelled import balanced, labelled, require_class_weight, where_labelled
from jaxlinear.model.declaration import has_classes, is_separable, target_of
from jaxlinear.model.scaling import Scaling, standardise
from jaxlinear.rows.absent import where_present
from jaxlinear.rows.means import floating_dtype


class Setting(NamedTuple):
    """What is known before tracing; ``each``: every concept is fitted with weights of its own."""

    loss: Callable
    error: Callable
    even: bool
    each: bool
    outputs: int | None
    standardise: bool
    intercept: bool
    max_steps: int

    def options(self, tol) -> dict:
        """The arguments of ``glm``."""
        names = ("outputs", "intercept", "max_steps")
        return {name: getattr(self, name) for name in names} | {"tol": tol}


class Task(NamedTuple):
    """Targets (n, *k), their weights (n,) or (n, k), and those of rows, by which x is scaled."""

    y: Shaped[Array, "n *k"]
    weight: Float[Array, "n *own"]
    rows: Float[Array, " n"]
    tol: Any


def task_of(
    y, *, loss, error, classes, weight, class_weight, standardise, intercept, tol, max_steps
) -> tuple[Setting, Task]:
    """The targets and weights of all concepts, checked; ValueError names the one that is wrong."""
    require_class_weight(class_weight, loss)
    y = checks.numeric(y, "y")
    if y.ndim not in (1, 2) or 0 in y.shape:
        raise ValueError(f"y has shape {y.shape}; expected (n,), or (n, k) for k concepts.")
    if has_classes(loss) and checks.is_known(y) and jnp.issubdtype(y.dtype, jnp.floating):
        host = np.asarray(y)  # labels are floats where others are missing, and may be all there
        if (host == np.floor(host)).all():
            y = host.astype(np.int32)
    y, known = labelled(y, loss, in_columns=True)
    own = y.ndim == 2 and (known is not None or bool(class_weight) or np.ndim(weight) == 2)
    each = own or (y.ndim == 2 and (has_classes(loss) or not is_separable(loss)))
    given = where_labelled(None, weight, y.shape[:1] if np.ndim(weight) < 2 else y.shape)
    full = where_labelled(known, weight, y.shape) if each or known is not None else given
    if has_classes(loss):
        classes = _classes(y, full, classes)
    y = _checked(y, full, loss, classes)
    there = full if full.ndim == 1 else jnp.any(full > 0, axis=1)
    rows = where_present(there, given if given.ndim == 1 else jnp.mean(given, axis=1))
    error = error_of(loss) if error is None else error
    setting = Setting(
        loss, error, bool(class_weight), each, classes, bool(standardise), bool(intercept),
        checks.count(max_steps, "max_steps"),
    )  # fmt: skip
    return setting, Task(y, full, rows, tol)


def _classes(y, weight, classes: int | None) -> int:
    if classes is not None:
        return checks.count(classes, "classes")
    if not checks.is_known(y, weight):
        raise ValueError("classes is None and y is traced, so their number is unknown; pass it.")
    return max(int(np.max(np.asarray(y), where=np.asarray(weight) > 0, initial=1)) + 1, 2)


def _checked(y, weight, loss: Callable, classes: int | None):
    """y in the dtype that the loss takes, every column checked on its own."""
    columns = [y] if y.ndim == 1 else list(y.T)
    if len(columns) > 1 and not checks.is_known(y, weight):
        return y  # what is wrong becomes a status
    blank = np.zeros((len(y), 1), np.float32)
    outputs = classes if has_classes(loss) else None
    done = []
    for place, column in enumerate(columns):
        own = weight if weight.ndim == 1 else weight[:, place]
        try:
            (_, column, _), _, _ = checks.examples(
                blank, column, own, target_of(loss), outputs=outputs, look=False
            )
        except (ValueError, TypeError) as problem:
            if y.ndim == 2:
                problem.add_note(f"It is the concept {place}, y[:, {place}].")
            raise
        done.append(column)
    return jnp.asarray(done[0]) if y.ndim == 1 else jnp.stack(done, axis=1)


@functools.partial(jax.jit, static_argnums=0)
def scaled(setting: Setting, x, weight):
    """The columns that are fitted, scaled by the rows that have weight, and their scaling.

    A program of its own: inside that of the fits, XLA's CPU took 20 times as long for these.
    """
    if setting.standardise:
        return standardise(x, weight)
    zero = jnp.zeros(x.shape[1:], floating_dtype(x))
    return x, Scaling(zero, zero + 1)


def for_concepts(setting: Setting, function: Callable, task: Task, *others, out_axes=0):
    """``function(y, weight, *others)`` of all concepts, or of each where they differ in weights."""
    if not setting.each:
        return function(task.y, task.weight, *others)
    axes = (1, 1, *[0] * len(others))
    return jax.vmap(function, axes, out_axes=out_axes)(task.y, task.weight, *others)


def evened(setting: Setting, y, weight):
    """The weights, or those of classes that count alike."""
    shape = (setting.outputs,) if has_classes(setting.loss) else ()
    return balanced(setting.loss, y, weight, shape) if setting.even else weight
