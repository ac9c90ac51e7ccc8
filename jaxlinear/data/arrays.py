"""Examples in NumPy's files: .npz, or a pair of .npy files; and arrays checked, whatever the file.

Everything is checked here, where the file, the array and the row can still be named. Arrays
stay NumPy arrays: JAX would silently cut 64-bit labels to 32 bits.
"""

import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxlinear.data.single_precision import double, single
from jaxlinear.types import Batch


class Table(NamedTuple):
    """Examples from a file, as NumPy arrays, and what their columns and classes are called.

    ``test`` is None when the file holds no test split. ``names`` are the classes of a text
    target, whose labels are 0, 1, … in that order, and () for a target of numbers. ``features``
    are the columns of ``x`` in a .csv file, () elsewhere.
    """

    batch: Batch
    test: Batch | None
    names: tuple[str, ...]
    features: tuple[str, ...]


def load_npz(path: Path, target: str | None, dtype: np.dtype) -> Table:
    """The arrays x, y and, where they are, weight, x_test and y_test of a .npz file."""
    if target is not None:
        raise ValueError(f"{path}: got target {target!r}; the target of .npz is its array 'y'.")
    arrays = read(path)
    if not isinstance(arrays, dict):
        raise ValueError(f"{path} holds a single array; name it .npy and give a target.")
    unknown = sorted(arrays.keys() - {"x", "y", "weight", "x_test", "y_test"})
    missing = sorted({"x", "y"} - arrays.keys())
    if unknown or missing or ("x_test" in arrays) != ("y_test" in arrays):
        raise ValueError(
            f"{path}: got the arrays {sorted(arrays)}, expected x and y, and if you like weight, "
            "and x_test with y_test."
        )
    y, names = encode(arrays["y"], f"{path}: y")
    examples = batch(arrays["x"], y, arrays.get("weight"), f"{path}: ", "", dtype)
    if "x_test" not in arrays:
        return Table(examples, None, names, ())
    y_test, _ = encode(arrays["y_test"], f"{path}: y_test", names)
    test = batch(arrays["x_test"], y_test, None, f"{path}: ", "_test", dtype)
    for name, got, expected in (("x", test.x, examples.x), ("y", test.y, examples.y)):
        if got.shape[1:] != expected.shape[1:]:
            raise ValueError(
                f"{path}: got {name}_test of shape {got.shape} with {name} of shape "
                f"{expected.shape}; expected the same columns in the same order."
            )
    if (test.x.dtype == np.uint8) != (examples.x.dtype == np.uint8):
        raise ValueError(
            f"{path}: got x of dtype {arrays['x'].dtype} and x_test of {arrays['x_test'].dtype}; "
            "expected bytes in both or in neither, since bytes are scaled to [0, 1]."
        )
    return Table(examples, test, names, ())


def load_npy(path: Path, target: str | None, dtype: np.dtype) -> Table:
    """x from one .npy file, and y from ``target``, another."""
    if target is None:
        raise ValueError(f"{path} holds x alone; give the .npy file of y as target.")
    require_file(Path(target))
    x, y = read(path), read(Path(target))
    for file, array in ((path, x), (target, y)):
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{file} holds several arrays; name it .npz.")
    y, names = encode(y, target)
    return Table(batch(x, y, None, f"{path} and {target}: ", "", dtype), None, names, ())


def batch(
    x: np.ndarray,
    y: np.ndarray,
    weight: np.ndarray | None,
    where: str,
    suffix: str,
    dtype: np.dtype,
) -> Batch:
    """Check that the arrays are numbers, finite, and fit each other; ``where`` begins a message."""
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(
            f"{where}got x{suffix} of shape {x.shape}, expected (examples, features), at least one "
            "of each; x.reshape(len(x), -1) makes rows of images."
        )
    if x.dtype.kind not in "buif":
        raise ValueError(f"{where}got x{suffix} of dtype {x.dtype}, expected numbers; encode text.")
    if x.dtype.kind != "f" and x.dtype != np.uint8:
        # Only training rows decide whether rounding matters: test rows may be too few to tell.
        x = x.astype(dtype) if suffix else _floats(x, f"{where}x", dtype)
    _require_finite(x, f"{where}x{suffix}")
    if len(y) != len(x):
        raise ValueError(
            f"{where}got {len(x)} rows of x{suffix} and {len(y)} of y{suffix}; expected one y for "
            "each row of x."
        )
    if weight is None:
        return Batch(x, y)
    if weight.dtype.kind not in "buif" or weight.shape != y.shape[:1]:
        raise ValueError(
            f"{where}got weight {weight.dtype}{weight.shape}, expected numbers ({len(y)},)."
        )
    weight = weight if weight.dtype.kind == "f" else weight.astype(np.float32)
    _require_finite(weight, f"{where}weight")
    if (weight < 0).any():
        raise ValueError(f"{where}weight[{np.argmax(weight < 0)}] is negative; 0 means absent.")
    return Batch(x, y, weight)


