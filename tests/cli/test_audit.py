"""``jaxlinear audit``: a model in a pickle, a table, and the verdict."""

import numpy as np
import pandas
import pytest

from jaxlinear.__main__ import main

pytest.importorskip("sklearn")
import joblib
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


@pytest.fixture
def table(tmp_path):
    rng = np.random.default_rng(0)
    area = np.arange(40) * 1.5
    price = 1e6 + 2 * area + rng.normal(size=40)  # in float32 of them there is another optimum
    frame = pandas.DataFrame(
        {"city": ["a", "b"] * 20, "area": area, "w": np.arange(40) % 3, "price": price,
         "sold": np.where(rng.uniform(size=40) > 0.5, "yes", "no")}
    )  # fmt: skip
    path = tmp_path / "houses.csv"
    frame.to_csv(path, index=False)
    return path, frame


def audit(tmp_path, model, *arguments):
    path = tmp_path / "model.joblib"
    joblib.dump(model, path)
    return main(["audit", str(path), *map(str, arguments)])


def test_a_pipeline_with_words_and_weights_is_at_its_optimum(tmp_path, table, capsys):
    path, frame = table
    columns = make_column_transformer((OneHotEncoder(), ["city"]), remainder="passthrough")
    model = make_pipeline(columns, Ridge())
    model.fit(frame[["city", "area"]], frame.price, ridge__sample_weight=frame.w)
    arguments = (path, "--target", "price", "--weight", "w")
    assert audit(tmp_path, model, *arguments, "--trust") == 0
    told = capsys.readouterr().out
    assert "verdict           AT THE OPTIMUM" in told and "40 examples" in told
    assert audit(tmp_path, model, *arguments) == 1
    assert "is a pickle, and opening one runs whatever code it holds" in capsys.readouterr().err


@pytest.mark.full
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_classes_by_words_and_columns_without_names(tmp_path, table, capsys):
    path, frame = table
    frame = frame[["area", "w", "sold"]]
    frame.to_csv(path, index=False)
    model = LogisticRegression(max_iter=1).fit(frame[["area", "w"]].to_numpy(), frame.sold)
    assert audit(tmp_path, model, path, "--target", "sold", "--trust") == 0
    assert "NOT AT THE OPTIMUM: it stopped before" in capsys.readouterr().out


def test_what_is_wrong_is_one_line(tmp_path, table, capsys):
    path, frame = table
    junk, other = tmp_path / "junk.joblib", tmp_path / "model.npz"
    junk.write_bytes(b"garbage!")
    other.write_bytes(b"")
    model = LinearRegression().fit(frame[["area"]].to_numpy(), frame.price)
    named = LinearRegression().fit(frame[["area"]].rename(columns={"area": "size"}), frame.price)
    price = ("--target", "price", "--trust")
    for call, message in (
        (lambda: main(["audit", str(junk), str(path), *price]), "cannot be opened"),
        (lambda: main(["audit", str(tmp_path / "no"), str(path), *price]), "does not exist"),
        (lambda: main(["audit", str(other), str(path), *price]), "`jaxlinear show`"),
        (lambda: audit(tmp_path, {}, path, *price), "holds a dict; expected an estimator"),
        (lambda: audit(tmp_path, model, path, "--target", "prize", "--trust"), "'prize'"),
        (lambda: audit(tmp_path, model, path, *price), "column 'city' holds string"),
        (lambda: audit(tmp_path, named, path, *price), "['size'] are missing"),
        (lambda: audit(tmp_path, model, junk, *price), "is no table"),
    ):
        assert call() == 1
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
