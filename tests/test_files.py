"""A user's own data: what is read, and what every mistake is called."""

import numpy as np
import pytest

from jaxlinear.data.files import load

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
            ({"x": X, "y": np.array([["a"], ["b"], ["c"]])}, "expected numbers"),
            ({"x": X, "y": Y, "weight": np.ones(2)}, r"weight float64\(2,\), .*\(3,\)"),
            ({"x": X, "y": Y, "weight": [1, -1, 1]}, r"weight\[1\] is negative"),
            ({"x": X, "y": Y, "weight": [1, np.nan, 1]}, "weight is nan at row 1"),
            ({"x": X, "y": Y, "x_test": X[:, :1], "y_test": Y}, "expected the same columns"),
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
        ],
    )
    def test_targets(self, tmp_path, values, y, dtype, names):
        rows = "".join(f"{i},{value}\n" for i, value in enumerate(values.split()))
        table = load(csv(tmp_path, "a,y\n" + rows), target="y")
        assert (table.batch.y.tolist(), table.batch.y.dtype, table.names) == (y, dtype, names)

    def test_byte_order_mark_quotes_and_windows_line_ends(self, tmp_path):
        table = load(csv(tmp_path, '\ufeffa,"the y"\r\n"1",2.5\r\n3,4\r\n'), target="the y")
        np.testing.assert_array_equal(table.batch.x, [[1], [3]])

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
            (b"a,y\n\xff,2\n", "column 'a' holds binary"),
            ("a;y\n1;2\n", r"target 'y' and the columns \['a;y'\].*separated by commas"),
            ("1,2\n3,4\n", r"target 'y' and the columns \['1', '2'\].*names in the first row"),
            ("y\n1\n", "other columns as features"),
            ("a,a,y\n1,2,3\n", "no name twice"),
            ("a,y\n1,2\nred,3\n", "column 'a' is 'red' in row 3"),
            ("a,y\n1_000,2\n", "column 'a' is '1_000' in row 2"),
            ("a,y\n2020-01-01,2\n", "column 'a' holds date32"),
            ("a,y\n1,2\n,2\n,2\n", "column 'a' is missing in row 3 .* and in 2 of 3 rows"),
            ("a,y\n1,2\nNaN,2\n", "column 'a' is missing in row 3"),
            ("a,y\nred,2\n,2\n", "column 'a' is 'red' in row 2"),
            ("a,y\n,2\n", "column 'a' is missing in row 2"),
            ("a,y\n1,2\ninf,2\n", "column 'a' is inf in row 3"),
            ("a,y\n1,2\n1e39,2\n", "column 'a' is inf in row 3"),
            ("a,y\n1,cat\n2,\n", "column 'y' is missing in row 3"),
            ("a,y\n1,2.5\n2,\n", "column 'y' is missing in row 3"),
            ("a,y\n1,2.5\n2,-inf\n", "column 'y' is -inf in row 3"),
            ("a,y\n1,2020-01-01\n", "column 'y' holds date32"),
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
    with pytest.raises(ValueError, match=r"data.parquet: got a file of type '.parquet', expected"):
        load(tmp_path / "data.parquet")
