"""The command line: what it writes and prints, and one line for whatever is wrong."""

import _thread
import csv
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear.__main__ import main, parser
from jaxlinear.cli import model_file
from jaxlinear.cli.gather import gather

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 3)) * [1.0, 100.0, 1e-3] + [0.0, 1000.0, 5.0]
STANDARD = (X - X.mean(0)) / X.std(0)
NUMBER = 3 * STANDARD[:, 0] - STANDARD[:, 1] + 7
WORD = np.where(STANDARD @ [1, 2, -1] > 0, "yes", "no")


def write_csv(path, encoding="utf-8", **target):
    columns = {"first": X[:, 0], "second": X[:, 1], "third": X[:, 2], **target}
    with open(path, "w", newline="", encoding=encoding) as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return str(path)


def run(capsys, *arguments):
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def predicted(capsys, model, data):
    """The rows that ``jaxlinear predict`` prints."""
    code, out, _ = run(capsys, "predict", model, data)
    assert code == 0
    return list(csv.DictReader(out.splitlines()))


def test_the_help_tells_the_defaults(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "momentum, in [0, 1) (default: 0.0)" in shown
    assert "examples (default: 10, and 1,000 steps at least)" in shown


def test_train_on_the_sample(tmp_path, capsys):
    code, out, err = run(capsys, "train", "--epochs", 3, "--out", tmp_path)
    assert code == 0
    for word in ("6,000 to train", "1,000 to test", "784", "compile time", "per epoch", "accuracy"):
        assert word in out
    assert "Training" in err and "test accuracy" in err
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["test"]["accuracy"] > 0.7
    assert len(report["history"]) == 3 and report["history"][0] > report["history"][-1]
    assert report["classes"][9] == "ankle boot"
    model = model_file.load(tmp_path / "model.npz")
    sample = jl.data.fashion_mnist_sample()
    accuracy = float((jl.labels(model.params, sample.test.x) == sample.test.y).mean())
    assert accuracy == pytest.approx(report["test"]["accuracy"])
    pictures = {
        *("learning_curves", "weights", "examples"),
        *("confusion_matrix", "roc", "calibration"),
    }
    assert {path.stem for path in tmp_path.glob("*.png")} == pictures
    assert str(tmp_path) in out

    rows = predicted(capsys, tmp_path / "model.npz", "sample")
    names = np.array(sample.names)
    right = np.mean([row["prediction"] for row in rows] == names[sample.test.y])
    assert right == pytest.approx(accuracy)


def test_classes_from_words_in_a_csv_file(tmp_path, capsys):
    path = write_csv(tmp_path / "data.csv", answer=WORD)
    code, out, _ = run(
        capsys, "train", "--dataset", path, "--target", "answer", "--epochs", 60,
        "--batch-size", 32, "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0 and "softmax_cross_entropy" in out and "120 to train, 30 to test" in out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["classes"] == ["no", "yes"] and report["test"]["accuracy"] > 0.9
    code, _, _ = run(
        capsys, "predict", tmp_path / "out" / "model.npz", path, "--out", tmp_path / "p.csv"
    )
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert code == 0 and np.mean([row["prediction"] for row in rows] == WORD) > 0.9
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)


def test_numbers_from_a_csv_file_whatever_the_scales(tmp_path, capsys):
    """Standardised inside, folded back exactly: the model takes the raw columns."""
    path = write_csv(tmp_path / "data.csv", price=NUMBER)
    code, out, _ = run(
        capsys, "train", "--dataset", path, "--target", "price", "--epochs", 100,
        "--batch-size", 16, "--out", tmp_path / "out",
    )  # fmt: skip
    assert code == 0 and "squared_error" in out
    rows = predicted(capsys, tmp_path / "out" / "model.npz", path)
    got = np.array([float(row["prediction"]) for row in rows])
    np.testing.assert_allclose(got, NUMBER, atol=0.02)
    assert (tmp_path / "out" / "predictions.png").exists()


@pytest.mark.parametrize("loss", ["logistic", "hinge", "squared_hinge"])
def test_two_classes_counted_as_in_the_file(tmp_path, capsys, loss):
    path = tmp_path / "data.npz"
    labels = np.where(WORD == "yes", 7, 3)
    np.savez(path, x=STANDARD, y=labels, x_test=STANDARD[:20], y_test=labels[:20])
    code, _, _ = run(
        capsys, "train", "--dataset", path, "--loss", loss, "--epochs", 60, "--batch-size", 32,
        "--no-plots", "--out", tmp_path / "out",
    )  # fmt: skip
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert code == 0 and report["classes"] == ["3", "7"] and report["examples"]["test"] == 20
    assert report["test"]["accuracy"] > 0.9
    assert not list((tmp_path / "out").glob("*.png"))
    rows = predicted(capsys, tmp_path / "out" / "model.npz", path)
    got = [int(row["prediction"]) for row in rows]
    assert np.mean(got == labels) > 0.9


def test_counts_with_the_poisson_loss(tmp_path, capsys):
    counts = rng.poisson(np.exp(0.5 * STANDARD[:, 0] + 1))
    path = write_csv(tmp_path / "data.csv", count=counts)
    code, _, _ = run(
        capsys, "train", "--dataset", path, "--target", "count", "--loss", "poisson", "--epochs",
        100, "--lr", 0.05, "--out", tmp_path / "out", "--test-fraction", 0,
    )  # fmt: skip
    assert code == 0
    rows = predicted(capsys, tmp_path / "out" / "model.npz", path)
    got = np.array([float(row["prediction"]) for row in rows])
    assert got.mean() == pytest.approx(counts.mean(), rel=0.05)
    assert np.corrcoef(np.log(got), STANDARD[:, 0])[0, 1] > 0.95


def train_exact(tmp_path, capsys, path, *arguments):
    """What ``jaxlinear train --solver exact`` prints, reports and saves."""
    out = tmp_path / "exact"
    code, printed, err = run(
        capsys, "train", "--dataset", path, "--solver", "exact", "--out", out, *arguments
    )
    assert code == 0, err
    report = json.loads((out / "report.json").read_text())
    return printed, report, model_file.load(out / "model.npz").params


def test_the_exact_solution_is_that_of_lstsq(tmp_path, capsys):
    noisy = NUMBER + rng.normal(size=len(X))
    path = write_csv(tmp_path / "data.csv", price=noisy)
    out, report, params = train_exact(
        tmp_path, capsys, path, "--target", "price", "--test-fraction", 0
    )
    for word in ("exact", "fit time", "CONVERGED", "3 of 3", "objective", "gradient norm", "r2"):
        assert word in out
    ones = np.column_stack([X, np.ones(len(X))])  # centred before they are rounded
    expected = np.linalg.lstsq(ones, noisy.astype(np.float32).astype(float))[0]
    np.testing.assert_allclose(params.w, expected[:3], rtol=1e-5)
    np.testing.assert_allclose(params.b, expected[3], rtol=1e-5)
    residual = ones @ expected - noisy
    assert report["solver"] == "exact" and report["rank"] == 3
    assert report["objective"] == pytest.approx(np.mean(residual**2) / 2, rel=1e-4)
    assert report["train"]["r2"] == pytest.approx(1 - np.var(residual) / np.var(noisy), rel=1e-3)
    assert set(report["seconds"]) == {"fit"} and "history" not in report
    assert set(report["hyperparameters"]) == {"l2", "seed"}
    pictures = {path.stem for path in (tmp_path / "exact").glob("*.png")}
    assert pictures == {"predictions", "residuals", "weights"}


def test_newton_ends_at_the_optimum(tmp_path, capsys):
    """Of labels, k independent labels at once, and numbers: where no step lowers the objective."""
    classes = (STANDARD[:, 0] + rng.normal(size=len(X)) > 0).astype(int)
    write_csv(tmp_path / "classes.csv", answer=classes)
    both = np.column_stack([classes, 1 - classes]).astype(np.float32)
    np.savez(tmp_path / "labels.npz", x=STANDARD, y=both)
    for file, arguments, loss in (
        ("classes.csv", ["--target", "answer"], "softmax_cross_entropy"),
        ("labels.npz", ["--loss", "logistic"], "logistic"),
    ):
        code, out, err = run(
            capsys, "train", "--dataset", tmp_path / file, *arguments, "--solver", "newton",
            "--l2", 0.01, "--no-plots", "--test-fraction", 0, "--out", tmp_path / "newton",
        )  # fmt: skip
        assert code == 0, err
        assert "CONVERGED" in out and "above optimum" in out
        report = json.loads((tmp_path / "newton" / "report.json").read_text())
        assert report["loss"] == loss and 0 <= report["gap"] < 1e-5
        assert report["gradient_norm"] < 1e-4
        params = model_file.load(tmp_path / "newton" / "model.npz").params
        assert np.abs(params.w[0] + params.w[1]).max() < 1e-3  # each is the other's opposite


def test_several_labels_at_once_are_told_one_by_one(tmp_path, capsys):
    """Never the largest of labels that do not exclude each other: of these rows many have both."""
    signal = STANDARD[:, 0] + rng.normal(size=len(X)) / 4
    both = np.column_stack([signal > -0.5, signal < 0.5]).astype(np.float32)
    np.savez(tmp_path / "labels.npz", x=STANDARD, y=both)
    code, _, err = run(
        capsys, "train", "--dataset", tmp_path / "labels.npz", "--loss", "logistic", "--solver",
        "newton", "--l2", 0.001, "--no-plots", "--out", tmp_path / "out", "--test-fraction", 0,
    )  # fmt: skip
    assert code == 0, err
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    rows = predicted(capsys, tmp_path / "out" / "model.npz", tmp_path / "labels.npz")
    got = np.array([[int(row[f"prediction_{i}"]) for i in (0, 1)] for row in rows])
    assert (got.sum(axis=1) == 2).any()
    assert np.mean(got == both) == pytest.approx(report["train"]["accuracy"], abs=1e-6)
    assert report["train"]["accuracy"] > 0.85
    assert all(0.5 <= float(row["probability_1"]) <= 1 for row in rows)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_a_model_of_one_column_predicts_as_one_logit(tmp_path, capsys, loss):
    params = jl.Linear(np.array([[1.0, 0, 0]], np.float32), np.zeros(1, np.float32))
    model_file.save(tmp_path / "model.npz", model_file.Model(params, ("no", "yes"), (), loss))
    np.save(tmp_path / "x.npy", STANDARD.astype(np.float32))
    rows = predicted(capsys, tmp_path / "model.npz", tmp_path / "x.npy")
    expected = np.where(STANDARD[:, 0] > 0, "yes", "no")
    np.testing.assert_array_equal([row["prediction"] for row in rows], expected)


def weighted_ridge(x, y, weight, l2):
    """The weights (k, d) of ridge in float64; l2 is (d,), the penalty on each column."""
    share = weight / weight.sum()
    x, y = x - share @ x, y - share @ y
    return np.linalg.solve((x.T * share) @ x + np.diag(l2), (x.T * share) @ y).T


@pytest.mark.parametrize("units", [[], ["--no-standardize"]], ids=["standard", "as is"])
def test_the_exact_solution_is_the_limit_of_sgd(tmp_path, capsys, units):
    """The same options are the same objective: a penalty weighs the same weights."""
    path = tmp_path / "data.npz"
    x = 1 + STANDARD * [0.5, 1, 1.5]
    y = np.column_stack([NUMBER, 2 - NUMBER + STANDARD[:, 2]])
    weight = rng.uniform(0.5, 2, len(X))
    np.savez(path, x=x, y=y, weight=weight)
    shared = ["--l2", 0.1, "--no-plots", "--test-fraction", 0, *units]
    _, exact, params = train_exact(tmp_path, capsys, path, *shared)
    penalty = 0.1 * (np.ones(3) if units else x.var(axis=0))
    np.testing.assert_allclose(params.w, weighted_ridge(x, y, weight, penalty), atol=1e-5)
    code, _, _ = run(
        capsys, "train", "--dataset", path, *shared, "--lr", 0.3, "--batch-size", 150,
        "--epochs", 300, "--out", tmp_path / "sgd",
    )  # fmt: skip
    assert code == 0
    limit = model_file.load(tmp_path / "sgd" / "model.npz").params
    np.testing.assert_allclose(params.w, limit.w, atol=1e-4)
    np.testing.assert_allclose(params.b, limit.b, atol=1e-4)
    sgd = json.loads((tmp_path / "sgd" / "report.json").read_text())
    assert exact["objective"] == pytest.approx(sgd["objective"], rel=1e-5)
    assert exact["train"] == pytest.approx(sgd["train"], rel=1e-4)


def test_weights_are_drawn_in_standard_units_by_both_solvers(tmp_path, capsys, monkeypatch):
    from jaxlinear.cli import plots

    drawn = []
    monkeypatch.setattr(plots, "save", lambda figure, path: None)
    monkeypatch.setattr(
        plots, "weights_by_feature", lambda params, *_, **__: drawn.append(params.w)
    )
    path = write_csv(tmp_path / "data.csv", price=NUMBER)
    arguments = ["--target", "price", "--test-fraction", 0]
    train_exact(tmp_path, capsys, path, *arguments)
    run(capsys, "train", "--dataset", path, *arguments, "--epochs", 100, "--out", tmp_path / "sgd")
    np.testing.assert_allclose(drawn[0], [3, -1, 0], atol=1e-2)
    np.testing.assert_allclose(drawn[1], [3, -1, 0], atol=1e-2)


def test_a_column_twice_is_said_and_saved(tmp_path, capsys):
    path = write_csv(tmp_path / "data.csv", copy=X[:, 1], price=NUMBER)
    out, report, params = train_exact(tmp_path, capsys, path, "--target", "price", "--no-plots")
    assert "RANK_DEFICIENT: Columns of x depend on each other" in out and "3 of 4" in out
    assert report["status"]["name"] == "RANK_DEFICIENT" and report["rank"] == 3
    assert float(params.w[1]) == pytest.approx(float(params.w[3]), rel=1e-2)
    assert report["train"]["r2"] > 0.999


def made(columns, names="abcdefgh"):
    """The text of a .csv file."""
    rows = [names[: len(columns)], *zip(*columns, strict=True)]
    return "".join(",".join(str(value) for value in row) + "\n" for row in rows)


SPREAD = 1_000_000 * np.array([3, 1, 4, 1.5, 9, 2, 6, 5, 3.5, 8, 9.5, 7, 9.25, 3.25, 2.25])
TARGETS = {  # what 15 · repeats rows hold for a target, and what is made of it
    "prices": (SPREAD.astype(int), 1, "squared_error"),
    "fractions": (SPREAD / 3e6, 1, "squared_error"),
    "ages": (np.arange(17, 92), 1, "squared_error"),
    "ages often": (np.arange(17, 92), 5, "squared_error"),
    "digits in few rows": (np.arange(15) % 10, 1, None),
    "ranks": (np.arange(15), 1, None),
    "marks that do not begin at 1": (3 + np.arange(15) % 6, 10, None),
    "a hundred that count": (np.arange(105) % 100, 10, None),
    "one number": (np.full(15, 5), 1, None),
    "names": ([f"name {i}" for i in range(15)], 1, None),
    "digits": (np.arange(15) % 10, 4, "softmax_cross_entropy"),
    "counted from 1": (1 + np.arange(15) % 3, 1, "softmax_cross_entropy"),
    "0. and 1.": (np.arange(15.0) % 2, 1, "softmax_cross_entropy"),
    "two numbers": (3 + 4 * (np.arange(15) % 2), 1, "softmax_cross_entropy"),
    "codes": (["01", "1", "2"] * 5, 1, "softmax_cross_entropy"),
    "words": (["NA", "EU", "null"] * 5, 1, "softmax_cross_entropy"),
}


@pytest.mark.parametrize("target", TARGETS)
def test_classes_or_numbers(tmp_path, target):
    """What is neither plainly asks for --loss."""
    y, repeats, loss = TARGETS[target]
    y = list(y) * repeats
    (tmp_path / "data.csv").write_text(made([np.arange(len(y)) * 0.5, y]))
    options = parser().parse_args(
        ["train", "--dataset", str(tmp_path / "data.csv"), "--target", "b", "--test-fraction", "0"]
    )
    if loss is None:
        with pytest.raises(ValueError, match=r"the target holds .* --loss"):
            gather(options)
        return
    task = gather(options)
    assert task.loss == loss
    if loss == "softmax_cross_entropy":
        values = sorted(set(y))
        text = y if isinstance(y[0], str) else [f"{value:.0f}" for value in y]
        assert [task.names[label] for label in task.train.y] == text
        assert len(task.names) == len(values)
    else:
        np.testing.assert_array_equal(task.train.y, np.float32(y))


EVERY_SOLVER = {
    "exact": ["--solver", "exact"],
    "ridge": ["--solver", "exact", "--l2", 1e-4],
    "newton": ["--solver", "newton", "--l2", 1e-4],
    "sgd": ["--epochs", 100, "--batch-size", 20],
}
NOISE = np.where(np.arange(150) % 2, np.nextafter(14.62, 20), 14.62)
# The columns beside an informative one, to train on and to test on.
BESIDE = {
    "constant": ([np.full(150, 0.1), np.full(150, 14.62)],) * 2,
    "constant up to rounding": ([NOISE, 1 / NOISE],) * 2,
    "constant, and huge or tiny": ([np.full(150, 1e30), np.full(150, 1e-30)],) * 2,
    "constant in training alone": ([np.full(150, 0.1)], [1e3 * rng.normal(size=150)]),
    "single precision": ([np.full(150, 0.1, np.float32)],) * 2,
}


@pytest.mark.parametrize("solver", EVERY_SOLVER)
def test_constant_columns_have_no_weight(tmp_path, capsys, solver):
    y = 2 * STANDARD[:, 0] + 100
    for name, (train, test) in BESIDE.items():
        arrays = [np.stack([STANDARD[:, 0].astype(c[0].dtype), *c], axis=1) for c in (train, test)]
        np.savez(tmp_path / "data.npz", x=arrays[0], y=y, x_test=arrays[1], y_test=y)
        code, _, err = run(
            capsys, "train", "--dataset", tmp_path / "data.npz", *EVERY_SOLVER[solver],
            "--no-plots", "--out", tmp_path,
        )  # fmt: skip
        assert code == 0, err
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["train"]["r2"] > 0.999 and report["test"]["r2"] > 0.999, name
        w = model_file.load(tmp_path / "model.npz").params.w
        np.testing.assert_allclose(w[0], 2, rtol=1e-3)
        assert np.abs(w[1:] * arrays[0][0, 1:]).max() < 1e-3


@pytest.mark.parametrize("solver", EVERY_SOLVER)
def test_seconds_since_1970(tmp_path, capsys, solver):
    """float32 would round them to multiples of 128; the columns and the model must not be."""
    seconds = 1_700_000_000 + np.sort(rng.integers(0, 600, 150))
    y = 0.01 * (seconds - 1_700_000_000) + STANDARD[:, 0]
    (tmp_path / "data.csv").write_text(made([seconds, STANDARD[:, 0], y]))
    np.savez(tmp_path / "whole.npz", x=np.stack([seconds, np.arange(150) % 7], 1), y=y)
    np.savez(tmp_path / "data.npz", x=np.stack([seconds, STANDARD[:, 0]], 1), y=y)
    for file in ("data.csv", "data.npz", "whole.npz"):
        target = ["--target", "c"] if file.endswith("csv") else []
        code, _, err = run(
            capsys, "train", "--dataset", tmp_path / file, *target, *EVERY_SOLVER[solver],
            "--no-plots", "--test-fraction", 0, "--out", tmp_path,
        )  # fmt: skip
        assert code == 0, err
        rows = predicted(capsys, tmp_path / "model.npz", tmp_path / file)
        got = np.array([float(row["prediction"]) for row in rows])
        if file == "whole.npz":
            assert np.corrcoef(got, y)[0, 1] > 0.8
        else:
            np.testing.assert_allclose(got, y, atol=0.01)


def test_a_row_of_weight_0_has_no_say_in_the_units(tmp_path, capsys):
    weight = np.ones(150)
    weight[0] = 0
    for far in (1.0, 1e9):
        x = STANDARD.copy()
        x[0] = far
        np.savez(tmp_path / "data.npz", x=x, y=NUMBER, weight=weight)
        _, _, params = train_exact(
            tmp_path, capsys, tmp_path / "data.npz", "--l2", 0.1, "--test-fraction", 0
        )
        x, y = STANDARD[1:], NUMBER[1:]
        expected = weighted_ridge(x, y, weight[1:], 0.1 * x.var(axis=0))
        np.testing.assert_allclose(params.w, expected, atol=1e-6)


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
def test_labels_that_do_not_exclude_each_other(tmp_path, capsys, loss):
    """Every output is a decision of its own: no argmax, no softmax."""
    y = np.stack([STANDARD[:, 0] > 0, STANDARD[:, 1] > 0.5, np.full(150, True)], axis=1)
    y = np.where(y, 1, -1 if loss == "hinge" else 0)
    np.savez(tmp_path / "data.npz", x=STANDARD, y=y)
    code, _, err = run(
        capsys, "train", "--dataset", tmp_path / "data.npz", "--loss", loss, "--epochs", 50,
        "--no-plots", "--test-fraction", 0, "--out", tmp_path,
    )  # fmt: skip
    assert code == 0, err
    rows = predicted(capsys, tmp_path / "model.npz", tmp_path / "data.npz")
    got = np.array([[int(row[f"prediction_{i}"]) for i in range(3)] for row in rows])
    right = np.mean(got == (y > 0))
    assert right > 0.9
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["train"]["accuracy"] == pytest.approx(right)
    score = np.array([float(rows[0][f"{_SCORE[loss]}_{i}"]) for i in range(3)])
    o = jl.predict(model_file.load(tmp_path / "model.npz").params, STANDARD[:1])[0]
    expected = 1 / (1 + np.exp(-np.abs(o))) if loss == "logistic" else np.abs(o)
    np.testing.assert_allclose(score, expected, rtol=1e-4)


_SCORE = {"logistic": "probability", "hinge": "margin"}


def test_ctrl_c_is_heard_during_an_exact_fit(tmp_path, monkeypatch, capsys):
    """The fit holds another thread: the main one waits where a signal reaches it."""
    ended = threading.Event()
    codes, threads = [], []

    def fit(x, y, weight):
        threads.append(threading.current_thread())
        _thread.interrupt_main()
        assert ended.wait(timeout=20)

    def leave(code):
        codes.append(code)
        ended.set()

    monkeypatch.setattr(jl, "least_squares", fit)
    monkeypatch.setattr(os, "_exit", leave)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # xdist ignores Ctrl-C
    try:
        path = write_csv(tmp_path / "data.csv", price=NUMBER)
        out = tmp_path / "out"
        _, _, err = run(
            capsys, "train", "--dataset", path, "--target", "price", "--solver", "exact",
            "--out", out,
        )  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, before)
    assert threads[0] is not threading.main_thread()
    assert codes == [130] and "interrupted; nothing was saved" in err
    assert not list(out.iterdir())


