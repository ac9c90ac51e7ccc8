"""``jaxlinear show``: what a model file holds, in the units of the file that it was trained on."""

import numpy as np

from jaxlinear.cli import errors, model_file
from jaxlinear.data.problems import sentences

_LARGEST = 40  # coefficients that are shown, unless all are asked for


def run(options) -> None:
    """Print how the model was made, how its columns are coded, and its coefficients."""
    model = model_file.load_one(options.model)
    print("\n".join([*_made(model), "", *_coding(model), *_coefficients(model, options.all)]))


def _made(model: model_file.Model) -> list[str]:
    about = model.about
    rows = [("loss", model.loss)]
    rows += [(name, about[name]) for name in ("dataset", "target") if about.get(name)]
    if model.names:
        rows.append(("classes", ", ".join(model.names)))
    if about:
        counts = (f"{count:,} {name}" for name, count in about["examples"].items() if count)
        rows.append(("examples", ", ".join(counts)))
        rows.append(("solver", f"{about['solver']}, {about['status']['name']}"))
        rows += [(name, _short(value)) for name, value in about["hyperparameters"].items()]
        low_high = about.get("test_interval", {})
        for name, value in about.get("test", {}).items():
            low, high = low_high.get(name, (None, None))
            between = "" if low is None else f" ({low:.4g} … {high:.4g})"
            rows.append((f"test {name}", "-" if value is None else f"{value:.4g}{between}"))
        rows += [(name, version) for name, version in about["versions"].items()]
    return [f"{name:<18}{text}" for name, text in rows]


def _short(value) -> str:
    values = np.ravel(value) if value is not None else ["none"]
    return ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)


def _coding(model: model_file.Model) -> list[str]:
    """How columns that are no plain numbers become features, and what was left out."""
    decided = model.about.get("decided") or {}
    lines = []
    for column in decided.get("columns", []):
        if column["kind"] != "number" or column["fill"] is not None:
            said = [column["kind"]]
            said += [f"missing: {column['fill']:g}"] if column["fill"] is not None else []
            said += [f"since {column['since']}"] if column["since"] else []
            levels = [level or "what is missing" for level in column["levels"]]
            said += [f"of {', '.join(levels)}"] if levels else []
            said += [f"beside {column['baseline']}"] if column["baseline"] is not None else []
            lines.append(f"{column['name']}: {', '.join(said)}")
    told = sentences(decided.get("left_out", {}), "left out: ")
    lines += [f"{note[0].upper()}{note[1:]}" for note in told]
    roles = decided.get("roles", {})
    lines += [f"{role}: {name}" for role, name in roles.items() if name]
    return [*lines, ""] if lines else []


def _coefficients(model: model_file.Model, every: bool) -> list[str]:
    """The coefficients by name, the largest contributions first where there are many."""
    w, b = np.atleast_2d(model.params.w), np.atleast_1d(model.params.b)
    outputs = model.names if len(model.names) == len(w) else model.about.get("outputs")
    outputs = outputs or (["coefficient"] if len(w) == 1 else [str(i) for i in range(len(w))])
    features = model.features or tuple(f"x{i}" for i in range(w.shape[1]))
    order = np.arange(w.shape[1])
    if not every and len(order) > _LARGEST:
        order = np.argsort(-np.abs(w).max(axis=0))[:_LARGEST]
    width = max(18, *(len(features[j]) + 2 for j in order))
    numbers, ends = [*w.T, b], []
    if model.covariance is not None and len(w) == 1:
        found = errors.intervals(model.params, errors.Errors(model.covariance, model.noise))
        outputs, ends = [*outputs, "low", "high"], [[*end.w.reshape(-1, 1), end.b] for end in found]
    lines = [" " * width + "".join(f"{name:>14}" for name in outputs)]
    for j in (-1, *order):
        values = np.concatenate([np.atleast_1d(part[j]) for part in (numbers, *ends)])
        name = features[j] if j >= 0 else "intercept"
        lines.append(f"{name:<{width}}" + "".join(f"{value:>14.6g}" for value in values))
    rest = len(features) - len(order)
    return [*lines, *([f"And {rest:,} smaller ones; --all shows them."] if rest else [])]
