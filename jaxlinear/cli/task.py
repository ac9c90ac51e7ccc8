"""What to train on: a data set by name or a person's own file, and the loss that fits it."""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlinear as jl
from jaxlinear.cli.losses import LOSSES, has_signs, is_classifier
from jaxlinear.data.files import Table, load
from jaxlinear.data.single_precision import single
from jaxlinear.model.declaration import is_kinked

NAMED = ("sample", "fashion_mnist")
_VALIDATION = 0.2  # of the training rows
_CLASSES_AT_MOST = 20  # whole numbers with more values are not taken for classes unasked


class Task(NamedTuple):
    """What to train on, what things are called, and the loss.

    ``validation``, which decides when to stop, and ``test``, which decides nothing, may be None.
    """

    title: str
    train: jl.Batch
    validation: jl.Batch | None
    test: jl.Batch | None
    names: tuple[str, ...]
    features: tuple[str, ...]
    target: str
    loss: str
    images: bool


def gather(options) -> Task:
    """The task that the options describe; raises ValueError where they do not fit each other."""
    if options.dataset in NAMED:
        return _named(options)
    # Once standardised, float32 holds columns that it could not hold as they are in the file.
    dtype = np.float32 if options.no_standardize else np.float64
    table = load(options.dataset, options.target, dtype=dtype, **dialect(options))
    loss = options.loss or _default_loss(table)
    _require_solver_of(loss, options.solver)
    if is_classifier(loss):
        table = _count_classes(table, loss)
    elif table.names:
        raise ValueError(f"--loss {loss} needs numbers; the target holds {table.names[:5]}.")
    else:
        table = _numbers(table)
    train, test = table.batch, table.test
    if test is None:
        train, test = _split(train, options.test_fraction, options.seed, loss)
    target = options.target if table.features else "y"
    title = Path(options.dataset).name
    task = Task(title, train, None, test, table.names, table.features, target, loss, False)
    return _with_validation(task, options)


def dialect(options) -> dict[str, str | None]:
    """How the options say that a text file is written."""
    return {name: getattr(options, name) for name in ("separator", "decimal", "encoding")}


def fashion_mnist(name: str, directory: str | None) -> jl.Dataset:
    """The data set that goes by one of the ``NAMED``."""
    return jl.data.fashion_mnist_sample() if name == "sample" else jl.data.fashion_mnist(directory)


def _named(options) -> Task:
    loss = options.loss or "softmax_cross_entropy"
    _require_solver_of(loss, options.solver)
    if loss != "softmax_cross_entropy":
        raise ValueError(f"--loss {loss} does not fit ten classes; use softmax_cross_entropy.")
    if options.target is not None:
        raise ValueError(f"--target {options.target} is for files; {options.dataset} has labels.")
    dataset = fashion_mnist(options.dataset, options.directory)
    title = "Fashion-MNIST" + ", the embedded sample" * (options.dataset == "sample")
    train, test, names = dataset
    task = Task(title, train, None, test, names, (), "label", loss, True)
    return _with_validation(task, options)


def _with_validation(task: Task, options) -> Task:
    """The task with a fifth of the training examples set apart, where they decide when to stop."""
    if getattr(options, "patience", None) is None:
        return task
    train, validation = _split(task.train, _VALIDATION, options.seed + 1, task.loss)
    if validation is None:
        raise ValueError(
            f"got --patience with {len(train.x)} training rows; expected at least 3, of which a "
            "fifth decides when to stop."
        )
    return task._replace(train=train, validation=validation)


def _require_solver_of(loss: str, solver: str) -> None:
    kinked = is_kinked(LOSSES[loss])
    if solver == "exact" and loss != "squared_error":
        raise ValueError(
            "--solver exact solves least squares, --loss squared_error; "
            f"--loss {loss} needs --solver {'sgd' if kinked else 'newton or sgd'}."
        )
    if solver == "newton" and kinked:
        raise ValueError(f"--loss {loss} has kinks, and needs --solver sgd.")


