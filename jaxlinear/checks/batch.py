"""Examples as a whole: x, y and weight that belong together."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Bool

from jaxlinear.checks import arguments, digits
from jaxlinear.checks.arguments import TARGETS, dtype_of, matrix, targets, weights
from jaxlinear.checks.arrays import is_known, numeric
from jaxlinear.checks.values import finite_rows, is_distribution, known_now, raise_not_finite
from jaxlinear.types import Batch


@known_now
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
    does not search x for NaN and inf: for solvers that notice them without reading all of x.
    ``fitted=False`` is for validation rows, which may be few: rounded digits are not refused.
    """
    given = Batch(matrix(x, width), numeric(y, "y"))
    wide = arguments.wide(given.x)
    weight = weights(weight, len(given.x), wide)
    counted = weight if fitted else np.zeros(len(given.x))
    x = digits.kept(given.x, "x", dtype_of(given.x), counted)
    batch = Batch(x, targets(given.y, len(x), kind, wide, counted), weight)
    if not is_known(batch):
        shape = output_shape(batch, kind, outputs)
        sound = soundness(batch, finite_rows(batch.x) if look else True, kind, shape, jnp)
        return batch, shape, jnp.stack(list(sound.values())).all()
    # On the host, where nothing is compiled; x stays where it is.
    host = Batch(batch.x, *jax.device_get((batch.y, batch.weight)))
    shape = output_shape(host, kind, outputs)
    finite = x.dtype == jnp.uint8 or not look or jax.device_get(finite_rows(batch.x))
    raise_first(host, given, soundness(host, finite, kind, shape, np), kind, shape)
    return batch, shape, np.True_


def output_shape(batch: Batch, kind: str, outputs: int | None) -> tuple[int, ...]:
    """The shape of the outputs of one example: of labels the number of classes."""
    y = batch.y
    if y.ndim == 2:
        if outputs not in (None, y.shape[1]):
            raise ValueError(f"outputs is {outputs}; y has {y.shape[1]} columns. Leave it out.")
        return y.shape[1:]
    if kind != "labels":
        return () if outputs is None else (outputs,)
    if outputs is not None:
        return (outputs,)
    if not is_known(y, batch.weight):
        raise ValueError(
            "outputs is None and the labels are traced, or lie in several processes, so the number "
            "of classes is unknown. Pass outputs=k under jit or vmap, or with processes."
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


def soundness(batch: Batch, finite, kind: str, shape: tuple[int, ...], xp) -> dict:
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


def raise_first(batch: Batch, given: Batch, sound: dict, kind: str, shape: tuple[int, ...]) -> None:
    """Refuse the first argument that is not sound; ``given`` holds x and y before their cast."""
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
        raise_not_finite(x, given.x, present)
    if not sound["y"]:
        bad = ~_fine_targets(y, kind, shape, np) & present
        if jnp.issubdtype(y.dtype, jnp.floating):
            digits.require_room(
                "y", given.y, np.isinf(y) & bad.reshape(-1, *[1] * (y.ndim - 1)), y.dtype
            )
        row = int(np.argmax(bad))
        expected = TARGETS[kind][0]
        if kind == "labels" and y.ndim == 1:
            expected = f"integer labels 0 … {shape[0] - 1}"
        raise ValueError(
            f"y[{row}] is {y[row].tolist()}; expected {expected}. Mend it, or give the row "
            "weight 0."
        )
