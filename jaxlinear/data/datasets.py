"""Tables that no memory holds, a block of rows at a time, by ``pyarrow.dataset``.

Importing this module imports pyarrow: do so only when a file must be read.
"""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset

from jaxlinear.data import tables
from jaxlinear.data.delimited import Reading
from jaxlinear.data.files import features_of
from jaxlinear.rows.stream import Stream, rows_of
from jaxlinear.types import Batch

_BINARY = {".parquet": "parquet", ".arrow": "ipc", ".feather": "ipc"}
# Or what is read ahead fills memory while a block is computed with.
_LITTLE_AT_ONCE = {"batch_readahead": 2, "fragment_readahead": 1}
_DAMAGED = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OSError)


def of_table(
    files: Sequence[Path], target: str | None, drop: Sequence[str], separator: str | None
) -> Stream:
    """The rows of tables with the same columns; see ``sources.stream``."""
    path = files[0]
    if not tables.is_table(path):
        expected = [".npy", ".npz", *tables.KINDS]
        raise ValueError(f"{path}: got a file of type {path.suffix!r}, expected {expected}.")
    try:
        table = _opened(files, separator, {})
        names = features_of(Reading(table.schema.empty_table()), (target,), tuple(drop), path)
        kinds = {name: _kind_of(table.schema.field(name), path) for name in names}
        if path.suffix not in _BINARY:
            # Whole numbers at the beginning of a text may be followed by fractions.
            table = _opened(files, separator, kinds)
        classes = _classes(table, target, path)
    except _DAMAGED as error:
        raise ValueError(f"{path} is damaged or no {path.suffix} file ({error}).") from error
    read = functools.partial(_batches, table, target, tuple(names), classes, path)
    return Stream(read, features=tuple(names), names=classes)


def _opened(files: Sequence[Path], separator: str | None, kinds) -> pa.dataset.Dataset:
    form = _BINARY.get(files[0].suffix)
    if form is None:
        tab = ".tsv" in files[0].suffixes
        parse = pyarrow.csv.ParseOptions(delimiter=separator or ("\t" if tab else ","))
        convert = pyarrow.csv.ConvertOptions(column_types=kinds)
        form = pyarrow.dataset.CsvFileFormat(parse_options=parse, convert_options=convert)
    return pyarrow.dataset.dataset([str(file) for file in files], format=form)


def _kind_of(field: pa.Field, path: Path) -> pa.DataType:
    """The type in which a column of features is read: of truth values, or of floating numbers."""
    kind = field.type
    if pa.types.is_boolean(kind) or pa.types.is_floating(kind):
        return kind
    if pa.types.is_integer(kind) or pa.types.is_decimal(kind):
        return pa.float64()
    raise ValueError(
        f"{path}: column {field.name!r} holds {kind}; expected numbers. drop=({field.name!r},) "
        "leaves it out; jl.data.load codes categories and dates, of files that memory holds."
    )


def _classes(table: pa.dataset.Dataset, target: str, path: Path) -> tuple[str, ...]:
    """The words of a target of words, in alphabetical order, by a pass over this column alone."""
    kind = table.schema.field(target).type
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return ()
    found = set()
    for batch in table.to_batches(columns=[target], **_LITTLE_AT_ONCE, **_options(path)):
        found.update(pc.unique(batch.column(0)).to_pylist())
    return tuple(sorted(found - {None}))


def _batches(
    table: pa.dataset.Dataset,
    target: str,
    names: tuple[str, ...],
    classes: tuple[str, ...],
    path: Path,
) -> Iterator[Batch]:
    row, rows = 0, rows_of(len(names))
    scanned = table.to_batches(
        columns=[*names, target], batch_size=rows, **_LITTLE_AT_ONCE, **_options(path)
    )
    try:
        for part in scanned:
            columns = [_numbers(part.column(name), name, row, path) for name in names]
            y = _target(part.column(target), classes, target, row, path)
            if part.num_rows:
                yield Batch(np.column_stack(columns), y)
            row += part.num_rows
    except _DAMAGED as error:
        raise ValueError(f"{path}: after row {row:,} of the table: {error}") from error


def _options(path: Path) -> dict:
    """Of parquet the buffers of all row groups that were read would be kept otherwise."""
    if path.suffix != ".parquet":
        return {}
    options = pa.dataset.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True)
    return {"fragment_scan_options": options}


def _numbers(column: pa.Array, name: str, first: int, path: Path) -> np.ndarray:
    """A column without missing values; whole numbers in float64, which holds more of them."""
    _require_present(column, name, first, path)
    found = column.to_numpy(zero_copy_only=False)
    if found.dtype.kind == "f":
        return found
    return found.astype(np.float32 if found.dtype == bool else np.float64)


def _target(column: pa.Array, classes, name: str, first: int, path: Path) -> np.ndarray:
    _require_present(column, name, first, path)
    if classes:
        words = pc.cast(column, pa.string())
        return pc.index_in(words, pa.array(classes)).to_numpy(zero_copy_only=False)
    found = column.to_numpy(zero_copy_only=False)
    return found.astype(np.float64) if found.dtype.kind == "O" else found


def _require_present(column: pa.Array, name: str, first: int, path: Path) -> None:
    if column.null_count:
        row = first + int(pc.index(column.is_null(), True).as_py())
        raise ValueError(
            f"{path}: column {name!r} is missing in row {row} of the table (counted from 0); "
            "expected a number. Drop such rows, or fill them in."
        )
