"""The results of a training run: a report for programs, and a table for people."""

import jax
import numpy as np

import jaxlinear as jl
from jaxlinear.cli.outputs import outputs_of
from jaxlinear.cli.solvers import Solution
from jaxlinear.cli.task import LOSSES, Task, is_classifier, metrics_of
from jaxlinear.model import metrics

_HYPERPARAMETERS = ("epochs", "lr", "batch_size", "l2", "momentum", "patience", "seed")


def make_report(task: Task, options, solution: Solution) -> dict:
    """Everything that report.json holds: what was asked, what came out, on which machine."""
    device = jax.devices()[0]
    kind = "" if device.device_kind == device.platform else f": {device.device_kind}"
    chosen = vars(options)
    return {
        "dataset": task.title,
        "examples": {
            "train": len(task.train.x),
            "test": 0 if task.test is None else len(task.test.x),
        },
        "features": int(task.train.x.shape[1]),
        "classes": list(task.names),
        "loss": task.loss,
        "solver": options.solver,
        "hyperparameters": {name: chosen[name] for name in _HYPERPARAMETERS if name in chosen},
        "device": device.platform + kind,
        "seconds": solution.seconds,
        "train": _scores(task.loss, solution.params, task.train),
        "test": _scores(task.loss, solution.params, task.test),
        **_ending(solution.fit),
        "versions": {"jaxlinear": jl.__version__, "jax": jax.__version__},
    }


def table(report: dict) -> str:
    """A short table of a report."""
    classes = report["classes"]
    rows = [
        ("data", report["dataset"]),
        ("examples", "{train:,} to train, {test:,} to test".format(**report["examples"])),
        ("features", f"{report['features']:,}"),
        ("classes", str(len(classes)) if classes else _without_classes(report["loss"])),
        ("loss", report["loss"]),
        ("solver", report["solver"]),
        ("device", report["device"]),
        *_times(report["seconds"]),
        ("status", f"{report['status']['name']}: {report['status']['sentence']}"),
        *_rank(report),
        ("objective", f"{report['objective']:.6g}"),
        *_gap(report),
        ("gradient norm", f"{report['gradient_norm']:.2g}"),
        ("", f"{'train':>10}{'test':>10}" if report["test"] else f"{'train':>10}"),
    ]
    for name, value in report["train"].items():
        numbers = [value, report["test"][name]] if report["test"] else [value]
        rows.append((name, "".join(f"{number:>10.4f}" for number in numbers)))
    return "\n".join(f"{name:<16}{text}" for name, text in rows)


def _without_classes(loss: str) -> str:
    return f"none, the target is {'probabilities' if is_classifier(loss) else 'a number'}"


def _times(seconds: dict[str, float | None]) -> list[tuple[str, str]]:
    if "fit" in seconds:
        return [("fit time", f"{seconds['fit']:.2f} s, compiling included")]
    per_epoch = seconds["per_epoch"]
    return [
        ("compile time", f"{seconds['compile']:.2f} s{', one epoch included' * (not per_epoch)}"),
        ("time per epoch", f"{1e3 * per_epoch:.1f} ms" if per_epoch else "-"),
    ]


def _gap(report: dict) -> list[tuple[str, str]]:
    if report.get("gap") is None:
        return []
    return [("above optimum", f"at most {report['gap']:.2g}")]


def _rank(report: dict) -> list[tuple[str, str]]:
    if "rank" not in report:
        return []
    return [("rank", f"{report['rank']:,} of {report['features']:,}")]


def _ending(fit: jl.Fit) -> dict:
    """How the fit ended, and its history where the solver has recorded one."""
    status = jl.Status(int(fit.report.status))
    ending = {
        "status": {"name": status.name, "sentence": status.sentence},
        "steps": int(fit.report.steps),
        "objective": float(fit.report.objective),
        "gradient_norm": float(fit.report.gradient_norm),
    }
    if fit.report.rank is not None:
        ending["rank"] = int(fit.report.rank)
    if fit.report.gap is not None:
        ending["gap"] = float(fit.report.gap) if np.isfinite(fit.report.gap) else None
    if fit.history is not None:
        ending["history"] = _numbers(fit.history)
        ending["validation"] = {k: _numbers(values) for k, values in (fit.validation or {}).items()}
    return ending


def _scores(loss: str, params: jl.Linear, batch: jl.Batch | None) -> dict[str, float]:
    if batch is None:
        return {}
    o = outputs_of(params, batch.x)
    measured = {"loss": metrics.mean(LOSSES[loss]), **metrics_of(loss)}
    return {name: float(metric(o, batch.y, batch.weight)) for name, metric in measured.items()}


def _numbers(values) -> list[float | None]:
    """A list that JSON can hold: the epochs after an early stop are null, not NaN."""
    return [float(value) if np.isfinite(value) else None for value in values]
