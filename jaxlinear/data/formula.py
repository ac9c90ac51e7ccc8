"""Formulas, ``price ~ rooms * C(city) + log(area)``, by formulaic: which columns, and what of them.

A formula is a piece of Python. Only arithmetic and known functions are let through, so that a
model file from elsewhere can do no more than compute.

Importing this module imports formulaic and pandas, an extra: do so only where there is a formula.
"""

import ast
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxlinear.data import columns
from jaxlinear.data.columns import Column
from jaxlinear.data.delimited import Reading
from jaxlinear.data.features import Coding

try:
    import formulaic
    import pandas as pd
    from formulaic.parser.types import Factor
    from formulaic.transforms import TRANSFORMS
except ImportError as error:
    raise ImportError('formulas need formulaic: pip install "jaxlinear[formula]".') from error

_NUMPY = ("log", "log1p", "log2", "log10", "exp", "expm1", "sqrt", "abs", "sin", "cos", "tanh")
_FUNCTIONS = {name: value for name, value in TRANSFORMS.items() if name not in ("np", "hashed")}
_CONTEXT = {**{name: getattr(np, name) for name in _NUMPY}, **_FUNCTIONS, "np": np}
_NODES = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.keyword, ast.List, ast.Tuple, ast.BinOp,
    ast.UnaryOp, ast.Compare, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


class Formula(NamedTuple):
    """A formula taken apart: the target, the columns it needs, and those that are categories."""

    text: str
    target: str
    variables: tuple[str, ...]
    categories: tuple[str, ...]


class Design(NamedTuple):
    """What turns columns into features: the right of a formula, and what it learned of the rows."""

    terms: str
    names: tuple[str, ...]
    state: Any


def parse(text: str) -> Formula:
    """Take a formula apart; ValueError where it is none, or holds what is not let through."""
    try:
        parts = formulaic.Formula(text)
        left, right = [str(term) for term in parts.lhs], parts.rhs
    except AttributeError:
        raise ValueError(
            f"the formula {text!r} has no target; expected target ~ columns."
        ) from None
    except Exception as error:  # formulaic has many of its own
        raise ValueError(f"the formula {text!r} cannot be read: {error}.") from error
    if len(left) != 1 or not re.fullmatch(r"`[^`]+`|[^\W\d]\w*", left[0]):
        raise ValueError(
            f"the formula {text!r} has {' + '.join(left)} for a target; expected one column, as it "
            "is in the table."
        )
    if "1" not in [str(term) for term in right]:
        raise ValueError(f"the formula {text!r} has no intercept; jaxlinear always fits one.")
    names, categories = _names(right, text)
    if not names:
        raise ValueError(f"the formula {text!r} names no column to learn from.")
    known = tuple(name for name in names if name in categories)
    return Formula(text, left[0].strip("`"), names, known)


def learn(formula: Formula, reading: Reading, coding: Coding, rows: np.ndarray) -> Design:
    """The features of a formula, and what it learns of the training rows: means, knots, levels."""
    terms = str(formulaic.Formula(formula.text).rhs)
    spec = formulaic.ModelSpec.from_spec(terms, output="numpy", na_action="ignore")
    made = _matrix(spec, _frame(reading, coding, rows), terms)
    names = tuple(name for name in made.model_spec.column_names if name != "Intercept")
    return Design(terms, names, _plain(made.model_spec.transform_state))


def matrix(
    design: Design, reading: Reading, coding: Coding, rows: np.ndarray | None, path: Path
) -> np.ndarray:
    """The features x (n, d) in float64 of the ``rows``, a mask, or of all where it is None."""
    _names(formulaic.Formula(design.terms), design.terms)  # a file may come from anywhere
    spec = formulaic.ModelSpec.from_spec(
        design.terms, output="numpy", na_action="ignore", transform_state=_restored(design.state)
    )
    made = _matrix(spec, _frame(reading, coding, rows), design.terms)
    kept = [place for place, name in enumerate(made.model_spec.column_names) if name != "Intercept"]
    x = np.asarray(made, np.float64)[:, kept]
    if np.isinf(x).any():
        row, place = np.argwhere(np.isinf(x))[0]
        raise ValueError(
            f"{path}: {design.names[place]} is {x[row, place]} in row {row + 1} of those used; "
            "expected finite numbers: log(0), for one, has none."
        )
    return x


