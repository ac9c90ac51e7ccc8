"""Streams from files against the arrays that were written."""

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

import jaxlinear as jl

RNG = np.random.default_rng(0)
N, D = 50, 3
X = RNG.normal(size=(N, D)).astype(np.float32)
Y = RNG.integers(0, 3, size=N)
WORDS = np.array(["no", "perhaps", "yes"])[Y]
NAMES = ("a", "b", "c")
HALVES = (slice(0, 30), slice(30, N))


def read(stream):
    """All rows, in the order in which they come."""
    batches = list(stream)
    parts = [part for part in zip(*batches, strict=True) if part[0] is not None]
    return [np.concatenate(part) for part in parts]


def table(target):
    return pa.table({**{name: X[:, j] for j, name in enumerate(NAMES)}, "y": target})


def npy(folder):
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    return folder / "x.npy", folder / "y.npy"


def npy_folders(folder):
    for name, rows in (("x", X), ("y", Y)):
        (folder / name).mkdir()
        for i, half in enumerate(HALVES):
            np.save(folder / name / f"{i}.npy", rows[half])
    return folder / "x", folder / "y"


def npz_folder(folder):
    for i, half in enumerate(HALVES):
        np.savez(folder / f"{i}.npz", x=X[half], y=Y[half])
    return folder, None


def parquet(folder):
    pyarrow.parquet.write_table(table(Y), folder / "t.parquet")
    return folder / "t.parquet", "y"


def parquet_folder(folder):
    for i, half in enumerate(HALVES):
        part = table(Y).slice(half.start, half.stop - half.start)
        pyarrow.parquet.write_table(part, folder / f"{i}.parquet")
    return folder, "y"


def feather(folder):
    pyarrow.feather.write_feather(table(Y), folder / "t.feather", compression="uncompressed")
    return folder / "t.feather", "y"


def csv(folder):
    pyarrow.csv.write_csv(table(Y), folder / "t.csv")
    return folder / "t.csv", "y"


@pytest.mark.parametrize(
    "write", [npy, npy_folders, npz_folder, parquet, parquet_folder, feather, csv]
)
def test_files_hold_what_was_written(write, tmp_path):
    path, target = write(tmp_path)
    stream = jl.data.stream(path, target)
    for _ in range(2):  # again and again
        x, y = read(stream)
        np.testing.assert_array_equal(x.astype(np.float32), X)
        np.testing.assert_array_equal(y, Y)
    assert stream.features == (NAMES if target == "y" else ())


def test_words_become_labels_whose_names_all_blocks_tell(tmp_path):
    pyarrow.parquet.write_table(table(WORDS), tmp_path / "t.parquet")
    stream = jl.data.stream(tmp_path / "t.parquet", "y", drop=("b",))
    assert stream.names == ("no", "perhaps", "yes") and stream.features == ("a", "c")
    x, y = read(stream)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(x, X[:, [0, 2]])


def test_whole_numbers_in_a_text_may_be_followed_by_fractions(tmp_path):
    rows = ["a;y", *["1;0"] * 300_000, "1.5;1"]
    (tmp_path / "t.csv").write_text("\n".join(rows))
    x, y = read(jl.data.stream(tmp_path / "t.csv", "y", separator=";"))
    assert x[-1] == 1.5 and len(x) == 300_001 and y.sum() == 1


def test_arrays_and_memory_maps_are_read_in_blocks(tmp_path):
    x, y = npy(tmp_path)
    maps = [np.load(path, mmap_mode="r") for path in (x, y)]
    for source in (
        maps,
        (X, Y),
        (X, Y, Y.astype(float)),
    ):
        found = read(jl.data.stream(tuple(source)))
        for got, expected in zip(found, source, strict=True):
            np.testing.assert_array_equal(got, expected)
    rng = np.random.default_rng(0)
    wide = np.zeros((8, 2**20), np.float32)  # a row of it is a block
    stream = jl.data.stream((wide, np.arange(8)))
    orders = [np.concatenate([batch.y for batch in stream.shuffled(rng)]) for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(8)) for order in orders)


def missing(folder):
    column = pa.array([None if i == 7 else 1.0 for i in range(N)])
    pyarrow.parquet.write_table(table(Y).append_column("d", column), folder / "t.parquet")
    return folder / "t.parquet", "y"


def text(folder):
    pyarrow.parquet.write_table(table(Y).append_column("d", pa.array(WORDS)), folder / "t.parquet")
    return folder / "t.parquet", "y"


def mixed(folder):
    npy(folder)
    parquet(folder)
    return folder, "y"


def damaged(folder):
    (folder / "x.npy").write_bytes(b"no")
    np.save(folder / "y.npy", Y)
    return folder / "x.npy", folder / "y.npy"


def damaged_parquet(folder):
    (folder / "t.parquet").write_bytes(b"no")
    return folder / "t.parquet", "y"


def other_type(folder):
    rows = ["a,y", *["1,0"] * 300_000, "word,1"]
    (folder / "t.csv").write_text("\n".join(rows))
    return folder / "t.csv", "y"


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (missing, r"column 'd' is missing in row 7 of the table"),
        (text, r"column 'd' holds string; expected numbers"),
        (mixed, r"holds files of the types \['.npy', '.parquet'\]"),
        (damaged, r"x.npy is damaged or empty"),
        (damaged_parquet, r"t.parquet is damaged or no .parquet file"),
        (other_type, r"t.csv: after row .* of the table: .*word"),
        (lambda folder: (npy(folder)[0], None), "give the .npy file, or folder, of y as target"),
        (lambda folder: (parquet(folder)[0], "z"), "got target 'z' and the columns"),
        (lambda folder: (folder, None), "holds no files"),
        (lambda folder: (folder / "x.csv", "y"), "does not exist"),
    ],
)
def test_files_are_refused_by_name(write, message, tmp_path):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        read(jl.data.stream(*write(tmp_path)))


def test_a_bar_counts_the_rows(tmp_path, capsys):
    jl.gram.of_stream(jl.data.stream(*npy(tmp_path), progress=True))
    assert f"{N}row" in capsys.readouterr().err
