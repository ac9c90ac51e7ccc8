"""In through scikit-learn's validation, out in the namespace of the caller.

NumPy arrays, lists, and data frames of pandas and polars come in as NumPy arrays, and NumPy arrays
go out. JAX arrays stay where they are; the library's own checks look at them there.
"""

import contextlib

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_consistent_length,
    column_or_1d,
    validate_data,
)

from jaxlinear import checks
from jaxlinear.many import resample
from jaxlinear.types import Batch

_FLOATING = (np.float64, np.float32)  # what is of neither becomes the first
_SMALL = 2**22  # numbers in x, whose fit may take less time than compiling
_LEAST = 16  # rows to predict


def features(estimator, X, *, reset: bool = False):
    """x (n, d), floating, with the columns that the estimator was fitted to."""
    if not isinstance(X, jax.Array):
        return validate_data(estimator, X, reset=reset, dtype=_FLOATING)
    x = _checked(X)
    validate_data(estimator, x, reset=reset, skip_check_array=True)
    return x


def examples(
    estimator, X, y, sample_weight, *, numeric: bool, multi_output: bool = False, reset: bool = True
) -> Batch:
    """x, y and weight: y of numbers, like x, or as it came where it is of classes."""
    if isinstance(X, jax.Array):
        x = _checked(X)
        validate_data(estimator, x, y, reset=reset, skip_check_array=True)
        y = y if numeric and isinstance(y, jax.Array) else np.asarray(y)
        if not multi_output and y.ndim != 1:
            y = column_or_1d(np.asarray(y), warn=True)
    else:
        x, y = validate_data(
            estimator, X, y, reset=reset, dtype=_FLOATING, y_numeric=numeric,
            multi_output=multi_output,
        )  # fmt: skip
    if numeric and not jnp.issubdtype(y.dtype, jnp.floating):
        y = y.astype(x.dtype)
    if not numeric:
        check_classification_targets(y)
    return Batch(x, y, _weight(sample_weight, x))


def concepts(estimator, X, y, sample_weight) -> Batch:
    """x, y (n, k) in [0, 1], with NaN where there is no label, and weight."""
    x = features(estimator, X, reset=True)
    y = check_array(y, dtype=x.dtype, ensure_all_finite="allow-nan", input_name="y")
    check_consistent_length(x, y)
    return Batch(x, y, _weight(sample_weight, x))


def _weight(sample_weight, x):
    if sample_weight is None:
        return None
    dtype = np.promote_types(x.dtype, np.float32)
    return _check_sample_weight(sample_weight, x, dtype=dtype, ensure_non_negative=True)


def _checked(x: jax.Array) -> jax.Array:
    """Floating: bytes are numbers here, as they are to scikit-learn, and not scaled."""
    return checks.features(x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float))


def precision(*arrays):
    """A context in which JAX computes in float64, where one of the arrays is of float64."""
    wide = any(getattr(array, "dtype", None) == np.float64 for array in arrays)
    return jax.enable_x64(True) if wide else contextlib.nullcontext()


def like(given, results):
    """Results, a tree of JAX arrays, in the namespace of what was ``given``."""
    return results if isinstance(given, jax.Array) else jax.tree.map(np.asarray, results)


def of_few_sizes(batch: Batch) -> Batch:
    """The batch with rows of weight 0 added, where its size would be compiled for anew.

    The folds of a cross-validation differ by a row or two, and are one program then.
    """
    if isinstance(batch.x, jax.Array) or batch.x.size > _SMALL:
        return batch
    return resample.pad(batch)


def rows_of_few_sizes(x):
    """x with rows of zeros added, as in ``of_few_sizes``: also one row alone is no new program."""
    if isinstance(x, jax.Array) or x.size > _SMALL:
        return x
    size = _LEAST if len(x) < _LEAST else None
    return resample.pad(Batch(x, x[:, 0]), size).x


def total_weight(batch: Batch) -> float:
    """Σ w, the number of rows where there are no weights: what scikit-learn's penalties count."""
    weight = batch.weight
    return float(len(batch.x) if weight is None else np.sum(np.asarray(weight, np.float64)))


def from_host(given, array: np.ndarray):
    """A NumPy array in the namespace of what was ``given``."""
    return jnp.asarray(array) if isinstance(given, jax.Array) else array
