"""Tables as people have them: each kind of mess is read right, or refused in a line that mends it.

What is expected is written out by hand for a few rows; nothing is fitted here.
"""

import csv
import gzip

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from jaxlinear.__main__ import main, parser
from jaxlinear.cli import model_file
from jaxlinear.cli.gather import gather

nan = np.nan


def rows(header, *lines, times=1):
    """The text of a file; ``times`` repeats its rows."""
    return "\n".join([header, *lines * times]) + "\n"


def task_of(folder, content, *options, name="data.csv"):
    path = folder / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    arguments = ["train", "--dataset", str(path), "--test-fraction", "0", *options]
    return gather(parser().parse_args(arguments))


Y = ("--target", "y")
# content, options, features, the first rows of x, y of these rows, what is told
READ = {
    "plain": (rows("a,y", "1,0.5", "2,1.5"), Y, "a", [[1], [2]], [0.5, 1.5], "fractions"),
    "spaces": (rows(" a , y ", " 1 , .5", "\t2\t, 1.5"), Y, "a", [[1], [2]], [0.5, 1.5], ""),
    "semicolons": (rows("a;y", "1;0.5", "2;1.5"), Y, "a", [[1], [2]], [0.5, 1.5], ""),
    "decimal commas": (
        rows("a;b;y", "1,5;1.234;0,5", "2,5;2.000;1,5"),
        Y, "a b", [[1.5, 1234], [2.5, 2000]], [0.5, 1.5], "decimal commas",
    ),
    "points beside commas": (
        rows("a;b;y", "1,5;1.5;0,5", "2,5;2.5;1,5"),
        Y, "a b", [[1.5, 1.5], [2.5, 2.5]], [0.5, 1.5], "",
    ),
    "decimal commas in quotes": (
        rows("a,y", '"1,5",0.5', '"2,25",1.5'), Y, "a", [[1.5], [2.25]], [0.5, 1.5], "decimal",
    ),
    "thousands": (
        rows("a,y", '"1,234",0.5', '"12,345,678.5",1.5', "5,1.5"),
        Y, "a", [[1234], [12345678.5], [5]], [0.5, 1.5, 1.5], "commas between thousands",
    ),
    "spaces between thousands": (
        rows("a,y", "1 234,0.5", "12 345 678,1.5"), Y, "a", [[1234], [12345678]], [0.5, 1.5], "",
    ),
    "Swiss thousands": (rows("a,y", "1'234,.5", "5,1.5"), Y, "a", [[1234], [5]], [0.5, 1.5], ""),
    "money": (
        rows("a,b,y", '"$1,234.50",3 €,0.5', "-$2,4 €,1.5"),
        Y, "a b", [[1234.5, 3], [-2, 4]], [0.5, 1.5], "",
    ),
    "percent": (rows("a,y", "12%,.5", "3.5 %,1.5"), Y, "a", [[0.12], [0.035]], [0.5], "as 0.12"),
    "a target in percent": (rows("a,y", "1,12.5%", "2,3.5%"), Y, "a", [[1]], [0.125], ""),
    "quoted numbers": (rows('a,"y"', '"1","0.5"', '"2","1.5"'), Y, "a", [[1]], [0.5], ""),
    "scientific": (rows("a,y", "1e3,0.5", "-2E-1,1.5"), Y, "a", [[1000], [-0.2]], [0.5], ""),
    "booleans": (rows("a,y", "true,0.5", "FALSE,1.5"), Y, "a", [[1], [0]], [0.5], ""),
    "empty lines": ("\n\na,y\n1,0.5\n\n2,1.5\n\n", Y, "a", [[1], [2]], [0.5, 1.5], ""),
    "windows": ("\ufeffa,y\r\n1,0.5\r\n2,1.5\r\n", Y, "a", [[1], [2]], [0.5, 1.5], ""),
    "UTF-16": (rows("ä,y", "1,0.5", "2,1.5").encode("utf-16"), Y, "ä", [[1], [2]], [0.5], ""),
    "Latin-1": (
        rows("ä,y", "1,0.5", "2,1.5").encode("latin-1"),
        (*Y, "--encoding", "latin-1"), "ä", [[1], [2]], [0.5], "",
    ),
    "other separators": (
        rows("a~y", "1~0.5", "2~1.5"), (*Y, "--sep", "~"), "a", [[1], [2]], [0.5], "",
    ),
    "no header": (
        "1,2,0.5\n3,4,1.5\n", ("--target", "3", "--no-header"), "1 2", [[1, 2], [3, 4]], [0.5], "",
    ),
    "pixels by number": (rows("y,0,1", "0.5,1,2", "1.5,3,4"), Y, "0 1", [[1, 2]], [0.5], ""),
    "an index without a name": (
        rows(",a,y", "0,1,0.5", "1,3,1.5"), Y, "a", [[1], [3]], [0.5], "column '' is left out",
    ),
    "an index of pandas": (
        rows("Unnamed: 0,a,y", "0,1,0.5", "1,3,1.5"), Y, "a", [[1], [3]], [0.5], "'Unnamed: 0' is",
    ),
    "a key": (
        rows("user_id,a,y", "71,1,0.5", "12,3,1.5"), Y, "a", [[1], [3]], [0.5], "name is that of a",
    ),
    "a key in camels": (
        rows("PassengerId,a,y", "71,1,.5", "12,3,1.5"), Y, "a", [[1]], [0.5], "'PassengerId' is",
    ),
    "a key that is kept": (
        rows("user_id,a,y", "71,1,0.5", "12,3,1.5"),
        (*Y, "--keep", "user_id"), "user_id a", [[71, 1], [12, 3]], [0.5], "",
    ),
    "a key that repeats": (
        rows("user_id,y", "71,0.5", "71,1.5", "3,2.5"), Y, "user_id", [[71]], [0.5], "",
    ),
    "a trend": (rows("t,y", "0,0.5", "1,1.5"), Y, "t", [[0], [1]], [0.5], ""),
    "a constant": (
        rows("a,b,y", "1,7,0.5", "3,7,1.5"), Y, "a", [[1], [3]], [0.5], "it is always 7",
    ),
    "an empty column": (
        rows("a,b,y", "1,,0.5", "3,,1.5"), Y, "a", [[1], [3]], [0.5], "'b' is left out: it is em",
    ),
    "names": (
        rows("a,b,y", "1,Ada,0.5", "3,Bob,1.5"), Y, "a", [[1], [3]], [0.5], "2 words in 2 rows",
    ),
    "categories": (
        rows("a,y", "red,0.5", "blue,1.5", "green,2.5", times=3),
        Y, "a = blue|a = green|a = red", [[0, 0, 1], [1, 0, 0], [0, 1, 0]], [0.5], "3 categories",
    ),
    "two categories": (
        rows("a,y", "yes,0.5", "no,1.5", times=3), Y, "a = yes", [[1], [0]], [0.5], "2 categories",
    ),
    "categories without a penalty": (
        rows("a,y", "red,0.5", "blue,1.5", "green,2.5", "red,3.5", times=3),
        (*Y, "--l2", "0"), "a = blue|a = green", [[0, 0], [1, 0], [0, 1]], [0.5], "3 categories",
    ),
    "rare categories": (
        rows("a,y", *["red,0.5", "blue,1.5"] * 5, "teal,2.5", "lime,3.5"),
        Y, "a = blue|a = red|a = (other)", [[0, 1, 0], [1, 0, 0]], [0.5], "rare ones together",
    ),
    "numbers as categories": (
        rows("zip,y", "01,0.5", "1,1.5", "02,2.5", times=3),
        (*Y, "--categorical", "zip"), "zip = 01|zip = 02|zip = 1",
        [[1, 0, 0], [0, 0, 1], [0, 1, 0]], [0.5], "3 categories",
    ),
    "NA among words is a word": (
        rows("a,y", "NA,0.5", "EU,1.5", times=3), Y, "a = NA", [[1], [0]], [0.5], "",
    ),
    "a category that is missing": (
        rows("a,y", ",0.5", "EU,1.5", "US,2.5", times=3),
        (*Y, "--missing", "mean"), "a is missing|a = EU|a = US", [[1, 0, 0], [0, 1, 0]], [0.5], "",
    ),
    "missing, by the mean": (
        rows("a,y", "1,0.5", "NA,1.5", "4,2.5"),
        (*Y, "--missing", "mean"), "a", [[1], [2.5], [4]], [0.5], "mean of training rows in 'a'",
    ),
    "missing, by the median": (
        rows("a,y", "1,0.5", "?,1.5", "4,2.5", "10,3.5"),
        (*Y, "--missing", "median"), "a", [[1], [4], [4], [10]], [0.5], "median of",
    ),
    "missing, by an indicator": (
        rows("a,y", "1,0.5", "null,1.5", "4,2.5"),
        (*Y, "--missing", "indicator"), "a|a is missing", [[1, 0], [2.5, 1], [4, 0]], [0.5], "",
    ),
    "missing, without the row": (
        rows("a,y", "1,0.5", ",1.5", "4,2.5"),
        (*Y, "--missing", "drop"), "a", [[1], [4]], [0.5, 2.5], "1 of 3 rows miss a value",
    ),
    "missing in a column that is left out": (
        rows("a,cabin,y", "1,,0.5", "2,C1,1.5", "3,C2,2.5"),
        (*Y, "--missing", "drop"), "a", [[1], [2], [3]], [0.5], "3 words in 3 rows",
    ),
    "a target that is missing": (
        rows("a,y", "1,0.5", "2,", "4,2.5"),
        (*Y, "--missing", "drop"), "a", [[1], [4]], [0.5, 2.5], "1 of 3 rows",
    ),
    "a word that means missing": (
        rows("a,y", "1,0.5", "unknown,1.5", "4,2.5"),
        (*Y, "--na", "unknown", "--missing", "mean"), "a", [[1], [2.5], [4]], [0.5], "",
    ),
    "dates": (
        rows("a,y", "2020-01-01,0.5", "2020-02-01,1.5"),
        Y, "a (days since 2020-01-01)", [[0], [31]], [0.5], "days since 2020-01-01",
    ),
    "German dates": (
        rows("a,y", "1.2.2020,0.5", "31.1.2020,1.5"),
        Y, "a (days since 2020-01-31)", [[1], [0]], [0.5], "%d.%m.%Y",
    ),
    "British dates": (
        rows("a,y", "01/02/2020,0.5", "31/01/2020,1.5"),
        Y, "a (days since 2020-01-31)", [[1], [0]], [0.5], "%d/%m/%Y",
    ),
    "American dates": (
        rows("a,y", "02/01/2020,0.5", "01/31/2020,1.5"),
        Y, "a (days since 2020-01-31)", [[1], [0]], [0.5], "%m/%d/%Y",
    ),
    "moments": (
        rows("a,y", "2020-01-01 12:00:00,0.5", "2020-01-02 00:00:00,1.5"),
        Y, "a (days since 2020-01-01)", [[0.5], [1]], [0.5], "",
    ),
    "a date that is missing": (
        rows("a,y", "2020-01-01,0.5", ",1.5", "2020-01-03,2.5"),
        (*Y, "--missing", "mean"), "a (days since 2020-01-01)", [[0], [1], [2]], [0.5], "",
    ),
    "times of day": (rows("a,y", "00:01:00,.5", "01:00:00,1"), Y, "a", [[60], [3600]], [0.5], ""),
    "columns to drop": (
        rows("a,b,y", "1,2,0.5", "3,4,1.5"), (*Y, "--drop", "b"), "a", [[1], [3]], [0.5], "",
    ),
    "several targets": (
        rows("a,y,z", "1,2.5,0.5", "3,4.5,1.5"),
        ("--target", "y", "z"), "a", [[1], [3]], [[2.5, 0.5], [4.5, 1.5]], "",
    ),
    "options that are repeated": (
        rows("a,b,c,y,z", "1,0,5,2.5,0.5", "3,9,7,4.5,1.5"),
        ("--target", "y", "--target", "z", "--drop", "b", "--drop", "c"),
        "a", [[1], [3]], [[2.5, 0.5], [4.5, 1.5]], "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_read_right(tmp_path, case):
    content, options, features, x, y, told = READ[case]
    task = task_of(tmp_path, content, *options)
    separator = "|" if "|" in features or "(" in features or " = " in features else " "
    assert task.features == tuple(features.split(separator))
    np.testing.assert_allclose(task.train.x[: len(x)], x, rtol=1e-6)
    np.testing.assert_allclose(task.train.y[: len(y)], y, rtol=1e-6)
    assert any(told in note for note in task.told)


def test_parts_of_dates(tmp_path):
    text = rows("a,y", "2020-02-03,0.5", "2021-12-31,1.5")  # a Monday, and a Friday
    task = task_of(tmp_path, text, *Y, "--dates", "parts")
    first, second = (dict(zip(task.features, row, strict=True)) for row in task.train.x)
    assert first["a year"] == 2020 and second["a year"] == 2021
    ones = [{name for name, value in row.items() if value == 1} for row in (first, second)]
    assert ones == [{"a month 2", "a Monday"}, {"a month 12", "a Friday"}]
    assert len(task.features) == 1 + 12 + 7


BINARY = {
    "data.parquet": parquet.write_table,
    "data.arrow": feather.write_feather,
    "data.feather": feather.write_feather,
}


@pytest.mark.parametrize("name", BINARY)
def test_tables_of_other_programs(tmp_path, name):
    table = pa.table(
        {
            "a": pa.array([1.5, None, 3.5] * 3, pa.float32()),
            "n": pa.array([1, 2, 4] * 3, pa.int8()),
            "word": pa.array(["x", "y", "x"] * 3).dictionary_encode(),
            "when": pa.array([0, 86400, 172800] * 3, pa.timestamp("s", "UTC")),
            "price": pa.array(["1.50", "2.50", "3.50"] * 3).cast(pa.decimal128(6, 2)),
            "y": pa.array(["no", "yes", "no"] * 3),
        }
    )
    task = task_of(
        tmp_path, lambda path: BINARY[name](table, path), *Y, "--missing", "mean", name=name,
    )  # fmt: skip
    assert task.features == ("a", "n", "word = y", "when (days since 1970-01-01)", "price")
    expected = [[1.5, 1, 0, 0, 1.5], [2.5, 2, 1, 1, 2.5], [3.5, 4, 0, 2, 3.5]]
    np.testing.assert_allclose(task.train.x, expected * 3)
    assert task.names == ("no", "yes") and task.train.y.tolist() == [0, 1, 0] * 3


def test_compressed(tmp_path):
    content = gzip.compress(rows("a\ty", "1\t0.5", "2\t1.5").encode(), mtime=0)
    assert task_of(tmp_path, content, *Y, name="data.tsv.gz").train.x.tolist() == [[1], [2]]


# What stands in a target, its --task, if any, and the loss, the classes and y that follow
TARGETS = {
    "words": ("no yes no no", None, "softmax_cross_entropy", "no yes", [0, 1, 0, 0]),
    "codes": ("01 1 01 1", None, "softmax_cross_entropy", "01 1", [0, 1, 0, 1]),
    "NA is a class": ("NA EU NA EU", None, "softmax_cross_entropy", "EU NA", [1, 0, 1, 0]),
    "true and false": ("true false true true", None, "softmax_cross_entropy", "False True", None),
    "two numbers": ("3 7 3 7", None, "softmax_cross_entropy", "3 7", [0, 1, 0, 1]),
    "whole prices": (
        " ".join(map(str, range(100, 125))), None, "squared_error", "", range(100, 125),
    ),
    "whole numbers as classes": ("3 4 5 3", "classes", "softmax_cross_entropy", "3 4 5", None),
    "classes as numbers": ("0 1 0 1", "numbers", "squared_error", "", [0, 1, 0, 1]),
    "counts": ("0 1 5 1", "counts", "poisson", "", [0, 1, 5, 1]),
    "labels": ("0 1 0 1", "labels", "logistic", "0 1", [0, 1, 0, 1]),
}  # fmt: skip


@pytest.mark.parametrize("case", TARGETS)
def test_targets(tmp_path, case):
    values, kind, loss, names, y = TARGETS[case]
    values = values.split()
    lines = [f"{place * 1.5},{value}" for place, value in enumerate(values)]
    options = [] if kind is None else ["--task", kind]
    task = task_of(tmp_path, rows("a,y", *lines), *Y, *options)
    assert (task.loss, task.names) == (loss, tuple(names.split()))
    if y is not None:
        assert task.train.y.tolist() == list(y)
    assert task.told[0].startswith("the target 'y' holds")


# What is wrong, and what the message says: the place, and the option that mends it
REFUSED = {
    "no target": (rows("a,y", "1,2"), (), "got no --target"),
    "another target": (rows("a,y", "1,2"), ("--target", "z"), "got target 'z' and the columns"),
    "another column to drop": (rows("a,y", "1,2"), (*Y, "--drop", "z"), "got --drop z"),
    "missing": (
        rows("a,y", "1,0.5", "2,1.5", "NA,2.5"), Y,
        r"column 'a' is missing in row 4 .* 1 of 3 rows; --missing median",
    ),
    "a target is missing": (rows("a,y", "1,0.5", "2,"), Y, "column 'y' is missing in row 3 .*drop"),
    "a stray word": (
        rows("a,y", "1,0.5", "red,1.5", "2,2.5"), Y, "column 'a' is 'red' in row 3 .*--na red",
    ),
    "percent and not": (rows("a,y", "1%,0.5", "2,1.5"), Y, "expected numbers: write them as 1234"),
    "nobody can tell the month": (
        rows("a,y", "01/02/2020,0.5", "03/04/2020,1.5"), Y, "'01/02/2020' in row 2 .*2020-01-31",
    ),
    "infinite": (rows("a,y", "1,0.5", "inf,1.5"), Y, "column 'a' is inf in row 3"),
    "dates unasked": (rows("a,y", "2020-01-01,1"), (*Y, "--dates", "error"), "holds dates.*--da"),
    "parts of a missing date": (
        rows("a,y", "2020-01-01,0.5", "2021-01-01,1.5", ",2.5"),
        (*Y, "--dates", "parts", "--missing", "mean"), "'a' is missing in row 4 .*--missing drop",
    ),
    "names twice": (rows("a,a,y", "1,2,3"), Y, "more than once"),
    "a header that is an example": (rows("1,2", "3,4"), ("--target", "2"), "--no-header"),
    "ragged": (rows("a,y", "1,2", "3"), Y, "Row #3: Expected 2 columns, got 1"),
    "other encodings": (rows("ä,y", "1,2").encode("latin-1"), Y, "encoded as UTF-8.*--encoding"),
    "empty": ("", Y, "not a table"),
    "no rows": ("a,y\n", Y, "has a header but no rows"),
    "nothing to learn from": (rows("id,y", "1,0.5", "2,1.5"), Y, "no column to learn.*'id' is"),
    "words for numbers": (rows("a,y", "1,b", "2,c", times=3), (*Y, "--loss", "huber"), "needs num"),
    "dates to predict": (rows("a,y", "1,2020-01-01", "2,2020-01-02"), Y, "column 'y' holds dates"),
    "classes or numbers": (rows("a,y", "1,5", "2,5"), Y, "--task classes, --task numbers"),
    "task and loss": (
        rows("a,y", "1,5"), (*Y, "--task", "counts", "--loss", "huber"), "expected one of them",
    ),
    "weights of words": (
        rows("a,w,y", "1,b,0.5", "2,c,1.5"), (*Y, "--weight", "w"), "holds words; --weight needs",
    ),
    "negative weights": (
        rows("a,w,y", "1,1,0.5", "2,-1,1.5"), (*Y, "--weight", "w"), "'w' is -1 in row 3",
    ),
    "no row left": (
        rows("a,b,y", "1,,0.5", ",2,1.5", "3,,2.5", ",4,3.5"),
        (*Y, "--missing", "drop"), "no row left",
    ),
    "an offset of least squares": (
        rows("a,o,y", "1,1,0.5", "2,1,1.5"), (*Y, "--offset", "o"), "got --offset with --loss squ",
    ),
    "an offset of a loss with kinks": (
        rows("a,o,y", "1,1,0.5", "2,1,1.5"),
        (*Y, "--offset", "o", "--loss", "absolute"), "got --offset with --loss absolute",
    ),
    "two ways to split": (
        rows("a,g,y", "1,1,.5", "2,1,1.5"), (*Y, "--group", "g", "--time", "a"), "one of them to",
    ),
    "several targets of words": (
        rows("a,y,z", "1,b,0.5", "2,c,1.5"), ("--target", "y", "z"), "several targets must be",
    ),
    "identifiers beyond float64": (
        rows("a,y", "1234567890123456789,0.5", "1234567890123456788,1.5"), Y, "'a' runs from",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_a_line(tmp_path, case, capsys):
    content, options, message = REFUSED[case]
    with pytest.raises(ValueError, match=f"(?s){message}"):
        task_of(tmp_path, content, *options)
    out = str(tmp_path / "out")
    assert main(["train", "--dataset", str(tmp_path / "data.csv"), *options, "--out", out]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("jaxlinear: error: ")


def test_all_problems_at_once(tmp_path, capsys):
    text = rows(
        "a,b,c,d,w,y", "1,,2020-01-01,01/02/2020,0,0.5", "red,2,inf,01/03/2020,-1,1.5",
        "3,3,2,01/03/2020,1,", "4,4,3,01/03/2020,1,3.5",
    )  # fmt: skip
    path = tmp_path / "data.csv"
    path.write_text(text)
    options = ["--target", "y", "--weight", "w", "--out", str(tmp_path)]
    assert main(["train", "--dataset", str(path), *options]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[0] == f"jaxlinear: error: {path} has 6 problems:"
    for line, start in zip(
        lines[1:],
        ("column 'y' is missing in row 4", "column 'w' is -1 in row 3",
         "column 'a' is 'red' in row 3", "column 'b' is missing in row 2",
         "column 'c' is '2020-01-01' in row 2", "column 'd' is '01/02/2020' in row 2"),
        strict=True,
    ):  # fmt: skip
        assert line.startswith(f"- {start}") and ("--" in line)


def test_what_is_learned_of_columns_is_learned_from_training_rows(tmp_path):
    """The mean, the categories and the first date are those of the rows that are fitted."""
    n = 50
    lines = [f"{i},{'' if i % 5 == 2 else i},{'bc'[i % 2]},{i + 0.5}" for i in range(n)]
    (tmp_path / "data.csv").write_text(rows("t,a,word,y", *lines))
    arguments = ["train", "--dataset", str(tmp_path / "data.csv"), *Y, "--missing", "mean"]
    task = gather(parser().parse_args([*arguments, "--time", "t"]))
    assert task.features == ("a", "word = c") and len(task.test.x) == 10
    known = [i for i in range(40) if i % 5 != 2]
    assert task.train.x[2, 0] == pytest.approx(np.mean(known))
    assert task.test.x[2, 0] == pytest.approx(np.mean(known))
    assert task.test.y.tolist() == [i + 0.5 for i in range(40, 50)]


def test_rows_of_a_group_are_in_one_set(tmp_path):
    lines = [f"{i},person {i % 7},{i + 0.5}" for i in range(100)]
    (tmp_path / "data.csv").write_text(rows("a,who,y", *lines))
    arguments = ["train", "--dataset", str(tmp_path / "data.csv"), *Y, "--group", "who"]
    for seed in range(3):
        task = gather(parser().parse_args([*arguments, "--seed", str(seed)]))
        assert task.features == ("a",)
        assert not set(task.train.group) & set(task.test.group)
        assert 10 <= len(task.test.x) <= 30


FORMULA = [
    f"{1 + i % 7},{'Rome' if i % 3 else 'Oslo'},{2.0 ** (i % 5)},{i % 2},{i + 0.5}"
    for i in range(60)
]


def test_a_formula(tmp_path):
    """As its terms read, and learned from the training rows alone."""
    pytest.importorskip("formulaic")
    (tmp_path / "data.csv").write_text(rows("rooms,city,area,floor,price", *FORMULA))
    arguments = ["train", "--dataset", str(tmp_path / "data.csv"), "--seed", "1"]
    formula = "price ~ rooms * C(city) + np.log2(area) + C(floor) + scale(rooms)"
    task = gather(parser().parse_args([*arguments, "--formula", formula]))
    assert (task.target, task.loss, len(task.test.x)) == ("price", "squared_error", 12)
    found = dict(zip(task.features, task.train.x.T, strict=True))
    place = np.round(task.train.y - 0.5).astype(int)
    rooms = 1 + place % 7
    rome = (place % 3 != 0).astype(float)
    deviation = rooms.std(ddof=1)
    for name, expected in {
        "rooms": rooms,
        "C(city)[T.Rome]": rome,
        "rooms:C(city)[T.Rome]": rooms * rome,
        "np.log2(area)": place % 5,
        "C(floor)[T.1]": place % 2,
        "scale(rooms)": (rooms - rooms.mean()) / deviation,
    }.items():
        np.testing.assert_allclose(found.pop(name), expected, atol=1e-12)
    assert not found


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("price", "has no target"),
        ("log(price) ~ rooms", "expected one column"),
        ("price ~ rooms - 1", "always fits one"),
        ("price ~ 1", "names no column"),
        ("price ~ rooms +", "cannot be read"),
        ("price ~ garden", "are missing"),
        ("price ~ np.log(floor)", "is -inf in row 1"),
        ("price ~ open(area)", r"holds 'open\(area\)'"),
        ("price ~ I(rooms.__class__)", "holds 'rooms.__class__'"),
        ("price ~ I(().__class__)", r"holds '\(\).__class__'"),
        ("price ~ I((lambda: 1)())", "holds|cannot be read"),
        ("price ~ np.load(rooms)", "holds 'np.load'"),
        ("price ~ I([a for a in rooms])", "holds|cannot be read"),
    ],
)
def test_formulas_that_are_refused(tmp_path, formula, message):
    pytest.importorskip("formulaic")
    (tmp_path / "data.csv").write_text(rows("rooms,city,area,floor,price", *FORMULA))
    arguments = ["train", "--dataset", str(tmp_path / "data.csv"), "--formula", formula]
    with pytest.raises(ValueError, match=message):
        gather(parser().parse_args(arguments))


def trained(folder, capsys, text, *options):
    """The model of a file, and what ``predict`` prints of any other."""
    (folder / "data.csv").write_text(text)
    arguments = ["--dataset", str(folder / "data.csv"), *options, "--no-plots", "--out"]
    assert main(["train", *arguments, str(folder)]) == 0, capsys.readouterr().err
    capsys.readouterr()

    def predict(text):
        (folder / "new.csv").write_text(text)
        code = main(["predict", str(folder / "model.npz"), str(folder / "new.csv")])
        out, err = capsys.readouterr()
        return code, list(csv.DictReader(out.splitlines())), err

    return predict


MIXED = [
    f"{'' if i % 9 == 4 else i % 13},{'RGB'[i % 3]},{1 + i % 28}.{1 + i % 12}.2020,"
    f"{i % 13 + 5 * (i % 3) + 0.5 * ((i * 7) % 11)}"
    for i in range(90)
]


def test_other_files_are_read_as_the_first_was(tmp_path, capsys):
    """Another order, other columns beside, what was never seen: said, and never guessed."""
    options = ["--target", "y", "--missing", "mean", "--solver", "exact", "--l2", "0.001"]
    predict = trained(tmp_path, capsys, rows("a,word,when,y", *MIXED), *options)
    code, first, err = predict(rows("a,word,when", "3,R,1.2.2020", ",G,1.3.2020"))
    assert code == 0 and len(first) == 2 and err == ""
    code, again, err = predict(rows("when,b,word,a", "1.2.2020,x,R,3", "1.3.2020,y,G,"))
    assert again == first and "in another order" in err
    code, new, err = predict(rows("a,word,when", "3,violet,1.2.2020", "3,R,"))
    assert code == 0 and "holds 'violet', not known from training" in err
    assert float(new[0]["prediction"]) != float(first[0]["prediction"])
    for text, message in [
        (rows("a,when", "3,1.2.2020"), "['word'] are missing"),
        (rows("a,word,when", "high,R,1.2.2020"), "column 'a' is 'high' in row 2"),
        (rows("a,word,when", "1,R,soon"), "column 'when' is 'soon' in row 2"),
        (rows("a,word,when", "inf,R,1.2.2020"), "column 'a' is inf in row 2"),
    ]:
        code, _, err = predict(text)
        assert code == 1 and message in err


def test_rows_that_miss_what_no_row_missed_have_no_prediction(tmp_path, capsys):
    lines = [f"{i % 13},{i % 13 + (i * 7) % 5 + 0.5}" for i in range(60)]
    predict = trained(tmp_path, capsys, rows("a,y", *lines), "--target", "y", "--l2", "0")
    code, found, err = predict(rows("a", "3", "NA"))
    assert code == 0 and "1 rows miss a value that the model needs" in err
    assert float(found[0]["prediction"]) and found[1]["prediction"] == ""


def test_a_formula_predicts_by_what_it_learned(tmp_path, capsys):
    pytest.importorskip("formulaic")
    formula = "price ~ rooms * C(city) + scale(area) + poly(rooms, 2)"
    options = ["--formula", formula, "--test-fraction", "0", "--l2", "0"]
    predict = trained(tmp_path, capsys, rows("rooms,city,area,floor,price", *FORMULA), *options)
    _, alone, _ = predict(rows("rooms,city,area", "3,Rome,4"))
    _, among, _ = predict(rows("rooms,city,area", "3,Rome,4", "7,Oslo,16"))
    assert alone[0] == among[0]
    _, every, _ = predict(rows("rooms,city,area,floor,price", *FORMULA))
    price = np.arange(60) + 0.5
    residual = price - [float(row["prediction"]) for row in every]
    assert abs(residual.mean()) < 1e-3 and residual.std() <= price.std()


def test_show_prints_what_a_model_holds(tmp_path, capsys):
    trained(
        tmp_path, capsys, rows("a,word,when,y", *MIXED), *Y, "--missing", "mean", "--l2", "0.001"
    )
    assert main(["show", str(tmp_path / "model.npz")]) == 0
    shown = capsys.readouterr().out
    model = model_file.load(tmp_path / "model.npz")
    for text in ("squared_error", "72 train, 18 test", "word: category, of B, G, R", "since 2020-"):
        assert text in shown
    for name, value in zip(model.features, model.params.w, strict=True):
        line = next(line for line in shown.splitlines() if line.split("  ")[0] == name)
        low, high = map(float, line.split()[-2:])
        assert low < float(value) < high
        assert float(line.split()[-3]) == pytest.approx(float(value), rel=1e-4)


def test_offsets_and_weights(tmp_path, capsys):
    """Rates by an exposure: as a Poisson fit by hand; a weight of 2 is a row twice."""
    rng = np.random.default_rng(0)
    a, exposure = rng.normal(size=200), rng.uniform(1, 9, 200)
    counts = rng.poisson(exposure * np.exp(0.5 * a - 1))
    lines = [
        f"{v:.17g},{np.log(e):.17g},{1 + i % 2},{c}"
        for i, (v, e, c) in enumerate(zip(a, exposure, counts, strict=True))
    ]
    options = [
        *("--task", "counts", "--offset", "log_e", "--weight", "w", "--test-fraction", "0"),
        *("--l2", "0", "--target", "c"),
    ]
    predict = trained(tmp_path, capsys, rows("a,log_e,w,c", *lines), *options)
    w, b = 0.0, 0.0
    for _ in range(50):  # Newton's method
        mean = exposure * np.exp(w * a + b)
        weight = 1 + np.arange(200) % 2
        x = np.stack([a, np.ones(200)])
        step = np.linalg.solve((x * weight * mean) @ x.T, x @ (weight * (counts - mean)))
        w, b = w + step[0], b + step[1]
    params = model_file.load(tmp_path / "model.npz").params
    np.testing.assert_allclose([float(params.w[0]), float(params.b)], [w, b], rtol=1e-4)
    _, found, _ = predict(rows("a,log_e", f"1,{np.log(5)}"))
    assert float(found[0]["prediction"]) == pytest.approx(5 * np.exp(w + b), rel=1e-4)
    code, _, err = predict(rows("a", "1"))
    assert code == 1 and "['log_e'] are missing" in err


def test_predictions_of_numbers_have_intervals(tmp_path, capsys):
    """Of new rows about 95 % lie between low and high, which the noise makes as wide as it is."""
    rng = np.random.default_rng(0)
    a = rng.normal(size=1200)
    y = 3 * a + 1 + rng.normal(size=1200)
    lines = [f"{v:.12g},{t:.12g}" for v, t in zip(a, y, strict=True)]
    predict = trained(tmp_path, capsys, rows("a,y", *lines[:400]), *Y, "--test-fraction", "0")
    _, found, _ = predict(rows("a,y", *lines[400:]))
    low, middle, high = (
        np.array([float(row[name]) for row in found]) for name in ("low", "prediction", "high")
    )
    np.testing.assert_allclose(high - middle, middle - low, rtol=1e-5)
    np.testing.assert_allclose(high - middle, 1.96, rtol=0.1)
    assert 0.93 < np.mean((low <= y[400:]) & (y[400:] <= high)) < 0.97
