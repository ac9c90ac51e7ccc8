"""Input that is refused by name before anything is traced: got, expected, what to do.

Shapes and dtypes are always known and always checked. Values (NaN, inf, labels out of range,
negative weights) are checked where they are concrete; under ``jit`` or ``vmap`` the same test
becomes the flag ``sound``, which a solver turns into ``Status.NONFINITE_INPUT``.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Shaped

from jaxlinear import _digits
from jaxlinear._arrays import is_traced, numeric
from jaxlinear.types import Batch, Linear

# What a loss may accept as targets: in words, and as a test in NumPy (xp) or, traced, in JAX.
TARGETS = {
    "real": ("finite numbers", lambda y, xp: xp.isfinite(y)),
    "probabilities": ("numbers in [0, 1]", lambda y, xp: (y >= 0) & (y <= 1)),
    "counts": ("numbers ≥ 0", lambda y, xp: (y >= 0) & xp.isfinite(y)),
    "positive": ("numbers > 0", lambda y, xp: (y > 0) & xp.isfinite(y)),
    "signs": ("-1 or 1", lambda y, xp: xp.abs(y) == 1),
    "labels": ("integer labels (n,), or distributions (n, k) that sum to 1", None),
}


def _known_now(check: Callable) -> Callable:
    """Look at values that are known even while another function is being traced.

    Without it, ``jax.jit(lambda lr: fit(x, y, lr))`` would stage the look at x, and never look.
    """

    @functools.wraps(check)
    def look(*arguments, **options):
        if is_traced(arguments, options):
            return check(*arguments, **options)
        with jax.ensure_compile_time_eval():
            return check(*arguments, **options)

    return look


def features(x, *, width: int | None = None) -> Shaped[Array, "n d"]:
    """x as (n, d): floating as it came, uint8 as bytes, other integers and booleans as floats.

    Digits that the dtype cannot hold are rounded: of the few rows of a prediction there is no
    spread to compare with, and w x is rounded as much as x is.
    """
    x = _matrix(x, width)
    return jnp.asarray(_digits.cast(x, _dtype_of(x)))


def _matrix(x, width: int | None = None):
    """x as it came, whose shape is (n, d)."""
    x = numeric(x, "x")
    if x.ndim != 2:
        fix = {
            0: " For one example of one feature pass [[x]].",
            1: " For one feature pass x[:, None], for one example x[None, :].",
        }.get(x.ndim, " Pass x.reshape(len(x), -1).")
        raise ValueError(f"x has shape {x.shape}; expected (examples, features).{fix}")
    if 0 in x.shape:
        raise ValueError(f"x has shape {x.shape}; expected at least one example and one feature.")
    if width is not None and x.shape[1] != width:
        raise ValueError(
            f"x has {x.shape[1]} features; the parameters expect {width}. Pass the same columns "
            "as in the fit."
        )
    return x


def _dtype_of(x):
    """The dtype that x has in JAX."""
    stays = jnp.issubdtype(x.dtype, jnp.floating) or x.dtype == jnp.uint8
    return jnp.result_type(x if stays else float)


def _wide(x):
    """That of sums, targets, offsets and weights: bfloat16 cannot hold 257."""
    dtype = jnp.result_type(float) if x.dtype == jnp.uint8 else _dtype_of(x)
    return jnp.promote_types(dtype, jnp.float32)


@_known_now
def finite(x, *, width: int | None = None) -> Shaped[Array, "n d"]:
    """The features of x, which must not hold NaN or inf where its values are known."""
    given, x = x, features(x, width=width)
    if not is_traced(x) and x.dtype != jnp.uint8 and not jax.device_get(_finite_rows(x)).all():
        _raise_not_finite(x, numeric(given, "x"))
    return x


def weights(weight, n: int, dtype, outputs: tuple[int, ...] = ()):
    """weight as (n,) in ``dtype``, or None; also (n, k) where the k ``outputs`` may differ."""
    if weight is None:
        return None
    given = numeric(weight, "weight")
    if given.shape not in ((n,), (n, *outputs)):
        other = f" or {(n, *outputs)}" if outputs else ""
        fix = " Pass weight[:, 0]." if given.shape == (n, 1) else ""
        raise ValueError(
            f"weight has shape {given.shape}; expected ({n},){other}, one number per example.{fix}"
        )
    weight = _digits.cast(given, dtype)
    if _digits.narrows(given.dtype, dtype) and not is_traced(weight):
        host = np.asarray(weight)
        _require_room(
            "weight", given, (host == 0) & (np.asarray(given) != 0) | np.isinf(host), dtype
        )
    return weight


def _require_room(name: str, given, spoiled, dtype) -> None:
    """Refuse finite numbers of ``given`` that are spoiled in ``dtype``: inf, or 0 that counts."""
    given = np.asarray(given)
    spoiled = np.asarray(spoiled) & np.isfinite(given)
    if spoiled.any():
        place = tuple(np.argwhere(spoiled)[0].tolist())
        where = f"{name}[{', '.join(map(str, place))}]" if place else name
        raise ValueError(f"{where} {_digits.beyond(given[place], dtype)}")


def offset(offset, batch: Batch, outputs: tuple[int, ...]):
    """offset like the outputs of the model, (n,) or (n, k); (n,) serves all k. None stays None."""
    if offset is None:
        return None
    offset = numeric(offset, "offset")
    n = len(batch.x)
    if offset.shape not in ((n,), (n, *outputs)):
        raise ValueError(
            f"offset has shape {offset.shape}; expected {(n, *outputs)}, a number for every output"
            f"{f', or ({n},), one for all outputs of an example' if outputs else ''}."
        )
    given, offset = offset, _digits.kept(offset, "offset", _wide(batch.x), batch.weight)
    if not is_traced(offset, batch.weight):
        present = np.ones(n, bool) if batch.weight is None else np.asarray(batch.weight) != 0
        host = np.asarray(offset)
        bad = ~np.isfinite(host) & present.reshape(n, *[1] * (host.ndim - 1))
        if bad.any():
            _require_room("offset", given, bad, offset.dtype)
            row = int(np.argwhere(bad)[0, 0])
            raise ValueError(
                f"offset[{row}] is {host[row].tolist()}; expected finite numbers. Mend it, or give "
                "the row weight 0."
            )
    if offset.ndim == len(outputs):
        offset = offset.reshape(n, 1)
    return jnp.broadcast_to(offset, (n, *outputs))


def targets(y, n: int, kind: str, dtype, weight=None):
    """y as (n,) or (n, k): int32 labels, or numbers in ``dtype``."""
    y = numeric(y, "y")
    if y.ndim not in (1, 2) or y.shape[0] != n or 0 in y.shape:
        raise ValueError(
            f"y has shape {y.shape}; expected ({n},) or ({n}, k), one row per example of x."
        )
    if kind != "labels":
        return _digits.kept(y, "y", dtype, weight)
    if y.ndim == 2 and y.shape[1] > 1:
        return _digits.cast(y, dtype)
    if y.ndim == 2 or jnp.issubdtype(y.dtype, jnp.floating):
        raise TypeError(
            f"y has shape {y.shape} and dtype {y.dtype}; expected {TARGETS['labels'][0]}, k ≥ 2. "
            "Use y.astype(int) for labels, y[:, 0] for one column; for probabilities of one class "
            "the logistic loss."
        )
    if not is_traced(y) and y.dtype.itemsize >= 4:
        # Before the labels meet int32: 2**40 would wrap to label 0.
        host, limits = np.asarray(y), np.iinfo(np.int32)
        outside = (host < limits.min) | (host > limits.max)
        if outside.any():
            raise ValueError(f"y holds the label {host[outside][0]}; expected labels below 2**31.")
    return _digits.cast(y, np.int32)


def stored(batch: Batch) -> Batch:
    """The arrays of a batch that is put on a device for later fits, where they came from."""
    x, y, weight = batch
    weight = None if weight is None else numeric(weight, "weight")
    x, y = (
        _digits.stored(numeric(rows, name), name, weight) for rows, name in ((x, "x"), (y, "y"))
    )
    return Batch(x, y, weight)


@_known_now
def examples(
    x,
    y,
    weight,
    kind: str,
    *,
    outputs: int | None = None,
    width: int | None = None,
    look: bool = True,
    fitted: bool = True,
) -> tuple[Batch, tuple[int, ...], Bool[ArrayLike, ""]]:
    """Check a batch; return it as arrays, the shape of one example's outputs, and ``sound``.

    ``kind`` is a key of ``TARGETS``. ``outputs`` is the number of classes, where it is not to be
    read off the labels; ``width`` the number of features, where it is known. ``look=False``
    leaves NaN and inf in x to a solver that notices them without a look at all of x.
    ``fitted=False`` is for rows beside those of a fit, which may be few: digits are no subject.
    """
    given = Batch(_matrix(x, width), numeric(y, "y"))
    wide = _wide(given.x)
    weight = weights(weight, len(given.x), wide)
    counted = weight if fitted else np.zeros(len(given.x))
    x = _digits.kept(given.x, "x", _dtype_of(given.x), counted)
    batch = Batch(x, targets(given.y, len(x), kind, wide, counted), weight)
    if is_traced(batch):
        shape = _output_shape(batch, kind, outputs)
        sound = _sound(batch, _finite_rows(batch.x) if look else True, kind, shape, jnp)
        return batch, shape, jnp.stack(list(sound.values())).all()
    # On the host, where nothing is compiled; x stays where it is.
    host = Batch(batch.x, *jax.device_get((batch.y, batch.weight)))
    shape = _output_shape(host, kind, outputs)
    finite = x.dtype == jnp.uint8 or not look or jax.device_get(_finite_rows(batch.x))
    _raise_first(host, given, _sound(host, finite, kind, shape, np), kind, shape)
    return batch, shape, np.True_


@_known_now
def examples_with_missing(x, y, weight) -> tuple[Batch, Bool[ArrayLike, ""]]:
    """Check a batch whose targets are numbers, or NaN where missing: such have weight 0.

    A weight may be (n, k), and is so where y (n, k) is seen to have missing targets.
    """
    given = Batch(_matrix(x), numeric(y, "y"), weight)
    n, wide = len(given.x), _wide(given.x)
    weight = weights(weight, n, wide, given.y.shape[1:])
    in_rows = weight if weight is None or weight.ndim == 1 else weight.sum(axis=1)
    x = _digits.kept(given.x, "x", _dtype_of(given.x), in_rows)
    y = targets(given.y, n, "real", wide, weight)
    traced = is_traced(x, y, weight)
    if y.ndim == 1 or not traced:
        xp = jnp if traced else np
        missing = xp.isnan(xp.asarray(y))
        if y.ndim == 1 or missing.any():
            weight = 1 if weight is None else weight.reshape(n, *[-1] * (y.ndim - 1))
            weight = jnp.where(missing, 0, weight).astype(wide)
    batch = Batch(x, y, weight)
    columns = y.reshape(n, -1)
    absent = False if weight is None else weight.reshape(n, -1) == 0
    row_absent = False if weight is None else absent.all(axis=1)
    sound = {
        "x": (_finite_rows(x) | row_absent).all(),
        "y": (jnp.isfinite(columns) | absent).all(),
        "weight": True if weight is None else ((weight >= 0) & jnp.isfinite(weight)).all(),
    }
    if traced:
        return batch, jnp.stack([jnp.asarray(part) for part in sound.values()]).all()
    if all(sound.values()):
        return batch, np.True_
    name = min(sound, key=sound.get)  # the first that is not
    values = np.asarray(getattr(batch, name))
    bad = ~np.isfinite(values)
    if name == "weight":
        bad |= values < 0
    elif weight is not None:
        without = np.asarray(row_absent)[:, None] if name == "x" else np.asarray(absent)
        bad &= ~(without[:, 0] if values.ndim == 1 else without)
    if name != "weight":
        _require_room(name, getattr(given, name), bad, values.dtype)
    place = np.argwhere(bad)[0]
    raise ValueError(
        f"{name}[{', '.join(map(str, place))}] is {values[tuple(place)]}; expected finite numbers"
        f"{' ≥ 0' if name == 'weight' else ''}. Mend it, or give the row weight 0."
    )


def _output_shape(batch: Batch, kind: str, outputs: int | None) -> tuple[int, ...]:
    y = batch.y
    if y.ndim == 2:
        if outputs not in (None, y.shape[1]):
            raise ValueError(f"outputs is {outputs}; y has {y.shape[1]} columns. Leave it out.")
        return y.shape[1:]
    if kind != "labels":
        return () if outputs is None else (outputs,)
    if outputs is not None:
        return (outputs,)
    if is_traced(y, batch.weight):
        raise ValueError(
            "outputs is None and the labels are traced, so the number of classes is unknown. "
            "Pass outputs=k under jit or vmap."
        )
    present = np.asarray(y) if batch.weight is None else np.asarray(y)[batch.weight != 0]
    least, largest = (int(present.min()), int(present.max())) if present.size else (0, 0)
    if least > 0:
        raise ValueError(
            f"y holds labels {least} … {largest} and none is 0; expected labels 0, 1, …. Use "
            f"y - {least}, or pass outputs=k where a class has no examples."
        )
    if largest < 1:
        raise ValueError(
            f"y holds labels up to {largest}; expected at least two classes, labelled 0, 1, …. "
            "Pass outputs=k where some classes are absent."
        )
    return (largest + 1,)


def _sound(batch: Batch, finite, kind: str, shape: tuple[int, ...], xp) -> dict:
    """Whether every argument is sound on the examples that have weight."""
    absent = False if batch.weight is None else batch.weight == 0
    sound = {
        "x": xp.all(finite | absent),
        "y": xp.all(_fine_targets(batch.y, kind, shape, xp) | absent),
    }
    if batch.weight is not None:
        sound["weight"] = xp.all((batch.weight >= 0) & xp.isfinite(batch.weight))
        sound["examples"] = ~xp.all(absent)
    return sound


def _fine_targets(y, kind: str, shape: tuple[int, ...], xp) -> Bool[ArrayLike, " n"]:
    if kind != "labels":
        fine = TARGETS[kind][1](y, xp)
        return fine.reshape(len(y), -1).all(axis=-1)
    if y.ndim == 1:
        return (y >= 0) & (y < shape[0])
    return is_distribution(y, xp)


def is_distribution(p, xp) -> Bool[ArrayLike, "*batch"]:
    """Whether the numbers along the last axis are ≥ 0 and sum to 1, up to the dtype's rounding."""
    dtype = jnp.result_type(p, float)  # whole numbers and booleans are numbers too
    slack = 8 * math.sqrt(jnp.finfo(dtype).eps)
    wide = jnp.promote_types(dtype, jnp.float32)  # a sum in bfloat16 stalls below 1
    return (p >= 0).all(axis=-1) & (xp.abs(p.sum(axis=-1, dtype=wide) - 1) <= slack)


