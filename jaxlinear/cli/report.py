"""The results of a training run: a report for programs, and a table for people."""

import jax
import numpy as np

import jaxlinear as jl
from jaxlinear.cli import scores
from jaxlinear.cli.losses import is_classifier
from jaxlinear.cli.outputs import outputs_of
from jaxlinear.cli.penalty import Choice
from jaxlinear.cli.solvers import Solution
from jaxlinear.cli.task import Task

_HYPERPARAMETERS = ("epochs", "lr", "batch_size", "l2", "momentum", "patience", "seed")
_NOTES = 20  # of how a file was read
_STILL_FALLING = 0.05  # of the fall since the first epoch, in the last tenth of the epochs


def make_report(task: Task, options, solution: Solution) -> dict:
    """Everything that report.json holds: what was asked, what came out, on which machine."""
    device = jax.devices()[0]
    kind = "" if device.device_kind == device.platform else f": {device.device_kind}"
    chosen = vars(options)
    if solution.choice is not None:
        chosen = chosen | {"l2": solution.choice.l2.tolist()}
    sets = {"train": task.train, "validation": task.validation, "test": task.test}
    return {
        "dataset": task.title,
        "examples": {name: 0 if part is None else len(part.x) for name, part in sets.items()},
        "features": int(task.train.x.shape[1]),
        "target": task.target,
        "told": list(task.told),
        "decided": task.decided,
        "classes": list(task.names),
        "loss": task.loss,
        "solver": options.solver,
        "hyperparameters": {name: chosen[name] for name in _HYPERPARAMETERS if name in chosen},
        **_choice(solution.choice),
        "device": device.platform + kind,
        "seconds": solution.seconds,
        **_scores(task, solution.params, options.seed),
        **_ending(solution.fit, options.solver),
        "versions": {"jaxlinear": jl.__version__, "jax": jax.__version__},
    }


def table(report: dict) -> str:
    """A short table of a report."""
    classes = report["classes"]
    counts = report["examples"]
    examples = [
        f"{counts[name]:,} {purpose}"
        for name, purpose in _PURPOSES.items()
        if counts[name] or name != "validation"
    ]
    rows = [
        ("data", report["dataset"]),
        ("examples", ", ".join(examples)),
        ("features", f"{report['features']:,}"),
        ("classes", str(len(classes)) if classes else _without_classes(report["loss"])),
        ("loss", report["loss"]),
        ("solver", report["solver"]),
        *_chosen(report),
        ("device", report["device"]),
        *_times(report["seconds"]),
        ("status", f"{report['status']['name']}: {report['status']['sentence']}"),
        *_rank(report),
        ("objective", f"{report['objective']:.6g}"),
        *_gap(report),
        ("gradient norm", f"{report['gradient_norm']:.2g}"),
        ("", ""),
        *_measured(report),
    ]
    lines = [f"{name:<18}{text}".rstrip() for name, text in rows]
    return "\n".join([*_notes(report["told"]), *lines, *_warnings(report)])


def _notes(told: list[str]) -> list[str]:
    """How the file was read, a line each; of many like lines the first few."""
    lines = [f"{note[0].upper()}{note[1:]}." for note in told[:_NOTES]]
    rest = len(told) - len(lines)
    more = [f"And {rest:,} more, in report.json."] if rest else []
    return [*lines, *more, ""] if told else []


_PURPOSES = {"train": "to train", "validation": "to decide when to stop", "test": "to test"}


def _without_classes(loss: str) -> str:
    return f"none, the target is {'probabilities' if is_classifier(loss) else 'a number'}"


def _chosen(report: dict) -> list[tuple[str, str]]:
    """The chosen l2, and whether it lies at an end of the candidates."""
    l2 = np.ravel(report["hyperparameters"]["l2"])
    if "choice" not in report:
        return [("l2", f"{l2[0]:g}")]
    candidates = report["choice"]["l2s"]
    value = f"{l2[0]:.3g}" if len(l2) == 1 else f"{l2.min():.3g} … {l2.max():.3g} by label"
    ends = {max(candidates): "the strongest", min(candidates): "the weakest"}
    end = f"; {ends[l2[0]]} of them" if len(l2) == 1 and l2[0] in ends else ""
    text = f"{value}, by {report['choice']['by']} among {len(candidates)}{end}"
    return [("l2", text)]


