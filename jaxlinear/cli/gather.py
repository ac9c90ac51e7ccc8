"""What to train on: a data set by name or a person's own file, and the loss that fits it."""

from pathlib import Path

import jax
import numpy as np

import jaxlinear as jl
from jaxlinear.cli import target as targets
from jaxlinear.cli.losses import is_classifier
from jaxlinear.cli.split import held_out
from jaxlinear.cli.target import Target
from jaxlinear.cli.task import Part, Task
from jaxlinear.data.arrays import Table
from jaxlinear.data.files import is_table, load

NAMED = ("sample", "fashion_mnist")
_VALIDATION = 0.2  # of the training rows


def gather(options) -> Task:
    """The task that the options describe; raises ValueError where they do not fit each other."""
    if options.dataset in NAMED:
        task = _named(options)
    elif is_table(options.dataset):
        from jaxlinear.cli.table import of_table  # loads pyarrow

        task = of_table(options)
    else:
        task = _of_arrays(options)
    return _with_validation(task, options)


def split(part: Part, fraction: float, seed: int, loss: str) -> tuple[Part, Part | None]:
    """Rows to fit and rows to hold out; none of these where that would be no row."""
    by_class = np.ndim(part.y) == 1 and is_classifier(loss)
    mask = held_out(
        len(part.x), fraction, seed, classes=part.y if by_class else None,
        group=part.group, time=part.time,
    )  # fmt: skip
    if mask is None:
        return part, None
    return tuple(jax.tree.map(lambda a, rows=rows: np.asarray(a)[rows], part)
                 for rows in (~mask, mask))  # fmt: skip


def fashion_mnist(name: str, directory: str | None) -> jl.Dataset:
    """The data set that goes by one of the ``NAMED``."""
    return jl.data.fashion_mnist_sample() if name == "sample" else jl.data.fashion_mnist(directory)


def _named(options) -> Task:
    loss = targets.asked(options)[0] or "softmax_cross_entropy"
    targets.require_solver_of(loss, options.solver)
    if loss != "softmax_cross_entropy":
        raise ValueError(f"--loss {loss} does not fit ten classes; use softmax_cross_entropy.")
    _require_no_columns(options, options.dataset)
    if options.target:
        raise ValueError(
            f"--target {options.target[0]} is for files; {options.dataset} has labels."
        )
    train, test, names = fashion_mnist(options.dataset, options.directory)
    title = "Fashion-MNIST" + ", the embedded sample" * (options.dataset == "sample")
    return Task(title, Part(*train), None, Part(*test), names, (), "label", loss, True)


def _of_arrays(options) -> Task:
    """A task of NumPy's files, whose columns have no names."""
    _require_no_columns(options, options.dataset)
    # Once standardised, float32 holds columns that it could not hold as they are in the file.
    dtype = np.float32 if options.no_standardize else np.float64
    target = options.target[0] if options.target else None
    table: Table = load(options.dataset, target, dtype=dtype)
    found: Target = targets.read(table.batch.y, table.names, options)
    train, test = Part(*table.batch._replace(y=found.y)), None
    if table.test is not None:
        test = Part(*table.test._replace(y=targets.encode(table.test.y, found)))
    else:
        train, test = split(train, options.test_fraction, options.seed, found.loss)
    title = Path(options.dataset).name
    told = (f"the target holds {found.reason}",)
    return Task(
        title, train, None, test, found.names, (), "y", found.loss, False, told=told
    )  # fmt: skip


def _require_no_columns(options, dataset: str) -> None:
    """Options that name columns need a file that has names."""
    names = ("drop", "keep", "categorical", "weight", "offset", "group", "time")
    given = [f"--{name}" for name in names if getattr(options, name, None)]
    if given:
        raise ValueError(f"got {', '.join(given)}; {dataset} has no columns with names.")


def _with_validation(task: Task, options) -> Task:
    """The task with a fifth of the training examples set apart, where they decide when to stop."""
    if getattr(options, "patience", None) is None:
        return task
    train, validation = split(task.train, _VALIDATION, options.seed + 1, task.loss)
    if validation is None:
        raise ValueError(
            f"got --patience with {len(train.x)} training rows; expected at least 3, of which a "
            "fifth decides when to stop."
        )
    return task._replace(train=train, validation=validation)