def _raise_first(
    batch: Batch, given: Batch, sound: dict, kind: str, shape: tuple[int, ...]
) -> None:
    """Refuse the first argument that is not sound; ``given`` is what it was before the dtype."""
    x, y, weight = batch
    if not sound.get("weight", True):
        row = int(np.argmin((weight >= 0) & np.isfinite(weight)))
        raise ValueError(
            f"weight[{row}] is {weight[row]}; expected finite numbers ≥ 0, with 0 for examples to "
            "leave out."
        )
    if not sound.get("examples", True):
        raise ValueError("weight is 0 everywhere; expected at least one example of weight > 0.")
    present = np.ones(len(y), bool) if weight is None else weight != 0
    if not sound["x"]:
        _raise_not_finite(x, given.x, present)
    if not sound["y"]:
        bad = ~_fine_targets(y, kind, shape, np) & present
        if jnp.issubdtype(y.dtype, jnp.floating):
            _require_room("y", given.y, np.isinf(y) & bad.reshape(-1, *[1] * (y.ndim - 1)), y.dtype)
        row = int(np.argmax(bad))
        expected = TARGETS[kind][0]
        if kind == "labels" and y.ndim == 1:
            expected = f"integer labels 0 … {shape[0] - 1}"
        raise ValueError(
            f"y[{row}] is {y[row].tolist()}; expected {expected}. Mend it, or give the row "
            "weight 0."
        )


