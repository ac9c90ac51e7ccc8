"""``jaxlinear audit``: whether a model of scikit-learn is at its optimum on the data of its fit."""

from pathlib import Path

import numpy as np

import jaxlinear as jl
from jaxlinear.cli.roles import Roles
from jaxlinear.cli.roles import read as read_roles
from jaxlinear.cli.table import dialect
from jaxlinear.data import tables
from jaxlinear.data import target as target_column
from jaxlinear.data.arrays import require_file
from jaxlinear.data.columns import plain
from jaxlinear.data.files import features_of, require_columns


def run(options) -> None:
    """Print the objective, its gradient, how far it is above the optimum, and the verdict."""
    estimator = _opened(Path(options.model), options.trust)
    from jaxlinear.sklearn.audit import audit

    X, y, weight = _examples(options, getattr(estimator, "feature_names_in_", None))
    found = audit(estimator, X, y, weight)
    print("\n".join(f"{name:<18}{text}" for name, text in _rows(options, estimator, found, len(y))))


def _opened(path: Path, trusted: bool):
    """The estimator in a file of joblib or pickle."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; expected what joblib or pickle wrote.")
    if path.suffix == ".npz":
        raise ValueError(f"{path} is no estimator; `jaxlinear show` tells how such a model ended.")
    if not trusted:
        raise ValueError(
            f"{path} is a pickle, and opening one runs whatever code it holds; say --trust if you "
            "know who wrote it."
        )
    try:
        import joblib

        estimator = joblib.load(path)
    except ImportError as error:
        raise ImportError(f"{path} needs {error.name}: pip install 'jaxlinear[sklearn]'") from error
    except Exception as error:  # a pickle may raise anything
        raise ValueError(f"{path} cannot be opened: {type(error).__name__}: {error}") from error
    if not hasattr(estimator, "get_params"):
        raise ValueError(f"{path} holds a {type(estimator).__name__}; expected an estimator.")
    return estimator


def _examples(options, names):
    """X, a frame where the model knows its columns by name and pandas is there; y and weight."""
    path, target = Path(options.data), options.target
    if not tables.is_table(path):
        raise ValueError(f"{path} is no table; expected one of {tables.KINDS}.")
    require_file(path)
    reading = tables.read(path, dialect(options), {target})
    apart = (target, *([options.weight] if options.weight else ()))
    kept = features_of(reading, apart, (), path)
    if names is not None:
        kept = [str(name) for name in names]
        require_columns(reading, tuple(kept), path)
    y, present = target_column.values(reading, target, path)
    target_column.require_present(present, target, reading, path)
    if y.dtype == np.float32:  # rounded, and the optimum of others is not that of these
        y = plain(tables.read(path, dialect(options)).columns[target])
    asked = {**dict.fromkeys(Roles._fields), "weight": options.weight}
    weight = read_roles(reading, asked, path).weight
    return _frame(reading.columns.select(kept), names is not None, path), y, weight


def _frame(columns, named: bool, path: Path):
    """The features: a frame of pandas for a model that takes columns by name, else an array."""
    if named:
        try:
            return columns.to_pandas()
        except ImportError as error:
            raise ImportError(f"{path}: columns by name need pandas: pip install pandas") from error
    words = [field.name for field in columns.schema if str(field.type) in ("string", "timestamp")]
    if words:
        raise ValueError(
            f"{path}: column {words[0]!r} holds {columns.schema.field(words[0]).type}; expected "
            "numbers: the model knows no columns by name that could be words."
        )
    return np.stack([plain(column) for column in columns.columns], axis=1)


def _rows(options, estimator, found, count: int):
    report, best = found.fit.report, found.optimum.report
    status = jl.Status(int(report.status))
    l2 = np.ravel(found.objective.l2)
    yield "model", f"{type(estimator).__name__}, {Path(options.model).name}"
    yield "data", f"{Path(options.data).name}, {count:,} examples"
    yield "loss", found.objective.loss.__name__
    yield "l2", ", ".join(f"{value:.6g}" for value in l2)
    yield "objective", f"{float(report.objective):.10g}"
    yield "at the optimum", f"{float(best.objective):.10g}, {jl.Status(int(best.status)).name}"
    yield "above optimum", f"{float(report.gap):.2g}"
    yield "gradient norm", f"{float(report.gradient_norm):.2g}"
    if status != jl.Status.DIVERGED:
        yield "coefficients", f"off by up to {_farthest(found):.2g} of the largest"
    yield "verdict", _VERDICTS[status]


def _farthest(found) -> float:
    """How far a coefficient is from the optimum, relative to the largest of its output."""
    here, there = found.fit.params.w, found.optimum.params.w
    size = np.abs(there).max()
    return float(np.abs(here - there).max() / size) if size > 0 else 0.0


_VERDICTS = {
    jl.Status.CONVERGED: "AT THE OPTIMUM.",
    jl.Status.MAX_STEPS: "NOT AT THE OPTIMUM: it stopped before; lower its tol, raise max_iter, or "
    "scale the columns.",
    jl.Status.DIVERGED: "THERE IS NO OPTIMUM: classes can be separated, or the objective falls for "
    "ever; use a penalty.",
}
