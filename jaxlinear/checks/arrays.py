"""Arrays from anywhere: lists, tensors of other libraries and tables, as arrays of real numbers.

All public functions that take arrays read them here, so that they accept the same types, and an
error names the argument and a call that mends it.
"""

import math
import numbers

import jax
import jax.numpy as jnp
import numpy as np

_UNREADABLE = (TypeError, ValueError, RuntimeError, BufferError, AttributeError)


def is_traced(*values) -> bool:
    """Whether a value is unknown until the program runs: under ``jit``, ``vmap`` or ``grad``."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(values))


def is_known(*values) -> bool:
    """Whether all values can be looked at here: not traced, nor spread over several processes."""
    return all(map(_is_known, jax.tree.leaves(values)))


def _is_known(leaf) -> bool:
    if isinstance(leaf, jax.core.Tracer):
        return False
    return not isinstance(leaf, jax.Array) or leaf.is_fully_addressable or leaf.is_fully_replicated


def numeric(value, name: str):
    """An array of real numbers, on the host where it came from the host; no value is changed."""
    array = read(value, name)
    if not _is_real(array.dtype) and array.ndim == 2 and hasattr(value, "columns"):
        array = _from_columns(value, name)
    if not _is_real(array.dtype):
        raise TypeError(
            f"{name} has dtype {array.dtype}; expected real numbers. {_way_to_numbers(array, name)}"
        )
    return array


def read(value, name: str):
    """The array that ``value`` stands for, in whatever dtype: of JAX, or of NumPy on the host."""
    if isinstance(value, jax.Array):
        return value
    _require_dense(value, name)
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise ValueError(
            f"{name} has masked entries; expected a number in each. Pass {name}.filled(0), with "
            "weight 0 for such rows."
        )
    if is_traced(value):
        return jnp.asarray(value)  # a list of traced numbers
    array = _converted(value, name)
    if isinstance(array, np.ndarray):
        if array.dtype.type is np.longdouble:
            array = array.astype(np.float64)  # JAX has none that is longer
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array


def _converted(value, name: str):
    """By NumPy, which leaves it on the host, or by DLPack from wherever it is."""
    readers = [np.asarray]
    if hasattr(value, "__dlpack__"):
        by_numpy = readers if hasattr(value, "__array__") else []
        readers = [*by_numpy, np.from_dlpack, jnp.from_dlpack]
    errors = []
    for reader in readers:
        try:
            return reader(value)
        except _UNREADABLE as error:
            errors.append(error)
    raise TypeError(
        f"{name} is a {type(value).__name__} that cannot be read as numbers: {errors[0]}"
    ) from errors[0]


def _require_dense(value, name: str) -> None:
    """Refuse sparse arrays of any library before anything is done with them."""
    calls = [call for call in ("toarray", "todense") if hasattr(value, call)]
    if str(getattr(value, "layout", "")).startswith("torch.sparse"):
        calls = ["to_dense"]
    if calls:
        shape = tuple(value.shape)
        size = math.prod(shape) * value.dtype.itemsize / 1e9
        raise TypeError(
            f"{name} is a sparse {type(value).__name__} of shape {shape}; expected a dense array. "
            f"Dense it takes {size:.2g} GB: pass {name}.{calls[0]}() where there is room for that."
        )


def _is_real(dtype) -> bool:
    if dtype == np.bool_ or jnp.issubdtype(dtype, jnp.integer):
        return dtype.kind != "m"  # to NumPy a duration is an integer
    return jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize > 1  # JAX promotes no float8


def _from_columns(table, name: str):
    """A table whose columns have no common dtype in NumPy; an error names the column at fault."""
    if hasattr(table, "items"):
        columns = table.items()
    else:
        columns = ((label, table[label]) for label in table.columns)
    return np.stack([numeric(column, f"{name}[{label!r}]") for label, column in columns], axis=1)


def _way_to_numbers(array, name: str) -> str:
    kind = getattr(array.dtype, "kind", "")
    if kind in ("m", "M"):
        unit = "np.timedelta64(1, 's')"
        origin = name if kind == "m" else f"({name} - {name}.min())"
        return f"Count in a unit from an origin: {origin} / {unit}."
    if kind == "c":
        return f"Pass np.concatenate([{name}.real, {name}.imag], axis=-1), or one of both."
    if array.dtype.names if kind == "V" else False:
        return f"Pass np.lib.recfunctions.structured_to_unstructured({name})."
    if kind == "O":
        flat = array.ravel()
        bad = (i for i, entry in enumerate(flat) if not isinstance(entry, numbers.Real))
        place = next(bad, None)
        if place is not None:
            index = [int(i) for i in np.unravel_index(place, array.shape)]
            where = f" at {index}" if index else ""
            return f"It holds {flat[place]!r}{where}: leave it out, or write numbers."
    return f"Convert it first, for example with np.asarray({name}, dtype=np.float32)."
