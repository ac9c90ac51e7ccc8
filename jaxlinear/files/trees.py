"""A pytree of arrays in one file: .npz without pickle, with a checksum, and what it was made of."""

import hashlib
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np
from jaxtyping import PyTree

from jaxlinear.files.atomic import replacing

_DIGEST = 32  # bytes of a SHA-256, after the last byte of the .npz


class DamagedError(ValueError):
    """A file that does not hold what was written to it, to the last byte."""


def write(
    path: Path, tree: PyTree, about: Mapping[str, str], *, previous: Path | None = None
) -> None:
    """Write the arrays of ``tree``, keys among them, whole or not at all; see ``atomic.replacing``.

    ``about`` says in words what they were made of: ``read`` refuses a file of anything else.
    """
    leaves = [_on_the_host(leaf) for leaf in jax.tree.leaves(tree)]
    entries = json.dumps({**about, **described(tree)})
    buffer = io.BytesIO()
    np.savez(buffer, *leaves, about=np.array(entries))
    with replacing(path, previous=previous) as file:
        file.write(buffer.getbuffer())
        file.write(hashlib.sha256(buffer.getbuffer()).digest())


def read(path: Path, like: PyTree, about: Mapping[str, str]) -> PyTree:
    """The tree that ``write`` wrote to ``path``: NumPy arrays, and arrays of keys.

    ``like`` has its structure, shapes and dtypes, as from ``jax.eval_shape``.

    Raises ValueError that names the first difference, in the order of ``about``, where the file is
    of another structure, shape, dtype or ``about``, or ``DamagedError`` where a byte has changed.
    """
    got, leaves = _sound(path)
    expected = {**about, **described(like)}
    for name in (*expected, *got):
        if got.get(name) != expected.get(name):
            raise ValueError(
                f"{path} was written for {name} = {got.get(name, 'nothing')}; expected "
                f"{expected.get(name, 'nothing')}. Call as when it was written, or name another "
                "place for what is new."
            )
    return jax.tree.map(_restored, like, jax.tree.unflatten(jax.tree.structure(like), leaves))


def about(path: Path) -> dict[str, str]:
    """What ``write`` was told of the tree, and its description."""
    return _sound(path)[0]


def described(tree: PyTree, name: str = "result") -> dict[str, str]:
    """The structure of a tree, and the dtype and shape of every leaf by its path, in words.

    >>> described({"w": np.ones((2, 3))})
    {'structure of result': "PyTreeDef({'w': *})", "result['w']": 'float64[2,3]'}
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    return {f"structure of {name}": without_addresses(str(structure))} | {
        f"{name}{jax.tree_util.keystr(path)}": f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]"
        for path, leaf in leaves
    }


def contents(tree: PyTree, name: str) -> dict[str, str]:
    """Beside what ``described`` says of it, the number in every leaf of one, or a digest.

    >>> contents({"lr": np.float32(0.1)}, "hypers")["hypers['lr']"]
    'float32[] 0.1'
    """
    structure, *leaves = described(tree, name).items()
    values = [_value(leaf) for leaf in jax.tree.leaves(tree)]
    return dict([structure]) | {
        path: f"{text} {value}" for (path, text), value in zip(leaves, values, strict=True)
    }


def _value(leaf) -> str:
    if leaf.shape or _is_key(leaf):
        return f"of SHA-256 {digest(leaf)}"
    return str(np.asarray(leaf))


def digest(*arrays) -> str:
    """The first digits of the SHA-256 of the bytes of arrays, keys among them."""
    made = hashlib.sha256()
    for array in arrays:
        made.update(np.ascontiguousarray(_on_the_host(array)).reshape(-1).view(np.uint8))
    return made.hexdigest()[:16]


def without_addresses(text: str) -> str:
    """What Python prints of functions and objects, alike in every process."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _on_the_host(leaf) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _restored(like, data: np.ndarray):
    if _is_key(like):
        kind = []  # which JAX tells of arrays, traced ones too, but not of their shape and dtype
        jax.eval_shape(lambda key: kind.append(jax.random.key_impl(key)), like)
        return jax.random.wrap_key_data(data, impl=kind[0])
    return data.view(like.dtype)  # NumPy stores bfloat16 as bytes without a name


def _is_key(leaf) -> bool:
    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _sound(path: Path) -> tuple[dict[str, str], list[np.ndarray]]:
    """What the file is about, and its arrays, if it is what was written to the last byte."""
    content = path.read_bytes()
    whole = memoryview(content)
    if hashlib.sha256(whole[:-_DIGEST]).digest() != whole[-_DIGEST:]:
        raise DamagedError(
            f"{path} is damaged: its {len(content):,} bytes are not those that were written; "
            "expected the SHA-256 at its end. Remove the file, and what it held is made anew."
        )
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        leaves = [arrays[f"arr_{place}"] for place in range(len(arrays.files) - 1)]
        return json.loads(str(arrays["about"])), leaves
