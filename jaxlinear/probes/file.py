"""Many probes in one file: .npz arrays, readable with ``numpy.load`` and without pickle."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxlinear.files.atomic import replacing
from jaxlinear.model.scaling import Scaling
from jaxlinear.probes.layers import Probes
from jaxlinear.types import Fit, Linear, Report

_FORMAT = "jaxlinear probes 1"
_EXPECTED = "a file that jl.probes.save wrote"


class Saved(NamedTuple):
    """What a file holds: probes, or a dict of them by layer, and the names of layers and concepts.

    ``layers`` names those of a stack; a dict has its own. ``loss`` is the name of the loss.
    """

    probes: Probes | dict[str, Probes]
    concepts: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    loss: str = ""


def save(path: str | os.PathLike, saved: Saved, *, outputs: bool = False) -> None:
    """Write probes with their scalings, l2, scores and names to ``path``, whole or not at all.

    ``outputs`` keeps those of all rows too, which are most of the size. Half precision is written
    as float32. Raises ValueError for names that are not as many as layers or concepts.

    >>> import tempfile
    >>> x = jax.random.normal(jax.random.key(0), (2, 100, 5))
    >>> held_out = jnp.arange(100) >= 80
    >>> probes = jl.probes.of_layers(x, 1.0 * (x[0, :, :2] > 0), held_out, [1.0, 0.1, 0.01])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/probes.npz", Saved(probes, layers=("first", "second")))
    ...     print(load(f"{folder}/probes.npz").layers)
    ('first', 'second')
    """
    by_name = isinstance(saved.probes, Mapping)
    parts = dict(saved.probes) if by_name else {"": saved.probes}
    arrays = {
        "format": np.array(_FORMAT),
        "names": np.array([*parts] if by_name else [], dtype=str),
        "loss": np.array(saved.loss),
    }
    for name in ("concepts", "layers"):
        arrays[name] = np.array(getattr(saved, name), dtype=str)
    for place, probes in enumerate(parts.values()):
        _require_names(saved, probes, by_name)
        arrays |= {f"{place}/{name}": leaf for name, leaf in _arrays(probes, outputs).items()}
    with replacing(Path(path)) as file:
        np.savez(file, **arrays)


def load(path: str | os.PathLike) -> Saved:
    """Read what ``save`` wrote, as NumPy arrays of the precision in which they were.

    Outputs that were not saved are of no rows, (layers, 0, *k). Raises FileNotFoundError, or
    ValueError for any other file and for a damaged one.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            if "format" not in arrays or str(arrays["format"]) != _FORMAT:
                raise ValueError("it has another format")
            names = arrays["names"].tolist()
            parts = [_probes(arrays, place) for place in range(max(len(names), 1))]
            concepts, layers = (tuple(arrays[key].tolist()) for key in ("concepts", "layers"))
            probes = dict(zip(names, parts, strict=True)) if names else parts[0]
            return Saved(probes, concepts, layers, str(arrays["loss"]))
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist; expected {_EXPECTED}.") from error
    except (
        ValueError, KeyError, EOFError, AttributeError, TypeError, OSError, zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise ValueError(f"{path} does not hold probes ({error}); expected {_EXPECTED}.") from error


def _arrays(probes: Probes, outputs: bool) -> dict[str, np.ndarray]:
    fit, report = probes.fit, probes.fit.report._asdict()
    kept = probes.outputs if outputs else probes.outputs[..., :0, *_all(probes)]
    leaves = {
        "w": fit.params.w,
        "b": fit.params.b,
        "shift": probes.scaling.shift,
        "scale": probes.scaling.scale,
        "l2": probes.l2,
        "scores": probes.scores,
        "outputs": kept,
        **{f"report_{name}": leaf for name, leaf in report.items() if leaf is not None},
    }
    return {name: _wide(np.asarray(leaf)) for name, leaf in leaves.items()}


def _all(probes: Probes) -> tuple:
    """Whole axes, of those that follow the rows in outputs: concepts, and classes."""
    return (slice(None),) * (probes.fit.params.b.ndim - _stacked(probes))


def _stacked(probes: Probes) -> int:
    return probes.scaling.shift.ndim - 1  # 1 for a stack of layers, 0 for one alone


def _wide(leaf: np.ndarray) -> np.ndarray:
    """Types that NumPy has not, such as bfloat16, would need pickle."""
    return leaf.astype(np.float32) if leaf.dtype.kind == "V" or leaf.dtype.itemsize == 2 else leaf


def _probes(arrays, place: int) -> Probes:
    part = {
        name: arrays[f"{place}/{name}"]
        for name in ("w", "b", "shift", "scale", "l2", "scores", "outputs")
    }
    if part["w"].shape[:-1] != part["b"].shape or part["shift"].shape != part["scale"].shape:
        raise ValueError("its arrays do not belong together")
    report = {
        name: arrays[f"{place}/report_{name}"]
        for name in Report._fields
        if f"{place}/report_{name}" in arrays
    }
    fit = Fit(Linear(part["w"], part["b"]), Report(**report))
    scaling = Scaling(part["shift"], part["scale"])
    return Probes(fit, scaling, part["l2"], part["scores"], part["outputs"])


def _require_names(saved: Saved, probes: Probes, by_name: bool) -> None:
    stacked = _stacked(probes)
    concepts = probes.l2.shape[stacked:]
    if saved.concepts and len(saved.concepts) != int(np.prod(concepts)):
        raise ValueError(
            f"concepts has {len(saved.concepts)} names; expected {int(np.prod(concepts))}, one for "
            "each concept."
        )
    layers = probes.l2.shape[0] if stacked and not by_name else 0
    if saved.layers and len(saved.layers) != layers:
        raise ValueError(
            f"layers has {len(saved.layers)} names; expected {layers or 'none'}"
            f"{', one for each layer of the stack' if layers else ': x was no stack of them'}."
        )
