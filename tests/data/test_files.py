"""A user's own data: what is read, and what every mistake is called."""

import gzip

import numpy as np
import pytest

from jaxlinear.data.files import load, load_features

X = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32)
Y = np.array([0, 1, 1])


def npz(folder, **arrays):
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def csv(folder, text):
    (folder / "data.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / "data.csv"


class TestNpz:
    def test_x_and_y(self, tmp_path):
        table = load(npz(tmp_path, x=X, y=Y))
        np.testing.assert_array_equal(table.batch.x, X)
        np.testing.assert_array_equal(table.batch.y, Y)
        assert table.batch.y.dtype == np.int32
        assert table.batch.weight is None
        assert (table.test, table.names, table.features) == (None, (), ())

    @pytest.mark.parametrize(
        ("got", "expected"),
        [("uint8", "uint8"), ("int64", "float32"), ("bool", "float32"), ("float64", "float64")],
    )
    def test_dtype_of_x(self, tmp_path, got, expected):
        assert load(npz(tmp_path, x=X.astype(got), y=Y)).batch.x.dtype == expected

    def test_weight_and_test_split(self, tmp_path):
        path = npz(tmp_path, x=X, y=Y, weight=[1, 0, 2], x_test=X[:1], y_test=Y[:1])
        table = load(str(path))
        np.testing.assert_array_equal(table.batch.weight, [1.0, 0.0, 2.0])
        np.testing.assert_array_equal(table.test.x, X[:1])
        np.testing.assert_array_equal(table.test.y, Y[:1])

    def test_text_target_shares_its_names_with_the_test_split(self, tmp_path):
        y = np.array(["dog", "ant", "cat"])
        table = load(npz(tmp_path, x=X, y=y, x_test=X[:2], y_test=y[[2, 0]]))
        assert table.names == ("ant", "cat", "dog")
        assert table.batch.y.tolist() == [2, 0, 1]
        assert table.test.y.tolist() == [1, 2]

    @pytest.mark.parametrize(
        "y", [[2, 0, 1], [0.5, 1.5, 2.5], ["b", "a", "c"], [True, False, True]]
    )
    def test_one_column_of_y_is_y(self, tmp_path, y):
        column = np.array(y)[:, None]
        table = load(npz(tmp_path, x=X, y=column, x_test=X, y_test=column))
        expected = load(npz(tmp_path, x=X, y=np.array(y))).batch.y
        for batch in (table.batch, table.test):
            np.testing.assert_array_equal(batch.y, expected)

    def test_large_whole_numbers(self, tmp_path):
        """float32 holds what is far apart; what it would confuse needs double precision."""
        apart = np.column_stack([10**9 + 10**8 * np.arange(3), np.arange(3)])
        assert load(npz(tmp_path, x=apart, y=Y)).batch.x.tolist() == apart.tolist()
        path = npz(tmp_path, x=np.column_stack([np.arange(3), 10**9 + np.arange(3)]), y=Y)
        with pytest.raises(ValueError, match=r"x, column 1, runs from .* float32 cannot"):
            load(path)
        assert load(path, dtype=np.float64).batch.x[2, 1] == 10**9 + 2
        path = npz(tmp_path, x=10**18 + np.arange(3)[:, None], y=Y)
        with pytest.raises(ValueError, match=r"x, column 0, runs from .* float64 cannot"):
            load(path, dtype=np.float64)
        with pytest.raises(ValueError, match=r"got dtype int32, expected numpy.float32 or"):
            load(path, dtype=np.int32)

    def test_several_outputs(self, tmp_path):
        assert load(npz(tmp_path, x=X, y=X * 0.5)).batch.y.shape == (3, 2)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"x": X}, r"got the arrays \['x'\], expected x and y"),
            ({"x": X, "y": Y, "z": Y}, "got the arrays .*'z'"),
            ({"x": X, "y": Y, "x_test": X}, "x_test with y_test"),
            ({"x": X[:2], "y": Y}, "2 rows of x and 3 of y"),
            ({"x": X[:, 0], "y": Y}, r"shape \(3,\), expected \(examples, features\)"),
            ({"x": X[:0], "y": Y[:0]}, "empty"),
            ({"x": X[:, :0], "y": Y}, r"shape \(3, 0\)"),
            ({"x": X.astype(str), "y": Y}, "x of dtype <U32, expected numbers"),
            ({"x": X + 1j, "y": Y}, "x of dtype complex64"),
            ({"x": X * [np.nan, 1], "y": Y}, "x is nan at row 0 .*, column 0"),
            ({"x": X * [[1, 1], [1, np.inf], [1, 1]], "y": Y}, "x is inf at row 1 .*, column 1"),
            ({"x": X, "y": Y * np.nan}, "y is nan at row 0"),
            ({"x": X, "y": Y + 2**40}, "from 1099511627776 to 1099511627777, expected 32-bit"),
            ({"x": X, "y": Y - 2**40}, "32-bit"),
            ({"x": X, "y": np.array([0, 1, 2**63], np.uint64)}, "32-bit"),
            ({"x": X, "y": Y[:, None, None]}, r"shape \(3, 1, 1\)"),
            ({"x": X, "y": np.array([["a", "b"]] * 3)}, "expected numbers"),
            ({"x": X, "y": Y, "weight": np.ones(2)}, r"weight float64\(2,\), .*\(3,\)"),
            ({"x": X, "y": Y, "weight": [1, -1, 1]}, r"weight\[1\] is negative"),
            ({"x": X, "y": Y, "weight": [1, np.nan, 1]}, "weight is nan at row 1"),
            ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "expected the same columns"),
            (
                {"x": X.astype(np.uint8), "y": Y, "x_test": X, "y_test": Y},
                "x of dtype uint8 and x_test of float32; expected bytes in both",
            ),
            ({"x": X, "y": Y, "x_test": X[:2], "y_test": Y}, "2 rows of x_test and 3 of y_test"),
            ({"x": X, "y": list("abc"), "x_test": X, "y_test": list("abd")}, r"holds \['d'\]"),
            ({"x": X, "y": list("abc"), "x_test": X, "y_test": Y}, "y_test holds numbers"),
            ({"x": X, "y": Y, "x_test": X, "y_test": list("abc")}, "y_test holds"),
        ],
    )
    def test_mistakes(self, tmp_path, arrays, message):
        path = npz(tmp_path, **arrays)
        with pytest.raises(ValueError, match=f"data.npz: .*{message}"):
            load(path)

    def test_pickled_objects_are_not_run(self, tmp_path):
        path = npz(tmp_path, x=X, y=np.array([0, None, 1], dtype=object))
        with pytest.raises(ValueError, match=r"data.npz: y holds pickled objects"):
            load(path)

    @pytest.mark.parametrize("keep", [0, 30, -30])
    def test_damaged(self, tmp_path, keep):
        path = npz(tmp_path, x=X, y=Y)
        path.write_bytes(path.read_bytes()[:keep])
        with pytest.raises(ValueError, match=r"data.npz is damaged or empty"):
            load(path)

    def test_flipped_bit(self, tmp_path):
        path = npz(tmp_path, x=X, y=Y)
        data = bytearray(path.read_bytes())
        data[data.index(X.tobytes())] ^= 1
        path.write_bytes(data)
        with pytest.raises(ValueError, match=r"data.npz: x is damaged"):
            load(path)

    def test_single_array(self, tmp_path):
        with open(tmp_path / "data.npz", "wb") as file:
            np.save(file, X)
        with pytest.raises(ValueError, match=r"holds a single array; name it .npy"):
            load(tmp_path / "data.npz")

    def test_target_is_not_for_npz(self, tmp_path):
        with pytest.raises(ValueError, match=r"target of .npz is its array 'y'"):
            load(npz(tmp_path, x=X, y=Y), target="y")


