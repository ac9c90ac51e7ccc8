"""A model in one file: .npz arrays, readable with ``numpy.load`` and without pickle."""

import json
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxlinear.files.atomic import replacing
from jaxlinear.types import Linear

__all__ = ["Model", "load", "save"]

_EXPECTED = "a model.npz that `jaxlinear train` wrote."


class Model(NamedTuple):
    """Parameters, the names of the classes and of the features (or ()), and of the loss.

    ``about`` is what was decided when it was trained: plain enough for JSON. ``covariance`` and
    ``noise`` are those of ``errors.Errors``, or None.
    """

    params: Linear
    names: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    loss: str = ""
    about: dict = {}  # noqa: RUF012 - never written to
    covariance: np.ndarray | None = None
    noise: float | None = None


def save(path: str | os.PathLike, model: Model) -> None:
    """Write w, b, names, features, loss and about to ``path``, whole or not at all."""
    arrays = {
        "w": np.asarray(model.params.w),
        "b": np.asarray(model.params.b),
        "names": np.array(model.names, dtype=str),
        "features": np.array(model.features, dtype=str),
        "loss": np.array(model.loss),
        "about": np.array(json.dumps(model.about)),
    }
    for name in ("covariance", "noise"):
        if getattr(model, name) is not None:
            arrays[name] = np.asarray(getattr(model, name), np.float64)
    with replacing(Path(path)) as file:
        np.savez(file, **arrays)


def load(path: str | os.PathLike) -> Model:
    """Read what ``save`` wrote, w and b as NumPy arrays in the precision in which they were saved.

    Raises FileNotFoundError, or ValueError for any other file.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            params = Linear(arrays["w"], arrays["b"])
            names, features = (tuple(arrays[key].tolist()) for key in ("names", "features"))
            about = json.loads(str(arrays["about"])) if "about" in arrays else {}
            covariance = arrays.get("covariance")
            noise = float(arrays["noise"]) if "noise" in arrays else None
            return Model(params, names, features, str(arrays["loss"]), about, covariance, noise)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist; expected {_EXPECTED}") from error
    except (ValueError, KeyError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is not a model; expected {_EXPECTED}") from error
