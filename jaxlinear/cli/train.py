"""``jaxlinear train``: fit a model, print a table, save model, report and pictures."""

import errno
import json
import os
import sys
from pathlib import Path

import numpy as np

from jaxlinear.cli import model_file, safe_tensors, solvers
from jaxlinear.cli.gather import gather
from jaxlinear.cli.losses import has_signs, is_classifier, mean_of
from jaxlinear.cli.outputs import decide, outputs_of
from jaxlinear.cli.report import make_report, table
from jaxlinear.cli.task import Task
from jaxlinear.files.atomic import replacing


def run(options) -> None:
    """Train on a data set, show how it goes, and write the model, report.json and pictures."""
    if options.model_format == "safetensors":
        safe_tensors.required()  # before the work, not after it
    options = solvers.complete(options)
    out = _writable(Path(options.out))  # before the work, not after it
    task = gather(options)
    options = solvers.suited(options, task)
    solution = solvers.solve(task, options)
    report = make_report(task, options, solution)
    print(table(report))
    model = model_file.Model(
        solution.params, task.names, task.features, task.loss, _about(task, report),
        *(solution.errors or ()),
    )  # fmt: skip
    name = f"model.{options.model_format}"
    model_file.save(out / name, model)
    with replacing(out / "report.json") as file:
        file.write(json.dumps(report, indent=1).encode())
    pictures = [] if options.no_plots else _draw(task, solution, out)
    print(f"Saved {', '.join([name, 'report.json', *pictures])} in {out}")


def _about(task: Task, report: dict) -> dict:
    """What the model file says beside the parameters."""
    kept = ("dataset", "target", "examples", "solver", "hyperparameters", "status", "versions")
    about = {name: report[name] for name in kept}
    scores = {name: report[name] for name in ("test", "test_interval") if report.get(name)}
    return {**about, **scores, "outputs": list(task.outputs), "decided": task.decided}


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


def _draw(task: Task, solution: solvers.Solution, out: Path) -> list[str]:
    """Draw what suits the task; where matplotlib is missing, say how to get it."""
    try:
        from jaxlinear.cli import plots
    except ImportError as error:
        print(f"No pictures: {error}", file=sys.stderr)
        return []
    fit, params = solution.fit, solution.params
    figures = {}
    if solution.choice is not None:
        _, l2, l2s, curve = solution.choice
        figures["penalty.png"] = plots.penalty_curve(l2s, curve, l2)
    if fit.history is not None:
        figures["learning_curves.png"] = plots.learning_curves(
            fit.history, fit.validation, "test" if task.validation is None else "validation"
        )
    batch = task.train if task.test is None else task.test
    o = outputs_of(params, batch.x, batch.offset)
    if is_classifier(task.loss) and task.names:
        labels, _ = decide(task.loss, o)
        true = (np.asarray(batch.y) > 0).astype(int) if o.ndim == 1 else batch.y
        figures["confusion_matrix.png"] = plots.confusion_matrix(true, labels, task.names)
        figures["roc.png"] = plots.roc_curves(o, true, task.names)
        if not has_signs(task.loss):
            figures["calibration.png"] = plots.calibration_curve(o, true)
        if task.images:
            figures["weights.png"] = plots.weight_images(params, task.names)
            figures["examples.png"] = plots.example_grid(batch.x, batch.y, labels, task.names)
    elif o.ndim == 1 and not is_classifier(task.loss):
        predicted = mean_of(task.loss, o)
        figures["predictions.png"] = plots.predictions(batch.y, predicted, task.target)
        figures["residuals.png"] = plots.residuals(batch.y, predicted, task.target)
    if task.features:
        # In standard units, so that the weights of different columns compare.
        names = _output_names(task, o)
        ends = solution.interval and [end.w for end in solution.interval]
        figures["weights.png"] = plots.weights_by_feature(
            solution.standard, task.features, names, interval=ends
        )
    for name, figure in figures.items():
        plots.save(figure, out / name)
    return list(figures)


def _output_names(task: Task, o) -> list[str]:
    if o.ndim == 1:
        return [task.names[1] if task.names else task.target]
    return list(task.names or task.outputs or (f"{task.target} {i}" for i in range(o.shape[1])))
