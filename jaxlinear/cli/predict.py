"""``jaxlinear predict``: a .csv table with one row for each example."""

import csv
import io
import sys
from pathlib import Path

import numpy as np

from jaxlinear.cli import model_file
from jaxlinear.cli.losses import has_signs, is_classifier, mean_of
from jaxlinear.cli.outputs import decide, outputs_of
from jaxlinear.cli.task import NAMED, dialect, fashion_mnist
from jaxlinear.data.atomic import replacing
from jaxlinear.data.files import load_features


def run(options) -> None:
    """Print, or write to a file, the class and its probability, or the number, of every row."""
    model = model_file.load(options.model)
    if options.data in NAMED:
        x = fashion_mnist(options.data, options.directory).test.x
    else:
        x = load_features(options.data, model.features, **dialect(options))
    header, rows = _rows(model, outputs_of(model.params, x))
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    if options.out is None:
        sys.stdout.write(text.getvalue())
        return
    with replacing(Path(options.out)) as file:
        file.write(text.getvalue().encode())
    print(f"Wrote {len(rows):,} predictions to {options.out}")


def _rows(model: model_file.Model, o: np.ndarray) -> tuple[list[str], list[list]]:
    if is_classifier(model.loss):
        labels, score = (_columns(part) for part in decide(model.loss, o))
        names = model.names or tuple(str(i) for i in range(max(2, o.shape[-1])))
        kind = "margin" if has_signs(model.loss) else "probability"
        header = [f"{name}{end}" for end in _endings(labels) for name in ("prediction", kind)]
        pairs = [zip(*row, strict=True) for row in zip(labels, score, strict=True)]
        return header, [[text for i, p in row for text in (names[i], f"{p:.6g}")] for row in pairs]
    columns = _columns(mean_of(model.loss, o))
    header = [f"prediction{end}" for end in _endings(columns)]
    return header, [[f"{value:.9g}" for value in row] for row in columns]


def _columns(part: np.ndarray) -> np.ndarray:
    return part.reshape(len(part), -1)


def _endings(columns: np.ndarray) -> list[str]:
    k = columns.shape[1]
    return [f"_{i}" for i in range(k)] if k > 1 else [""]