def _matrix(spec, frame, terms: str):
    try:
        with np.errstate(all="ignore"):
            return spec.get_model_matrix(frame, context=_CONTEXT)
    except Exception as error:  # formulaic passes on whatever its functions raise
        raise ValueError(f"the formula {terms!r} cannot be computed: {error}") from error


def _frame(reading: Reading, coding: Coding, rows: np.ndarray | None):
    """The columns as formulaic takes them, with what was decided of missing values and levels."""

    def values(column: Column):
        found = reading.columns[column.name]
        if column.kind != "category":
            return columns.numbers(column._replace(indicator=False), found)[:, 0]
        return pd.Categorical.from_codes(columns.places(column, found), columns.levels(column))

    frame = pd.DataFrame({column.name: values(column) for column in coding.columns})
    return frame if rows is None else frame[rows].reset_index(drop=True)


def _names(terms, text: str) -> tuple[tuple[str, ...], set[str]]:
    """The columns of all terms, and those in C(…); ValueError where they hold more than that."""
    names, categories = {}, set()
    for factor in (factor for term in terms for factor in term.factors):
        if factor.eval_method is Factor.EvalMethod.LOOKUP:
            names[str(factor.expr)] = None
        elif factor.eval_method is Factor.EvalMethod.PYTHON:
            found, among = _checked(str(factor.expr), text)
            names |= dict.fromkeys(found)
            categories |= among
    return tuple(names), categories


def _checked(expression: str, text: str) -> tuple[list[str], set[str]]:
    """The columns in an expression, and those in C(…); ValueError where it is not let through."""
    quoted = {}

    def short_name(match):
        return quoted.setdefault(match[0], f"_quoted_{len(quoted)}")

    try:
        tree = ast.parse(re.sub(r"`[^`]+`", short_name, expression), mode="eval")
    except SyntaxError as error:
        raise ValueError(f"the formula {text!r} holds {expression!r}, no expression.") from error
    long = {short: name.strip("`") for name, short in quoted.items()}
    nodes = list(ast.walk(tree))
    functions = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    functions |= {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    for node in nodes:
        if not _is_known(node):
            raise ValueError(
                f"the formula {text!r} holds {ast.unparse(node)!r}; expected columns, numbers, + - "
                f"* / **, and the functions {', '.join(sorted({*_NUMPY, *_FUNCTIONS}))}."
            )
    names = [n.id for n in nodes if isinstance(n, ast.Name) and id(n) not in functions]
    coded = [n.args[0].id for n in nodes if isinstance(n, ast.Call) and _is_category(n)]
    return [long.get(name, name) for name in names], {long.get(name, name) for name in coded}


def _is_known(node: ast.AST) -> bool:
    """Whether a part of an expression is arithmetic, a column, or one of the functions."""
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id == "np" and node.attr in _NUMPY
    if isinstance(node, ast.Call):
        name = node.func.id if isinstance(node.func, ast.Name) else None
        return isinstance(node.func, ast.Attribute) or (name in _CONTEXT and name != "np")
    return isinstance(node, _NODES)


def _is_category(call: ast.Call) -> bool:
    named = isinstance(call.func, ast.Name) and call.func.id == "C"
    return named and bool(call.args) and isinstance(call.args[0], ast.Name)


def _plain(state):
    """What a formula learned, as JSON can hold it: dictionaries by number, and arrays."""
    if isinstance(state, dict):
        return {"items": [[_plain(key), _plain(value)] for key, value in state.items()]}
    if isinstance(state, (list, tuple, np.ndarray)):
        kind = "array" if isinstance(state, np.ndarray) else "list"
        return {kind: [_plain(value) for value in state]}
    return state.item() if isinstance(state, np.generic) else state


def _restored(state):
    if not isinstance(state, dict):
        return state
    ((kind, held),) = state.items()
    if kind == "items":
        return {_restored(key): _restored(value) for key, value in held}
    found = [_restored(value) for value in held]
    return np.array(found) if kind == "array" else found
