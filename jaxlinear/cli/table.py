"""A table of named columns as a task: which column is for what, and what becomes of the features.

All that is learned of the columns, such as what a missing value becomes, is learned from the
training rows.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import argparse
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxlinear.cli import decisions, roles
from jaxlinear.cli import target as targets
from jaxlinear.cli.losses import LOSSES, is_classifier
from jaxlinear.cli.split import held_out
from jaxlinear.cli.task import Part, Task
from jaxlinear.data import coding, columns, delimited, features, tables
from jaxlinear.data import target as target_column
from jaxlinear.data.arrays import encode, require_file
from jaxlinear.data.delimited import Reading
from jaxlinear.data.features import Coding
from jaxlinear.data.files import features_of, require_columns
from jaxlinear.data.problems import Problem, collecting, refuse, sentences
from jaxlinear.model.declaration import is_kinked


def dialect(options) -> delimited.Dialect:
    """How the options say that a text file is written."""
    return delimited.Dialect(
        options.separator, options.decimal, options.encoding, tuple(options.na),
        not options.no_header,
    )  # fmt: skip


def of_table(options) -> Task:
    """The task that a table and the options describe; raises ValueError."""
    task = _of_table(options)
    pa.default_memory_pool().release_unused()  # the table itself, of which x is made
    return task


def _of_table(options) -> Task:
    path = Path(options.dataset)
    require_file(path)
    options, written = _with_formula(options)
    _require_target(options, path)
    choices = coding.Choices(
        options.missing, options.dates, tuple(options.categorical), True, tuple(options.keep),
        baseline=options.l2 == 0,
    )  # fmt: skip
    asked = {role: getattr(options, role) for role in roles.Roles._fields}
    as_text = {*options.target, *options.categorical, *filter(None, [options.group])}
    reading = tables.read(path, dialect(options), as_text)
    apart = tuple(name for name in asked.values() if name)
    names = features_of(reading, (*options.target, *apart), tuple(options.drop), path)
    if written is not None:
        require_columns(reading, written.variables, path)
        names = list(written.variables)

    wrong: list[Problem] = []
    with collecting(wrong):
        y, classes, present = _targets(reading, options, path)
    with collecting(wrong):
        beside = roles.read(reading, asked, path)
    if wrong or choices.missing == "drop":  # what is left out may be missing
        with collecting(wrong):
            every = np.ones(reading.columns.num_rows, bool)
            kept = coding.decide(reading, names, every, choices, path).columns
    refuse(path, wrong, reading.header)
    if choices.missing == "drop":
        present &= coding.present(reading, [column.name for column in kept])
    _require_rows(present, path)
    found = targets.read(y[present], classes, options)
    _require_use_of(options, found.loss)
    train, test = _sets(present, found, beside, options)
    code = coding.decide(reading, names, train, choices, path)
    design = None if written is None else _learn(written, reading, code, train)
    dtype = np.float32 if options.no_standardize else np.float64

    def part(rows) -> Part:
        x = _features(reading, code, design, rows, path, dtype)
        return Part(x, found.y[rows[present]], *(r if r is None else r[rows] for r in beside))

    return Task(
        path.name,
        part(train),
        None,
        part(test) if test.any() else None,
        found.names,
        features.names(code) if design is None else design.names,
        ", ".join(options.target),
        found.loss,
        images=False,
        outputs=tuple(options.target) if len(options.target) > 1 else (),
        told=decisions.told(reading, code, options, found, present),
        decided=decisions.kept(code, design, reading, options, asked),
    )


def _with_formula(options):
    """The options with the target and the categories of a formula; and the formula, or None."""
    if options.formula is None:
        return options, None
    if options.target or options.drop:
        raise ValueError("got --formula with --target or --drop; the formula says both.")
    from jaxlinear.data import formula  # loads pandas

    written = formula.parse(options.formula)
    said = {
        "target": [written.target],
        "categorical": [*options.categorical, *written.categories],
        "keep": [*options.keep, *written.variables],
    }
    return argparse.Namespace(**{**vars(options), **said}), written


def _learn(written, reading: Reading, code: Coding, rows: np.ndarray):
    from jaxlinear.data import formula  # loads pandas

    if code.left_out:
        raise ValueError(
            f"the formula {written.text!r} cannot be used: "
            f"{sentences(code.left_out, 'left out: ')[0]}."
        )
    return formula.learn(written, reading, code, rows)


def _features(reading: Reading, code: Coding, design, rows, path: Path, dtype=np.float64):
    """x (n, d) of the rows: of the columns as they are coded, or of a formula of them."""
    if design is None:
        return features.matrix(reading, code, rows, path, dtype)
    from jaxlinear.data import formula  # loads pandas

    return formula.matrix(design, reading, code, rows, path).astype(dtype)


def _sets(
    present, found: targets.Target, beside: roles.Roles, options
) -> tuple[np.ndarray, np.ndarray]:
    """The rows to fit, and those to hold out, as masks of all rows."""
    by_class = found.y.ndim == 1 and is_classifier(found.loss)
    apart = {"group": beside.group, "time": beside.time, "classes": found.y if by_class else None}
    here = {
        name: rows if rows is None or name == "classes" else rows[present]
        for name, rows in apart.items()
    }
    mask = held_out(int(present.sum()), options.test_fraction, options.seed, **here)
    test = np.zeros(len(present), bool)
    if mask is not None:
        test[np.flatnonzero(present)[mask]] = True
    return present & ~test, test


def read_features(path: Path, decided: dict, options) -> tuple[np.ndarray, np.ndarray | None, list]:
    """x (n, d) of a table to predict with, as ``decided`` in training; the offset; what to tell.

    A number that is missing, and was not when the model was trained, is NaN.
    """
    code = Coding(tuple(columns.Column(**column) for column in decided["columns"]))
    words = {column.name for column in code.columns if column.kind == "category"}
    forms = {column.name: column.form for column in code.columns if column.form}
    require_file(path)
    reading = tables.read(path, dialect(options), words, forms)
    offset = decided["roles"]["offset"]
    needed = tuple(column.name for column in code.columns) + ((offset,) if offset else ())
    require_columns(reading, needed, path)
    features.require_kinds(reading, code, path)
    header = [name for name in reading.columns.schema.names if name in needed]
    told = ["the columns are in another order, and taken by name"] * (header != [*needed])
    told += [
        f"column {column.name!r} holds {', '.join(map(repr, new[:5]))}, not known from training, "
        "and counted as no category"
        for column in code.columns
        if (new := columns.unknown(column, reading.columns[column.name]))
    ]
    design = decided["formula"]
    if design is not None:
        from jaxlinear.data import formula  # loads pandas

        design = formula.Design(**design)
    x = _features(reading, code, design, None, path)
    if missing := int(np.isnan(x).any(axis=1).sum()):
        told.append(f"{missing:,} rows miss a value that the model needs, and have no prediction")
    return (
        x,
        roles.read(reading, {**dict.fromkeys(roles.Roles._fields), "offset": offset}, path).offset,
        told,
    )


def _require_target(options, path: Path) -> None:
    if not options.target:
        raise ValueError(
            f"{path}: got no --target; expected the name of one column as target, or of several."
        )


def _targets(reading: Reading, options, path: Path):
    """y (n,) or (n, k), the names of classes, and the rows (n,) that have a target."""
    found = [target_column.values(reading, name, path) for name in options.target]
    present = np.all([rows for _, rows in found], axis=0)
    if options.missing == "error":
        for name, (_, rows) in zip(options.target, found, strict=True):
            target_column.require_present(rows, name, reading, path)
    if len(found) == 1:
        where = f"{path}: column {options.target[0]!r}"
        labels, names = encode(found[0][0][present], where)
        y = np.zeros(len(present), labels.dtype)
        y[present] = labels
        return y, names, present
    words = [
        name for name, (y, _) in zip(options.target, found, strict=True) if y.dtype.kind == "U"
    ]
    if words:
        problem = Problem(words[0], None, "holds words", "several targets must be numbers")
        refuse(path, [problem], reading.header)
    return np.stack([y.astype(np.float32) for y, _ in found], axis=1), (), present


def _require_rows(present: np.ndarray, path: Path) -> None:
    if not present.any():
        raise ValueError(f"{path} has no row left in which nothing is missing.")


def _require_use_of(options, loss: str) -> None:
    """An offset needs a loss and a solver that have one; groups and time exclude each other."""
    without = loss in ("squared_error", "softmax_cross_entropy") or is_kinked(LOSSES[loss])
    if options.offset and (without or options.solver not in ("auto", "newton")):
        raise ValueError(
            f"got --offset with --loss {loss} and --solver {options.solver}; expected --solver "
            "newton and a loss such as poisson (of least squares, subtract it from the target)."
        )
    if options.group and options.time:
        raise ValueError("got --group and --time; expected one of them to split the rows by.")
