"""Arrays in the format of safetensors, which torch and others read, and no pickle anywhere.

The format itself has no checksum: one over every array and every entry stands among the entries.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

_CHECK = "sha256"


def to_bytes(arrays: Mapping[str, np.ndarray], entries: Mapping[str, Any]) -> bytes:
    """A file of arrays by name, and of entries that JSON can hold in its metadata."""
    arrays = {name: np.require(array, requirements="C") for name, array in arrays.items()}
    texts = {name: json.dumps(entry) for name, entry in entries.items()}
    return required().numpy.save(arrays, {**texts, _CHECK: _digest(arrays, texts)})


def from_bytes(content: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and entries of what ``to_bytes`` made; ValueError for all else."""
    library = required()
    try:
        arrays = library.numpy.load(content)
        length = int.from_bytes(content[:8], "little")
        texts = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (library.SafetensorError, KeyError) as error:
        raise ValueError(str(error)) from error
    if texts.pop(_CHECK, None) != _digest(arrays, texts):
        raise ValueError("its bytes are not those that were written, or not by jaxlinear")
    return arrays, {name: json.loads(text) for name, text in texts.items()}


def are(content: bytes) -> bool:
    """Whether this is the beginning of a file of safetensors: a length, and then JSON."""
    return content[8:9] == b"{"


def _digest(arrays: Mapping[str, np.ndarray], texts: Mapping[str, str]) -> str:
    made = hashlib.sha256(json.dumps(texts, sort_keys=True).encode())
    for name, array in sorted(arrays.items()):
        made.update(f"{name} {array.dtype} {array.shape}".encode())
        made.update(array.reshape(-1).view(np.uint8))
    return made.hexdigest()


def required():
    """The package safetensors; ImportError that says how to get it."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            "safetensors is not installed; install it with pip install 'jaxlinear[safetensors]', "
            "or write the model as .npz."
        ) from error
    return safetensors