EXACT = ["train", "--dataset", "{numbers}", "--target", "price", "--solver", "exact"]
WRONG = [
    ([*EXACT, "--lr", "0.1"], "got --lr with --solver exact"),
    (
        [*EXACT, "--patience", "3", "--momentum", "0", "--batch-size", "256", "--epochs", "10"],
        "got --epochs, --batch-size, --momentum, --patience with --solver exact",
    ),
    ([*EXACT, "--loss", "huber"], "--loss huber needs --solver newton or sgd"),
    ([*EXACT, "--loss", "absolute"], "--loss absolute needs --solver sgd"),
    ([*EXACT, "--solver", "newton", "--loss", "absolute"], "has kinks, and needs --solver sgd"),
    ([*EXACT, "--solver", "newton", "--lr", "1"], "got --lr with --solver newton"),
    (["train", "--dataset", "{csv}", "--target", "answer", "--solver", "newton"], "separated"),
    ([*EXACT, "--l2", "-1"], "l2 is -1.0; expected"),
    (
        ["train", "--dataset", "{csv}", "--target", "answer", "--solver", "exact"],
        "softmax_cross_entropy needs --solver",
    ),
    (["train", "--solver", "exact"], "--loss softmax_cross_entropy needs --solver newton or sgd"),
    (["train", "--dataset", "absent.csv"], "absent.csv does not exist"),
    (["train", "--dataset", "{csv}"], "expected the name of one column as target"),
    (["train", "--dataset", "{csv}", "--target", "answer", "--loss", "huber"], "needs numbers"),
    (["train", "--dataset", "{csv}", "--target", "answer", "--test-fraction", "1.5"], r"[0, 1)"),
    (["train", "--dataset", "{numbers}", "--target", "price", "--lr", "1e9"], "DIVERGED"),
    ([*EXACT, "--dataset", "{latin}"], "encoded as UTF-8"),
    ([*EXACT, "--dataset", "{seconds}", "--no-standardize"], "column 'third' runs from"),
    ([*EXACT, "--dataset", "{late}"], "the target runs from 1700000000 to"),
    (["train", "--dataset", "{ranks}", "--target", "rank"], "holds 150 whole numbers in 150 rows"),
    (["train", "--target", "label"], "--target label is for files"),
    (["train", "--loss", "hinge"], "does not fit ten classes"),
    (["train", "--lr", "-1"], "lr is -1.0; expected"),
    (["train", "--lr", "nan"], "lr is nan; expected"),
    (["train", "--momentum", "1"], "momentum is 1.0; expected"),
    (["train", "--batch-size", "0"], "batch_size is 0; expected"),
    (["train", "--epochs", "0"], "epochs is 0; expected"),
    (["train", "--out", "{csv}/below"], "cannot be written"),
    (["predict", "absent.npz", "sample"], "absent.npz does not exist"),
    (["predict", "{csv}", "sample"], "is not a model"),
    (["predict", "{model}", "sample"], "x has 784 features; the parameters expect 3"),
    (["predict", "{model}", "{csv}"], "has no names"),
    (["predict", "{model}", "absent.npy"], "absent.npy does not exist"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=lambda a: "")
def test_wrong_input_is_one_line_and_an_exit_code(
    arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    paths = {
        "csv": write_csv("data.csv", answer=WORD),
        "numbers": write_csv("numbers.csv", price=NUMBER),
        "latin": write_csv("latin.csv", encoding="latin-1", straße=X[:, 0], price=NUMBER),
        "seconds": write_csv("seconds.csv", third=1_700_000_000 + X[:, 0], price=NUMBER),
        "late": write_csv("late.csv", price=1_700_000_000 + np.arange(150)),
        "ranks": write_csv("ranks.csv", rank=range(150)),
        "model": "model.npz",
    }
    model_file.save(paths["model"], model_file.Model(jl.zeros(3), loss="squared_error"))
    code, _, err = run(capsys, *[argument.format(**paths) for argument in arguments])
    last = err.strip().splitlines()[-1]
    assert code == 1 and last.startswith("jaxlinear: error: ") and message in last
    assert "Traceback" not in err
    assert not list(tmp_path.glob("jaxlinear-out/*")), "nothing is saved"


def test_fashion_mnist_without_a_network(tmp_path, capsys, monkeypatch):
    from jaxlinear.data.fashion import download

    monkeypatch.setattr(download, "URL", "http://127.0.0.1:9/")
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "train", "--dataset", "fashion_mnist", "--directory", tmp_path / "d")
    assert code == 1 and "fashion_mnist_sample" in err.strip().splitlines()[-1]


def test_every_option_has_help(capsys):
    commands = parser()._subparsers._group_actions[0].choices
    assert set(commands) == {"train", "predict", "show", "audit", "data"}
    for command in commands.values():
        assert all(action.help for action in command._actions)
    with pytest.raises(SystemExit) as exit:
        main(["train", "--help"])
    assert exit.value.code == 0 and "(default: 256)" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit:
        main(["train", "--loss", "nonsense"])
    assert exit.value.code == 2


def test_ctrl_c_in_the_middle_ends_at_once_and_saves_nothing(tmp_path):
    command = [sys.executable, "-m", "jaxlinear", "train", "--no-cache", "--epochs", "1000000"]
    process = subprocess.Popen(
        [*command, "--out", tmp_path],
        cwd=Path(__file__).parents[2],
        stderr=subprocess.PIPE,
    )
    seen = b""
    while b"1/1000000" not in seen:
        seen += process.stderr.read1()
    process.send_signal(signal.SIGINT)
    sent = time.monotonic()
    _, err = process.communicate(timeout=20)
    assert time.monotonic() - sent < 5
    assert process.returncode == 130 and b"interrupted; nothing was saved" in err
    assert b"Traceback" not in err and not list(tmp_path.iterdir())


@pytest.mark.full
def test_a_checkpoint_is_gone_on_with(tmp_path, capsys):
    """Three epochs and three more are six: the model is the same to the last bit."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(60, 3))
    np.savez(tmp_path / "data.npz", x=x, y=x @ [1, 2, 3] + 4)

    def trained(out, epochs, *arguments):
        code, printed, err = run(
            capsys, "train", "--dataset", tmp_path / "data.npz", "--epochs", epochs,
            "--batch-size", 16, "--no-plots", "--out", tmp_path / out, *arguments,
        )  # fmt: skip
        assert code == 0 and "compile time" in printed, err
        report = json.loads((tmp_path / out / "report.json").read_text())
        return model_file.load(tmp_path / out / "model.npz").params, report["history"], err

    checkpoint = ["--checkpoint", tmp_path / "run"]
    trained("first", 3, *checkpoint)
    *ended, err = trained("second", 6, *checkpoint)
    assert "6/6" in err
    *again, _ = trained("third", 6, *checkpoint)  # nothing is left to do
    *whole, _ = trained("whole", 6)
    assert len(whole[1]) == 6 and whole[1] == ended[1] == again[1]
    for params, _ in (ended, again):
        for got, expected in zip(params, whole[0], strict=True):
            np.testing.assert_array_equal(got, expected)
    code, _, err = run(
        capsys, "train", "--dataset", tmp_path / "data.npz", "--epochs", 6, "--batch-size", 15,
        "--no-plots", "--out", tmp_path / "other", *checkpoint,
    )  # fmt: skip
    assert code == 1 and "was written for batch_size = 16; expected 15" in err