def _default_loss(table: Table) -> str:
    """The loss for classes or for numbers, where y tells which; else ValueError asks for --loss.

    Words are classes where they repeat: at most half as many different ones as rows. So are whole
    numbers that repeat and have two values, or the values 0 … k-1 or 1 … k with k ≤ 20 and three
    rows or more per value, on average. Fractions are numbers, and so are whole numbers with other
    values, of which there are more than 20, or more than half as many as rows.
    """
    y = table.batch.y
    values, n = np.unique(y), len(y)
    k = len(values)
    repeat = 2 * k <= n
    if table.names:
        if not repeat:
            raise ValueError(
                f"the target holds {k} words in {n} rows, {table.names[:5]}, too many for classes; "
                "name another --target, or say --loss softmax_cross_entropy."
            )
        return "softmax_cross_entropy"
    if y.ndim == 2:
        classes, numbers = False, not np.isin(values, (0, 1)).all()
    else:
        whole = (values == np.round(values)).all()
        counts = k > 1 and values[0] in (0, 1) and (np.diff(values) == 1).all()
        often = counts and k <= _CLASSES_AT_MOST and 3 * k <= n
        classes = whole and repeat and (k == 2 or often)
        numbers = not whole or (not counts and not (repeat and k <= _CLASSES_AT_MOST))
    if not classes and not numbers:
        found = "0 and 1 in several columns" if y.ndim == 2 else f"{k} whole numbers in {n} rows"
        raise ValueError(
            f"the target holds {found}, which may be classes or numbers; say which: --loss "
            "softmax_cross_entropy for classes, --loss squared_error for numbers, --loss logistic "
            "for labels that do not exclude each other, --loss poisson for counts."
        )
    return "softmax_cross_entropy" if classes else "squared_error"


def _numbers(table: Table) -> Table:
    """The target in JAX's dtype, or ValueError where training values lose their digits in it."""
    dtype = jnp.result_type(float)

    def convert(batch):
        return batch and batch._replace(y=batch.y.astype(dtype))

    if dtype == np.float32:
        for column in table.batch.y.astype(np.float64).reshape(len(table.batch.y), -1).T:
            single(column, "the target")
    return table._replace(batch=convert(table.batch), test=convert(table.test))


def _count_classes(table: Table, loss: str) -> Table:
    """The classes of the file, whole numbers or words, as labels 0 … k-1 or as signs."""
    y = table.batch.y
    if y.ndim == 2 or (y != np.round(y)).any():
        return table
    values = np.arange(len(table.names)) if table.names else np.unique(y)
    names = table.names or tuple(f"{value:.0f}" for value in values)
    if len(names) < 2 or (len(names) > 2 and loss != "softmax_cross_entropy"):
        raise ValueError(f"--loss {loss} does not fit {len(names)} classes, {names[:5]}.")

    def encode(batch):
        if batch is None:
            return None
        unknown = batch.y[~np.isin(batch.y, values)]
        if unknown.size:
            raise ValueError(f"y_test holds {unknown[0]}; expected the classes of y, {names[:5]}.")
        label = np.searchsorted(values, batch.y)
        return batch._replace(y=2 * label - 1 if has_signs(loss) else label)

    return table._replace(batch=encode(table.batch), test=encode(table.test), names=names)


def _split(
    batch: jl.Batch, fraction: float, seed: int, loss: str
) -> tuple[jl.Batch, jl.Batch | None]:
    """Rows to fit and rows to hold out, at random; none of these where that would be no row.

    Of every class the same part is held out, up to one row.
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"--test-fraction is {fraction}; expected a number in [0, 1).")
    n = len(batch.x)
    count = round(fraction * n)
    if count in (0, n):
        return batch, None
    order = np.random.default_rng(seed).permutation(n)
    if np.ndim(batch.y) == 1 and is_classifier(loss):
        order = order[np.argsort(batch.y[order], kind="stable")]
    held_out = np.zeros(n, bool)
    held_out[order[(np.arange(count) * n + n // 2) // count]] = True  # evenly, over all classes
    parts = ~held_out, held_out
    train, test = (jax.tree.map(lambda a, rows=rows: np.asarray(a)[rows], batch) for rows in parts)
    return train, test