class TestNpy:
    def test_pair(self, tmp_path):
        np.save(tmp_path / "x.npy", X)
        np.save(tmp_path / "y.npy", Y)
        table = load(tmp_path / "x.npy", target=str(tmp_path / "y.npy"))
        np.testing.assert_array_equal(table.batch.x, X)
        np.testing.assert_array_equal(table.batch.y, Y)

    def test_mistakes(self, tmp_path):
        np.save(tmp_path / "x.npy", X)
        np.save(tmp_path / "short.npy", Y[:2])
        np.save(tmp_path / "objects.npy", np.array([None, 1, 2]), allow_pickle=True)
        np.savez(tmp_path / "many", a=X)
        (tmp_path / "many.npz").rename(tmp_path / "many.npy")
        (tmp_path / "text.npy").write_text("1, 2")
        for target, kind, message in [
            (None, ValueError, "give the .npy file of y as target"),
            ("none.npy", FileNotFoundError, "none.npy does not exist"),
            ("short.npy", ValueError, "3 rows of x and 2 of y"),
            ("objects.npy", ValueError, "objects.npy holds pickled objects"),
            ("many.npy", ValueError, "many.npy holds several arrays"),
            ("text.npy", ValueError, "text.npy is damaged or empty"),
        ]:
            with pytest.raises(kind, match=message):
                load(tmp_path / "x.npy", target and str(tmp_path / target))