def finite_where_present(batch: Batch) -> Bool[Array, ""]:
    """Whether x and y are finite in all examples that have weight."""
    y = batch.y.reshape(len(batch.y), -1)
    finite = _finite_rows(batch.x) & jnp.isfinite(y).all(axis=-1)
    return jnp.all(finite if batch.weight is None else finite | (batch.weight == 0))


@jax.jit
def _finite_rows(x):
    return jnp.isfinite(x).all(axis=-1)


def _raise_not_finite(x, given, present=True) -> None:
    bad = ~np.isfinite(np.asarray(x)) & np.reshape(present, (-1, 1))
    _require_room("x", given, bad, x.dtype)
    row, column = np.argwhere(bad)[0]
    raise ValueError(
        f"x[{row}, {column}] is {np.asarray(x)[row, column]}; expected finite numbers. Mend "
        "it, or give the row weight 0."
    )


def parameters(params: Linear, name: str, shape: tuple[int, ...], x) -> Linear:
    """Parameters for outputs of ``shape``, finite where they are known."""
    params = Linear(*(numeric(leaf, name) for leaf in params))
    expected = (*shape, x.shape[1])
    if params.w.shape != expected or params.b.shape != shape:
        raise ValueError(
            f"{name} has w {params.w.shape} and b {params.b.shape}; expected {expected} and "
            f"{shape} for x {x.shape} and this y."
        )
    if not is_traced(params) and not all(np.isfinite(leaf).all() for leaf in params):
        raise ValueError(
            f"{name} holds NaN or inf; start from finite parameters, or from {name}=None."
        )
    return params


