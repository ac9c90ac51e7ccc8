"""Checks of the input before anything is traced.

An error names the argument, and says what was got, what was expected and what to do.

Shapes and dtypes are always known and always checked. Values (NaN, inf, labels out of range,
negative weights) are checked where they are concrete; under ``jit`` or ``vmap`` the same test
becomes the flag ``sound``, which a solver turns into ``Status.NONFINITE_INPUT``.
"""

from jaxlinear.checks.arguments import (
    TARGETS,
    features,
    like,
    offset,
    parameters,
    same_shape,
    stored,
    targets,
    weights,
)
from jaxlinear.checks.arrays import is_known, is_traced, numeric, read
from jaxlinear.checks.batch import examples
from jaxlinear.checks.folds import (
    folds_as_weights,
    names_and_numbers,
    number_of_folds,
    rows_as_mask,
    without_each,
)
from jaxlinear.checks.missing import examples_with_missing
from jaxlinear.checks.scalars import count, number, numbers
from jaxlinear.checks.values import finite, finite_where_present, is_distribution

__all__ = [
    "TARGETS",
    "count",
    "examples",
    "examples_with_missing",
    "features",
    "finite",
    "finite_where_present",
    "folds_as_weights",
    "is_distribution",
    "is_known",
    "is_traced",
    "like",
    "names_and_numbers",
    "number",
    "number_of_folds",
    "numbers",
    "numeric",
    "offset",
    "parameters",
    "read",
    "rows_as_mask",
    "same_shape",
    "stored",
    "targets",
    "weights",
    "without_each",
]
