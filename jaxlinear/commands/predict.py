"""``jaxlinear predict``: a .csv table with one row for each example."""

import csv
import io
import sys
from pathlib import Path

import numpy as np

from jaxlinear import model_file
from jaxlinear.commands.outputs import decide, outputs_of
from jaxlinear.commands.task import NAMED, fashion_mnist, has_log_mean, has_signs, is_classifier
from jaxlinear.data.atomic import replacing
from jaxlinear.data.files import load_features


def run(options) -> None:
    """Print, or write to a file, the class and its probability, or the number, of every row."""
    model = model_file.load(options.model)
    if options.data in NAMED:
        x = fashion_mnist(options.data, options.directory).test.x
    else:
        x = load_features(options.data, model.features)
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
        labels, probability = decide(model.loss, o)
        names = model.names or tuple(str(i) for i in range(max(2, o.shape[-1])))
        score = "margin" if has_signs(model.loss) else "probability"
        pairs = zip(labels, probability, strict=True)
        return ["prediction", score], [[names[label], f"{p:.6g}"] for label, p in pairs]
    o = np.exp(o) if has_log_mean(model.loss) else o
    columns = o.reshape(len(o), -1)
    names = [f"prediction_{i}" for i in range(columns.shape[1])] if o.ndim == 2 else ["prediction"]
    return names, [[f"{value:.9g}" for value in row] for row in columns]