class TestCsv:
    def test_numbers_and_text_target(self, tmp_path):
        path = csv(tmp_path, "height,kind,count,tall\n1.5,dog,2,true\n-2e3,ant,3,false\n")
        table = load(path, target="kind")
        assert table.features == ("height", "count", "tall")
        assert table.names == ("ant", "dog")
        assert table.batch.x.dtype == np.float32
        np.testing.assert_array_equal(table.batch.x, [[1.5, 2, 1], [-2000, 3, 0]])
        assert table.batch.y.tolist() == [1, 0]

    @pytest.mark.parametrize(
        ("values", "y", "dtype", "names"),
        [
            ("3 0", [3, 0], np.int32, ()),
            ("1.5 2", [1.5, 2.0], np.float32, ()),
            ("true false", [1, 0], np.int32, ("False", "True")),
            ("10 b", [0, 1], np.int32, ("10", "b")),
            ("NA EU NA", [1, 0, 1], np.int32, ("EU", "NA")),
            ('"NA" "EU"', [1, 0], np.int32, ("EU", "NA")),
            ("null none n/a", [2, 1, 0], np.int32, ("n/a", "none", "null")),
            ("nan yes", [0, 1], np.int32, ("nan", "yes")),
            ("01 1 01", [0, 1, 0], np.int32, ("01", "1")),
            ("18-25 26-35", [0, 1], np.int32, ("18-25", "26-35")),
            ('"3" "0"', [3, 0], np.int32, ()),
            ("+3 0", [3, 0], np.float32, ()),
            ("1e2 .5", [100, 0.5], np.float32, ()),
            ("1e30 2e30", [np.float32(1e30), np.float32(2e30)], np.float32, ()),
            ('"1,5" "2,25"', [1.5, 2.25], np.float32, ()),
            ('"1,234" 567', [1234, 567], np.float32, ()),
            ("12% 13%", [np.float32(0.12), np.float32(0.13)], np.float32, ()),
        ],
    )
    def test_targets(self, tmp_path, values, y, dtype, names):
        rows = "".join(f"{i},{value}\n" for i, value in enumerate(values.split()))
        table = load(csv(tmp_path, "a,y\n" + rows), target="y")
        assert (table.batch.y.tolist(), table.batch.y.dtype, table.names) == (y, dtype, names)

    def test_byte_order_mark_quotes_and_windows_line_ends(self, tmp_path):
        table = load(csv(tmp_path, '\ufeffa,"the y"\r\n"1",2.5\r\n3,4\r\n'), target="the y")
        np.testing.assert_array_equal(table.batch.x, [[1], [3]])

    @pytest.mark.parametrize(
        ("text", "x", "features"),
        [
            (" a , y \n 1 , 2 \n\t3\t,4\n", [[1], [3]], ("a",)),
            ("a,y\n1,2\n\n3,4\n\n\n", [[1], [3]], ("a",)),
            ("\n\na,y\n1,2\n3,4\n", [[1], [3]], ("a",)),
            ("a,y\r1,2\r3,4\r", [[1], [3]], ("a",)),
            ("a,y\nTRUE,2\nfalse,4\n", [[1], [0]], ("a",)),
            ('a,y\n"1",2\n3.,4\n', [[1], [3]], ("a",)),
            ("y,0,1,2\n2,1,2,3\n4,5,6,7\n", [[1, 2, 3], [5, 6, 7]], ("0", "1", "2")),
            ("y,2019,2020\n2,1,2\n4,5,6\n", [[1, 2], [5, 6]], ("2019", "2020")),
            ("index,y\n0,2\n7,4\n", [[0], [7]], ("index",)),
            ("a,y\n14.62,2\n14.62,4\n", np.full((2, 1), np.float32(14.62)), ("a",)),
            ("a,y\n1e30,2\n1e-30,4\n", np.float32([[1e30], [1e-30]]), ("a",)),
        ],
    )
    def test_what_is_read(self, tmp_path, text, x, features):
        table = load(csv(tmp_path, text), target="y")
        np.testing.assert_array_equal(table.batch.x, x)
        assert table.batch.y.tolist() == [2, 4]
        assert table.features == features

    @pytest.mark.parametrize(
        ("name", "text", "options", "x"),
        [
            ("a.csv", "a;b;y\n1;2;2\n3;4;4\n", {}, [[1, 2], [3, 4]]),
            ("a.tsv", "a\tb\ty\n1\t2\t2\n3\t4\t4\n", {}, [[1, 2], [3, 4]]),
            ("a.txt", "a|b|y\n1|2|2\n3|4|4\n", {}, [[1, 2], [3, 4]]),
            ("a.csv", "a;b;y\n1,5;2;2\n-3,25;4;4\n", {}, [[1.5, 2], [-3.25, 4]]),
            ("a.csv", "a;b;y\n1.234,5;2.000;2\n7,5e2;4;4\n", {}, [[1234.5, 2000], [750, 4]]),
            ("a.csv", "a;b;y\n1.5;2.0;2\n3.5;4;4\n", {}, [[1.5, 2], [3.5, 4]]),
            ("a.csv", "price, EUR;y\n1,5;2\n2,5;4\n", {}, [[1.5], [2.5]]),
            ("a.csv", 'a,y\n"1;2",2\n"3;4",4\n', {"separator": ";"}, None),
            ("a.csv", "a~y\n1~2\n3~4\n", {"separator": "~"}, [[1], [3]]),
            ("a.csv", "a\ty\n1,5\t2\n3,0\t4\n", {"decimal": ","}, [[1.5], [3]]),
            ("a.csv", "a;y\n1,5;2\n3,5;4\n", {"decimal": "."}, None),
            ("a.csv", "a,y\n1,2\n3,4\n".encode("utf-16"), {}, [[1], [3]]),
            ("a.csv", "ä,y\n1,2\n3,4\n".encode("latin-1"), {"encoding": "latin-1"}, [[1], [3]]),
            ("a.csv.gz", gzip.compress(b"a,y\n1,2\n3,4\n", mtime=0), {}, [[1], [3]]),
            ("a.tsv.gz", gzip.compress(b"a\ty\n1\t2\n3\t4\n", mtime=0), {}, [[1], [3]]),
            ("a.csv.gz", b"a,y\n1,2\n3,4\n", {}, None),
            ("a.csv.gz", gzip.compress(b"a,y\n1,2\n3,4\n", mtime=0)[:-9], {}, None),
            ("a.csv.gz", gzip.compress(b"a,y\n1,2\n", mtime=0)[:10] + b"\xff" * 20, {}, None),
            ("a.csv", "\n" * 60 + "a,y\n1,2\n3,4\n", {}, [[1], [3]]),
            ("a.csv", "a,y\n1,2\n", {"separator": ", "}, None),
            ("a.csv", "a,y\n1,2\n", {"decimal": ",", "separator": ","}, None),
            ("a.csv", "a,y\n1,2\n", {"encoding": "utf-9"}, None),
        ],
    )
    def test_however_it_is_written(self, tmp_path, name, text, options, x):
        """Read right, also to predict with, or refused in a line."""
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        if x is None:
            with pytest.raises(ValueError, match="expected"):
                load(path, target="y", **options)
            return
        table = load(path, target="y", **options)
        np.testing.assert_array_equal(table.batch.x, x)
        assert table.batch.y.tolist() == [2, 4]
        np.testing.assert_array_equal(load_features(path, table.features, **options), x)

    def test_words_with_commas_and_points_stay(self, tmp_path):
        path = csv(tmp_path, "a;y\n1,5;a,b\n2,5;c.d\n3,5;a,b\n4,5;c.d\n")
        assert load(path, target="y").names == ("a,b", "c.d")

    def test_seconds_since_1970_in_double_precision(self, tmp_path):
        path = csv(tmp_path, "a,y\n1700000000,2\n1700000001,4\n")
        table = load(path, target="y", dtype=np.float64)
        assert table.batch.x.tolist() == [[1700000000], [1700000001]]
        np.testing.assert_array_equal(load_features(path, ("a",)), table.batch.x)

    def test_a_column_that_turns_to_fractions_late(self, tmp_path):
        table = load(csv(tmp_path, "a,y\n" + "1,2\n" * 300_000 + "1.5,2\n"), target="y")
        assert table.batch.x[-1] == 1.5

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "not a table .*[Ee]mpty"),
            ("a,y\n", "has a header but no rows"),
            ("a,y\n1,2\n3\n", "Row #3: Expected 2 columns, got 1"),
            ("a,y\n1,2,3\n", "Row #2: Expected 2 columns, got 3"),
            (b"\xff,y\n1,2\n", "not a table"),
            (b"a,y\n\xff,2\n", "not a table .*encoded as UTF-8"),
            ("1,2\n3,4\n", r"got \['1', '2'\] among the names .*--no-header"),
            ("y\n1\n", "other columns as features"),
            ("a,a,y\n1,2,3\n", "no name twice"),
            ("a,y\n1,2\nred,3\n", "column 'a' is 'red' in row 3"),
            ("a,y\n1_000,2\n", "column 'a' is '1_000' in row 2"),
            ("a,y\n2020-01-01,2\n", "column 'a' holds dates, such as 2020-01-01"),
            ("a,y\n1,2\n,2\n,2\n", "column 'a' is missing in row 3 .* and in 2 of 3 rows"),
            ("a,y\n1,2\nNaN,2\n", "column 'a' is missing in row 3"),
            ("a,y\nred,2\n,2\n", "column 'a' is 'red' in row 2"),
            ("a,y\n,2\n", "column 'a' is missing in row 2"),
            ("a,y\n1,2\ninf,2\n", "column 'a' is inf in row 3"),
            ("a,y\n1,2\n1e39,2\n", "column 'a' is inf in row 3"),
            ("a,y\n1,cat\n2,\n", "column 'y' is missing in row 3"),
            ("a,y\n1,2.5\n2,\n", "column 'y' is missing in row 3"),
            ("a,y\n1,2.5\n2,-inf\n", "column 'y' is -inf in row 3"),
            ("a,y\n1,2020-01-01\n", "column 'y' holds dates"),
            ("1.5,2,y\n1,2,3\n", r"got \['1.5', '2'\] among the names"),
            ("a,17,y\n1,2,3\n", r"got \['17'\] among the names"),
            (",a,y\n0,2,3\n", "column '' has no name of its own"),
            ("a,y,\n0,2,5\n", "column '' has no name of its own"),
            ("a,y,\n0,2,\n", "column '' is missing in row 2"),
            ("Unnamed: 0,a,y\n5,2,3\n", "'Unnamed: 0' has no name of .*--drop 'Unnamed: 0'"),
            ("index,a,y\n0,2,3\n1,4,5\n", "column 'index' counts the rows"),
            ("a,a ,y\n1,2,3\n", "no name twice"),
            ("a,y\n1,2,\n", "Row #2: Expected 2 columns, got 3"),
            ("a,y\n1,ä\n".encode("latin-1"), "not a table .*encoded as UTF-8"),
            ("a,y\n1,b\n".encode("utf-16-le"), "not a table .*encoded as UTF-8"),
            ('a,y\n1,"b\n2,c\n3,d\n', "column 'y' holds several lines in row 2"),
            ('a,y,b\n1,2,"b\n2,3,c\n', "column 'b' holds several lines in row 2"),
            ("a,y\n1,2\nNA,2\n", "column 'a' is missing in row 3 .* 1 of 2 rows; --missing median"),
            ("a,y\n1,2\nNULL,2\n", "column 'a' is missing in row 3"),
            ("a,y\n1,2\n?,2\n", "column 'a' is missing in row 3"),
            ("a,y\n01.02.2020,2\n", "column 'a' holds dates"),
            ("a,y\n1,2020-01-01 10:00:00\n", "column 'y' holds dates"),
            ("a,y\n1,EU\n2,NA\n3,\n", "column 'y' is missing in row 4 .* 1 of 3 rows"),
            ('a,y\n1,EU\n2,""\n', "column 'y' is missing in row 3"),
            ("a,y\n1,5\n2,NA\n", "column 'y' is missing in row 3 .* --missing drop"),
            ("a,y\n1,5.5\n2,unknown\n", "column 'y' is 'unknown' in row 3"),
            ("a,y\n1,5\n2,6\n3,unknown\n", "column 'y' is 'unknown' in row 4"),
            ("a,y\n1000000000,1\n1000000001,2\n", "column 'a' runs from .* float32 cannot"),
            ("a,y\n1e-50,1\n2e-50,2\n", "column 'a' runs from .* float32 cannot"),
            ("a,y\n1,1700000000.5\n2,1700000001\n", "column 'y' runs from .* float32 cannot"),
            ("a,y\n1234567890123456789,1\n1234567890123456788,2\n", "'a' .* float64 cannot"),
            ("a,y\n1,1099511627776\n", "column 'y' runs from 1099511627776 .* 32-bit"),
        ],
    )
    def test_mistakes(self, tmp_path, text, message):
        path = csv(tmp_path, text)
        with pytest.raises(ValueError, match=f"data.csv.* {message}"):
            load(path, target="y")

    def test_no_target(self, tmp_path):
        with pytest.raises(ValueError, match=r"got target None and the columns \['a', 'y'\]"):
            load(csv(tmp_path, "a,y\n1,2\n"))


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.csv does not exist"):
        load(tmp_path / "none.csv")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(FileNotFoundError, match=r"folder.npz is a directory"):
        load(tmp_path / "folder.npz")
    with pytest.raises(FileNotFoundError, match=r"data.parquet does not exist"):
        load(tmp_path / "data.parquet", "y")
    with pytest.raises(ValueError, match=r"data.xlsx: got a file of type '.xlsx', expected"):
        load(tmp_path / "data.xlsx")
