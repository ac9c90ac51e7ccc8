"""A model, or a stack of them, in one file: .npz or .safetensors, without pickle."""

import base64
import io
import json
import math
import os
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

import jaxlinear
from jaxlinear.cli import safe_tensors
from jaxlinear.files.atomic import replacing
from jaxlinear.types import Fit, Linear

__all__ = ["Model", "load", "load_one", "save"]

_EXPECTED = "a model that `jaxlinear train` or jl.model_file.save wrote."


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


def save(path: str | os.PathLike, model: Model | Linear | Fit) -> None:
    """Write a model, parameters, or those of a fit, to ``path``, whole or not at all.

    A name that ends in ``.safetensors`` asks for that format (extra ``safetensors``), any other
    for .npz. Either has w, b, names, features, loss and about. As safetensors they are "weight"
    (k, d) and "bias" (k,), those of ``torch.nn.Linear``, whose ``load_state_dict`` takes them; the
    rest is JSON in the metadata, with the version and a SHA-256. One output without an axis is
    (1, d) there, as ``torch.nn.Linear(d, 1)`` has it, and (d,) again after ``load``. Parameters
    may have leading axes of models. bfloat16 is written as float32.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/model.npz", jl.Linear(np.array([2.0, -3.4]), np.array(4.2)))
    ...     print(load(f"{folder}/model.npz").params.w)
    [ 2.  -3.4]
    """
    params = model if isinstance(model, Linear) else model.params
    model = model if isinstance(model, Model) else Model(params)
    model = model._replace(params=Linear(*(_in_numpy(leaf) for leaf in params)))
    path = Path(path)
    content = _as_safetensors(model) if path.suffix == ".safetensors" else _as_npz(model)
    with replacing(path) as file:
        file.write(content)


def load(path: str | os.PathLike) -> Model:
    """Read what ``save`` wrote, w and b as NumPy arrays in the precision in which they were saved.

    The content says which format it is, not the name. Raises FileNotFoundError, or ValueError for
    any other file and for a damaged one.
    """
    try:
        content = Path(path).read_bytes()
        read = _from_safetensors if safe_tensors.are(content) else _from_npz
        model = read(content)
        if model.params.w.shape[:-1] != model.params.b.shape:
            raise ValueError("its arrays do not belong together")
        return model
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} does not exist; expected {_EXPECTED}") from error
    except (
        ValueError, KeyError, EOFError, AttributeError, TypeError, NotImplementedError,
        zipfile.BadZipFile,
    ) as error:  # fmt: skip
        raise ValueError(f"{path} is not a model ({error}); expected {_EXPECTED}") from error


def load_one(path: str | os.PathLike) -> Model:
    """``load`` for what takes one model: ValueError for a stack of them."""
    model = load(path)
    if model.params.w.ndim > 2:
        raise ValueError(
            f"{path} holds a stack of models, w of shape {model.params.w.shape}; expected one. "
            "Read them by jl.model_file.load, and save one."
        )
    return model


def _as_npz(model: Model) -> bytes:
    arrays = {
        **model.params._asdict(),
        "names": np.array(model.names, dtype=str),
        "features": np.array(model.features, dtype=str),
        "loss": np.array(model.loss),
        "about": np.array(json.dumps(model.about)),
    }
    for name in ("covariance", "noise"):
        if getattr(model, name) is not None:
            arrays[name] = np.asarray(getattr(model, name), np.float64)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def _from_npz(content: bytes) -> Model:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        params = Linear(arrays["w"], arrays["b"])
        names, features = (tuple(arrays[key].tolist()) for key in ("names", "features"))
        about = json.loads(str(arrays["about"])) if "about" in arrays else {}
        covariance = arrays.get("covariance")
        noise = float(arrays["noise"]) if "noise" in arrays else None
        return Model(params, names, features, str(arrays["loss"]), about, covariance, noise)


def _as_safetensors(model: Model) -> bytes:
    w, b = model.params
    arrays = {"weight": np.atleast_2d(w), "bias": np.atleast_1d(b)}
    entries = {name: getattr(model, name) for name in ("names", "features", "loss", "about")}
    noise = None if model.noise is None else float(model.noise)
    one = {"noise": noise, "without an axis": w.ndim == 1, "jaxlinear": jaxlinear.__version__}
    covariance = {"covariance": _as_text(model.covariance)}  # torch refuses a third tensor
    return safe_tensors.to_bytes(arrays, entries | one | covariance)


def _from_safetensors(content: bytes) -> Model:
    arrays, entries = safe_tensors.from_bytes(content)
    w, b = arrays["weight"], arrays["bias"]
    params = Linear(w[0], b[0]) if entries["without an axis"] else Linear(w, b)
    names, features = (tuple(entries[name]) for name in ("names", "features"))
    covariance = _from_text(entries["covariance"])
    return Model(
        params, names, features, entries["loss"], entries["about"], covariance, entries["noise"]
    )


def _as_text(square: np.ndarray | None) -> str | None:
    """A square matrix in base64, of which JSON holds every bit."""
    return square if square is None else base64.b64encode(np.asarray(square, "<f8")).decode()


def _from_text(text: str | None) -> np.ndarray | None:
    if text is None:
        return None
    flat = np.frombuffer(base64.b64decode(text), "<f8").astype(np.float64)
    return flat.reshape(math.isqrt(flat.size), -1)


def _in_numpy(leaf) -> np.ndarray:
    array = np.asarray(leaf)
    return array.astype(np.float32) if array.dtype.kind == "V" else array  # such as bfloat16
