"""``jaxlinear train``: train with a progress bar, print a table, save model, report and pictures.

The columns of a file are standardised before training, and the scales folded back into the
parameters, so that a saved model takes the columns as they are.
"""

import concurrent.futures
import errno
import json
import os
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import jaxlinear as jl
from jaxlinear import model_file
from jaxlinear.commands.outputs import decide, outputs_of
from jaxlinear.commands.report import make_report, table
from jaxlinear.commands.task import LOSSES, Task, gather, is_classifier, metrics_of
from jaxlinear.data.atomic import replacing


def run(options) -> None:
    """Train on a data set, show how it goes, and write model.npz, report.json and pictures."""
    out = _writable(Path(options.out))  # before the work, not after it
    task = gather(options)
    shift, scale = _scales(task, options)
    fit, seconds = _fit(task, options, shift, scale)
    if fit.report.status in (jl.Status.DIVERGED, jl.Status.NONFINITE_INPUT):
        status = jl.Status(int(fit.report.status))
        raise ValueError(
            f"{status.name}: {status.sentence} Nothing was saved (--lr {options.lr:g})."
        )
    params = _fold_back(fit.params, shift, scale)
    report = make_report(task, options, fit, params, seconds)
    print(table(report))
    model = model_file.Model(params, task.names, task.features, task.loss)
    model_file.save(out / "model.npz", model)
    with replacing(out / "report.json") as file:
        file.write(json.dumps(report, indent=1).encode())
    pictures = [] if options.no_plots else _draw(task, fit, params, out)
    print(f"Saved {', '.join(['model.npz', 'report.json', *pictures])} in {out}")


def _writable(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ValueError(
            f"--out {folder} cannot be written ({error.strerror}); name another directory."
        ) from error
    return folder


def _scales(task: Task, options):
    """Mean and standard deviation of every column of a file; bytes are scaled as they are."""
    x = task.train.x
    if x.dtype == np.uint8 or options.no_standardize:
        return 0.0, 1.0
    wide = np.asarray(x, np.float64)
    scale = wide.std(axis=0)
    return wide.mean(axis=0), np.where(scale == 0, 1.0, scale)


def _standardized(batch: jl.Batch | None, shift, scale) -> jl.Batch | None:
    if batch is None or batch.x.dtype == np.uint8:
        return batch
    x = (np.asarray(batch.x, np.float64) - shift) / scale
    return batch._replace(x=x.astype(batch.x.dtype))


def _fold_back(params: jl.Linear, shift, scale) -> jl.Linear:
    """The map w ((x − shift) / scale) + b as parameters of x itself."""
    w = np.asarray(params.w, np.float64) / scale
    b = np.asarray(params.b, np.float64) - (w * shift).sum(axis=-1)
    return jl.Linear(jnp.asarray(w, params.w.dtype), jnp.asarray(b, params.b.dtype))


def _fit(task: Task, options, shift, scale) -> tuple[jl.Fit, dict[str, float | None]]:
    """The fit, and the seconds that compiling and one epoch took."""
    train, test = (_standardized(part, shift, scale) for part in (task.train, task.test))
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

        result = _interruptible(fit)
    per_epoch = (ends[-1] - ends[0]) / (len(ends) - 1) if len(ends) > 1 else None
    return result, {"compile": ends[0] - (per_epoch or 0.0), "per_epoch": per_epoch}


def _interruptible(function):
    """Run in another thread and wait here, where Ctrl-C is heard: compiled code is deaf to it."""
    future = concurrent.futures.ThreadPoolExecutor(1).submit(function)
    while not future.done():
        concurrent.futures.wait([future], timeout=0.1)
    return future.result()


def _draw(task: Task, fit: jl.Fit, params: jl.Linear, out: Path) -> list[str]:
    """Draw what suits the task; where matplotlib is missing, say how to get it."""
    try:
        from jaxlinear import plots
    except ImportError as error:
        print(f"No pictures: {error}", file=sys.stderr)
        return []
    figures = {"learning_curves.png": plots.learning_curves(fit.history, fit.validation)}
    batch = task.train if task.test is None else task.test
    o = outputs_of(params, batch.x)
    if is_classifier(task.loss) and task.names:
        labels, _ = decide(task.loss, o)
        true = (np.asarray(batch.y) > 0).astype(int) if o.ndim == 1 else batch.y
        figures["confusion_matrix.png"] = plots.confusion_matrix(true, labels, task.names)
        if task.images:
            figures["weights.png"] = plots.weight_images(params, task.names)
            figures["examples.png"] = plots.example_grid(batch.x, batch.y, labels, task.names)
    elif o.ndim == 1 and "r2" in metrics_of(task.loss):
        figures["predictions.png"] = plots.predictions(batch.y, o, task.target)
    if task.features:
        # In standard units, so that the weights of different columns compare.
        names = _output_names(task, o)
        figures["weights.png"] = plots.weights_by_feature(fit.params, task.features, names)
    for name, figure in figures.items():
        plots.save(figure, out / name)
    return list(figures)


def _output_names(task: Task, o) -> list[str]:
    if o.ndim == 1:
        return [task.names[1] if task.names else task.target]
    return list(task.names or (f"{task.target} {i}" for i in range(o.shape[1])))