def _floats(x: np.ndarray, where: str, dtype: np.dtype) -> np.ndarray:
    """Whole numbers as ``dtype``, or ValueError where it cannot tell them apart."""
    floats = np.empty(x.shape, dtype)
    for j, column in enumerate(x.T):
        place = f"{where}, column {j},"
        wide = double(column, lambda column=column: len(np.unique(column)), place)
        floats[:, j] = single(wide, place) if dtype == np.float32 else wide
    return floats


def encode(
    y: np.ndarray, where: str, names: tuple[str, ...] | None = None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Turn text and booleans into int32 labels with names, integers into int32; check numbers.

    ``names`` are the classes of the training target, which a test target shares.
    """
    if y.ndim not in (1, 2) or y.size == 0:
        raise ValueError(
            f"{where} has shape {y.shape}, expected (n,) or (n, k), and no empty axis."
        )
    if y.shape[1:] == (1,):
        y = y[:, 0]
    if y.dtype.kind in "bUST" and y.ndim == 1:
        return _labels(y.astype(str), where, names)
    if y.dtype.kind not in "uif":
        raise ValueError(
            f"{where} is {y.dtype}{y.shape}, expected numbers (n,) or (n, k), or text (n,)."
        )
    if names:
        raise ValueError(f"{where} holds numbers, y holds text; expected the same classes in both.")
    if y.dtype.kind == "f":
        _require_finite(y, where)
        return y, ()
    limits = np.iinfo(np.int32)
    if y.min() < limits.min or y.max() > limits.max:
        raise ValueError(
            f"{where} runs from {y.min()} to {y.max()}, expected 32-bit integers; count classes "
            "from 0, or write a regression's target with a decimal point."
        )
    return y.astype(np.int32), ()


def _labels(
    text: np.ndarray, where: str, names: tuple[str, ...] | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    found = np.unique(text)
    classes = found if names is None else np.array(names, dtype=str)
    unknown = sorted(set(found.tolist()) - set(classes.tolist()))
    if unknown:
        raise ValueError(f"{where} holds {unknown[:5]}, expected the classes of y: {names}.")
    return np.searchsorted(classes, text).astype(np.int32), tuple(classes.tolist())


def _require_finite(array: np.ndarray, where: str) -> None:
    if array.dtype.kind == "f" and not (finite := np.isfinite(array)).all():
        place = tuple(int(axis[0]) for axis in np.nonzero(~finite))
        raise ValueError(
            f"{where} is {array[place]} at row {place[0]} (counted from 0)"
            f"{f', column {place[1]}' if len(place) > 1 else ''}, expected finite float "
            "numbers; drop the row or fill the value in."
        )


def require_file(path: Path) -> None:
    """Raise FileNotFoundError unless ``path`` is a file."""
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} {'is a directory' if path.is_dir() else 'does not exist'}, expected a file of "
            "type .npz, .npy, .csv, .tsv, .txt, .parquet, .arrow or .feather."
        )


def read(path: Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a .npy file, or all arrays of a .npz file by name."""
    where = str(path)
    try:
        with open(path, "rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return content
            arrays = {}
            for name in content.files:
                where = f"{path}: {name}"
                arrays[name] = content[name]
            return arrays
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        pickled = "Object arrays" in str(error)
        raise ValueError(
            f"{where} {'holds pickled objects' if pickled else 'is damaged or empty'} ({error}); "
            "expected arrays of numbers or text as numpy.save writes them."
        ) from error


def features(path: Path) -> np.ndarray:
    """x (n, d) alone, of .npy or of .npz, to predict with; what is no float becomes float64."""
    require_file(path)
    x = read(path)
    if isinstance(x, dict):
        if "x" not in x:
            raise ValueError(f"{path}: got the arrays {sorted(x)}, expected x.")
        x = x["x"]
    return batch(x, np.zeros(len(x)), None, f"{path}: ", "", np.dtype(np.float64)).x
