"""``jaxlinear predict``: a .csv table with one row for each example."""

import csv
import io
import sys
from pathlib import Path

import numpy as np

from jaxlinear.cli import errors, model_file
from jaxlinear.cli.gather import NAMED, fashion_mnist
from jaxlinear.cli.losses import LOSSES, has_signs, is_classifier, is_independent, mean_of
from jaxlinear.cli.outputs import decide, outputs_of
from jaxlinear.data.files import is_table, load_features
from jaxlinear.files.atomic import replacing


def run(options) -> None:
    """Print, or write to a file, the class and its probability, or the number, of every row."""
    model = model_file.load_one(options.model)
    if model.loss not in LOSSES:
        raise ValueError(
            f"{options.model} names no loss that predict knows, but {model.loss!r}; expected a "
            "model that `jaxlinear train` wrote. In Python, use jl.predict."
        )
    x, offset, told = _features(model, options)
    for note in told:
        print(f"jaxlinear: {note}", file=sys.stderr)
    o = outputs_of(model.params, x, offset)
    header, rows = _rows(model, o)
    if model.covariance is not None and not is_classifier(model.loss):
        header, rows = _with_intervals(model, x, o, header, rows)
    for row in np.flatnonzero(np.isnan(x).any(axis=1)) if x.dtype != np.uint8 else ():
        rows[row] = [""] * len(header)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    if options.out is None:
        sys.stdout.write(text.getvalue())
        return
    with replacing(Path(options.out)) as file:
        file.write(text.getvalue().encode())
    print(f"Wrote {len(rows):,} predictions to {options.out}")


def _features(model: model_file.Model, options):
    """x (n, d), the offset (n,) or None, and what a person should know of how they were read."""
    if options.data in NAMED:
        return fashion_mnist(options.data, options.directory).test.x, None, []
    if is_table(options.data) and model.about.get("decided"):
        from jaxlinear.cli.table import read_features  # loads pyarrow

        return read_features(Path(options.data), model.about["decided"], options)
    return load_features(options.data, model.features), None, []


def _rows(model: model_file.Model, o: np.ndarray) -> tuple[list[str], list[list]]:
    outputs = tuple(model.about.get("outputs", ()))
    if not is_classifier(model.loss):
        columns = _columns(mean_of(model.loss, o))
        header = [f"prediction{end}" for end in _endings(columns, outputs)]
        return header, [[f"{value:.9g}" for value in row] for row in columns]
    labels, score = (_columns(part) for part in decide(model.loss, o))
    names = model.names or tuple(str(i) for i in range(max(2, o.shape[-1])))
    kind = "margin" if has_signs(model.loss) else "probability"
    header = [f"{name}{end}" for end in _endings(labels, outputs) for name in ("prediction", kind)]
    pairs = [zip(*row, strict=True) for row in zip(labels, score, strict=True)]
    rows = [[text for i, p in row for text in (names[i], f"{p:.6g}")] for row in pairs]
    if not is_independent(model.loss):
        header += [f"probability of {name}" for name in names]
        for row, p in zip(rows, mean_of(model.loss, o), strict=True):
            row += [f"{each:.6g}" for each in p]
    return header, rows


def _with_intervals(model: model_file.Model, x, o, header, rows):
    """Beside every number where 95 % of new rows lie, or, of other losses, where the mean does."""
    columns = _columns(o)
    k = columns.shape[1]
    away = errors.of_outputs(errors.Errors(model.covariance, model.noise), x, k)
    if model.noise is not None:
        away = np.sqrt(away**2 + model.noise)
    low, high = (_columns(mean_of(model.loss, columns + z * away)) for z in (-errors.Z, errors.Z))
    kind = "" if model.noise is not None else "mean_"
    names = [f"{kind}{side}{name.removeprefix('prediction')}" for name in header for side in
             ("low", "high")]  # fmt: skip
    ends = np.stack([low, high], axis=2).reshape(len(rows), -1)
    return [*header, *names], [
        [*row, *(f"{value:.9g}" for value in more)] for row, more in zip(rows, ends, strict=True)
    ]


def _columns(part: np.ndarray) -> np.ndarray:
    return part.reshape(len(part), -1)


def _endings(columns: np.ndarray, names: tuple[str, ...]) -> list[str]:
    k = columns.shape[1]
    return [f"_{name}" for name in (names or range(k))] if k > 1 else [""]
