"""The command line: what it writes and prints, and one line for whatever is wrong."""

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import jaxlinear as jl
from jaxlinear import model_file
from jaxlinear.__main__ import main, parser

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 3)) * [1.0, 100.0, 1e-3] + [0.0, 1000.0, 5.0]
STANDARD = (X - X.mean(0)) / X.std(0)
NUMBER = 3 * STANDARD[:, 0] - STANDARD[:, 1] + 7
WORD = np.where(STANDARD @ [1, 2, -1] > 0, "yes", "no")


def write_csv(path, **target):
    columns = {"first": X[:, 0], "second": X[:, 1], "third": X[:, 2], **target}
    with open(path, "w", newline="") as file:
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
    pictures = {"learning_curves", "weights", "examples", "confusion_matrix"}
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


WRONG = [
    (["train", "--dataset", "absent.csv"], "absent.csv does not exist"),
    (["train", "--dataset", "{csv}"], "expected the name of one column as target"),
    (["train", "--dataset", "{csv}", "--target", "answer", "--loss", "huber"], "needs numbers"),
    (["train", "--dataset", "{csv}", "--target", "answer", "--test-fraction", "1.5"], r"[0, 1)"),
    (["train", "--dataset", "{numbers}", "--target", "price", "--lr", "1e9"], "DIVERGED"),
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
        "model": "model.npz",
    }
    model_file.save(paths["model"], model_file.Model(jl.zeros(3), loss="squared_error"))
    code, _, err = run(capsys, *[argument.format(**paths) for argument in arguments])
    last = err.strip().splitlines()[-1]
    assert code == 1 and last.startswith("jaxlinear: error: ") and message in last
    assert "Traceback" not in err
    assert not list(tmp_path.glob("jaxlinear-out/*")), "nothing is saved"


def test_fashion_mnist_without_a_network(tmp_path, capsys, monkeypatch):
    from jaxlinear.data import fashion_mnist_download

    monkeypatch.setattr(fashion_mnist_download, "URL", "http://127.0.0.1:9/")
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "train", "--dataset", "fashion_mnist", "--directory", tmp_path / "d")
    assert code == 1 and "fashion_mnist_sample" in err.strip().splitlines()[-1]


def test_every_option_has_help(capsys):
    commands = parser()._subparsers._group_actions[0].choices
    assert set(commands) == {"train", "predict", "data"}
    for command in commands.values():
        assert all(action.help for action in command._actions)
    with pytest.raises(SystemExit) as exit:
        main(["train", "--help"])
    assert exit.value.code == 0 and "(default: 256)" in capsys.readouterr().out
    with pytest.raises(SystemExit) as exit:
        main(["train", "--loss", "nonsense"])
    assert exit.value.code == 2


def test_ctrl_c_in_the_middle_ends_at_once_and_saves_nothing(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-m", "jaxlinear", "train", "--epochs", "1000000", "--out", tmp_path],
        cwd=Path(__file__).parents[1],
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