def same_shape(o, y) -> None:
    """Refuse to broadcast."""
    if o.shape != y.shape:
        raise ValueError(f"got shapes {o.shape} and {y.shape}; expected the same shape twice.")


def like(o, y) -> tuple[Array, Array]:
    """(o, y) as arrays of one shape and of o's dtype, so that no broadcasting hides a mistake."""
    o, y = jnp.asarray(o), jnp.asarray(y)
    if o.shape != y.shape:
        raise ValueError(
            f"the outputs have shape {o.shape} and the targets {y.shape}; expected the same. A "
            "loss takes ONE example: use jax.vmap, or mean_loss, for a batch."
        )
    return o, y.astype(o.dtype)


def number(
    value, name: str, dtype, *, at_least: float | int = 0, below: float = math.inf, shape=()
):
    """A traced number in ``dtype``; where it is concrete it must lie in [at_least, below).

    It may also have one other ``shape``: a number for every output.
    """
    array = numeric(value, name)
    if array.shape not in ((), shape):
        raise ValueError(
            f"{name} has shape {array.shape}; expected a number{f' or {shape}' if shape else ''}. "
            f"For many models at once use jax.vmap over {name}."
        )
    if is_traced(array):
        return array.astype(dtype)
    host = np.asarray(array)
    if not ((host >= at_least) & (host < below)).all():
        raise ValueError(f"{name} is {value}; expected a number in [{at_least:g}, {below:g}).")
    with np.errstate(over="ignore"):
        cast = host.astype(dtype)  # on the host, where a conversion costs nothing
    _require_room(name, host, np.isinf(cast), dtype)
    return cast


def numbers(values, name: str, dtype):
    """A list of numbers ≥ 0, (m,) in ``dtype``."""
    array = numeric(values, name)
    if array.ndim != 1 or not len(array):
        raise ValueError(f"{name} has shape {array.shape}; expected (m,), a list of numbers.")
    return number(array, name, dtype, shape=array.shape)


def count(value, name: str) -> int:
    """A static whole number ≥ 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{name} is {value!r}; expected a whole number ≥ 1.")
    return int(value)