def _measured(report: dict) -> list[tuple[str, str]]:
    """Every metric of the sets, with the interval of the test, beside the trivial model."""
    tested = bool(report["test"])
    heads = ["train", *(("test", "95 % interval") if tested else ()), "trivial"]
    rows = [("", "".join(f"{head:>{24 if '%' in head else 12}}" for head in heads))]
    trivial = report["trivial"]["test" if tested else "train"]
    for name, value in report["train"].items():
        text = _number(value)
        if tested:
            low, high = map(_number, report["test_interval"][name])
            text += f"{_number(report['test'][name])}{f'{low.strip()} … {high.strip()}':>24}"
        rows.append((name.replace("_", " "), text + _number(trivial[name])))
    return rows


def _number(value: float | None) -> str:
    """Four digits after the point, or, of what is larger or smaller, five in all."""
    if value is None:
        return f"{'-':>12}"
    usual = value == 0 or 1e-3 <= abs(value) < 1e3
    return f"{value:>12.4f}" if usual else f"{value:>12.5g}"


def _warnings(report: dict) -> list[str]:
    """What a person should know before the model is used."""
    told = []
    where = "test" if report["test"] else "train"
    trivial = report["trivial"]
    loss, least = report[where]["loss"], trivial[where]["loss"]
    if loss is None or (least is not None and loss >= least):
        told.append(
            f"NO BETTER than a model without features, which predicts {trivial['predicts']}: "
            f"its {where} loss is {_number(least).strip()}."
        )
    history = [value for value in report.get("history", ()) if value is not None]
    if len(history) > 1:
        tenth = max(len(history) // 10, 1)
        share = (history[-1 - tenth] - history[-1]) / max(history[0] - history[-1], 1e-300)
        if share > _STILL_FALLING and len(history) > tenth + 1:
            told.append(
                f"NOT AT THE OPTIMUM: the objective still falls, in the last {tenth} of "
                f"{len(history)} epochs by {share:.0%} of all that it fell. Raise --epochs or "
                "--lr, or leave the options of SGD out."
            )
    return told


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


def _choice(choice: Choice | None) -> dict:
    if choice is None:
        return {}
    numbers = {"l2s": choice.l2s.tolist(), "scores": _finite(choice.scores)}
    return {"choice": {"by": choice.by, **numbers}}


def _scores(task: Task, params: jl.Linear, seed: int) -> dict:
    """The metrics of training and test rows, and those of the trivial model."""
    outputs = params.b.shape
    baseline = scores.trivial(task.loss, task.train, task.names, outputs)
    found = {"train": {}, "test": {}, "trivial": {"predicts": baseline.predicts}}
    sets = {"train": task.train, "test": task.test}
    sets = {name: batch for name, batch in sets.items() if batch is not None}
    rows = max(len(batch.x) for batch in sets.values())
    for name, batch in sets.items():
        o = outputs_of(params, batch.x, batch.offset)
        measured = scores.score(
            task.loss, o, batch, seed=seed if name == "test" else None, rows=rows
        )
        found[name] = _by_name(measured.value)
        if measured.interval is not None:
            found["test_interval"] = _by_name(measured.interval)
        constant = scores.constant(baseline, batch)
        found["trivial"][name] = _by_name(scores.score(task.loss, constant, batch, rows=rows).value)
    return found


def _sentence(status: jl.Status, solver: str) -> str:
    if status != jl.Status.CONVERGED:
        return status.sentence
    if solver == "sgd":
        return "The validation loss fell no longer, for as many epochs as --patience says."
    return "The optimum, to what the dtype can tell."


def _ending(fit: jl.Fit, solver: str) -> dict:
    """How the fit ended, and its history where the solver has recorded one."""
    status = jl.Status(int(fit.report.status))
    ending = {
        "status": {"name": status.name, "sentence": _sentence(status, solver)},
        "steps": int(fit.report.steps),
        "objective": float(fit.report.objective),
        "gradient_norm": float(fit.report.gradient_norm),
    }
    if fit.report.rank is not None:
        ending["rank"] = int(fit.report.rank)
    if fit.report.gap is not None:
        ending["gap"] = float(fit.report.gap) if np.isfinite(fit.report.gap) else None
    if fit.history is not None:
        ending["history"] = _finite(fit.history)
        ending["validation"] = {k: _finite(values) for k, values in (fit.validation or {}).items()}
    return ending


def _by_name(measured: dict) -> dict:
    return {name: _finite(values) for name, values in measured.items()}


def _finite(values) -> list | float | None:
    """Numbers that JSON can hold: null for NaN, as after an early stop, or of a class alone."""
    values = np.asarray(values, float)
    return np.where(np.isfinite(values), values, None).tolist()
