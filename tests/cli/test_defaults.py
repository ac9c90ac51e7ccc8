"""What ``jaxlinear train`` does unasked: the optimum, a chosen penalty, and scores to trust."""

import json

import numpy as np
import pytest

from jaxlinear.__main__ import main, parser
from jaxlinear.cli import model_file, penalty, scores
from jaxlinear.cli.gather import gather
from jaxlinear.cli.losses import LOSSES, has_signs, is_classifier
from jaxlinear.cli.task import Part

rng = np.random.default_rng(0)
X = rng.normal(size=(150, 6)) * 10.0 ** np.arange(-2, 4) + 5
STANDARD = (X - X.mean(0)) / X.std(0)
NUMBER = STANDARD @ [3, -1, 0, 0, 0, 0] + 3 * rng.normal(size=150)
LABEL = np.argmax(STANDARD[:, :3] + 0.7 * rng.gumbel(size=(150, 3)), axis=1)


def train(tmp_path, *arguments, plots=False, **arrays):
    """The report, the parameters, and what was printed."""
    np.savez(tmp_path / "data.npz", **arrays)
    options = [*map(str, arguments), *([] if plots else ["--no-plots"])]
    out = tmp_path / "out"
    assert (
        main(["train", "--dataset", str(tmp_path / "data.npz"), *options, "--out", str(out)]) == 0
    )
    report = json.loads((out / "report.json").read_text())
    return report, model_file.load(out / "model.npz").params


def ridge(x, y, l2):
    mean = x.mean(0)
    gram = (x - mean).T @ (x - mean) / len(x) + l2 * np.eye(x.shape[1])
    w = np.linalg.solve(gram, (x - mean).T @ (y - y.mean()) / len(x))
    return w, y.mean() - mean @ w


def test_a_table_of_numbers_is_fitted_with_the_penalty_of_the_least_held_out_error(tmp_path):
    report, params = train(tmp_path, "--test-fraction", 0, x=X, y=NUMBER, plots=True)
    errors = np.zeros(len(penalty.L2S))
    for place, l2 in enumerate(penalty.L2S):
        for row in range(150):
            rest = np.arange(150) != row
            w, b = ridge(STANDARD[rest], NUMBER[rest], l2 * 150 / 149)  # l2 of the sum of losses
            errors[place] += (STANDARD[row] @ w + b - NUMBER[row]) ** 2 / 150
    np.testing.assert_allclose(report["choice"]["scores"], errors, rtol=1e-3)
    l2 = penalty.L2S[errors.argmin()]
    assert report["hyperparameters"]["l2"] == pytest.approx(l2) and report["solver"] == "exact"
    w, _ = ridge(STANDARD, NUMBER, l2)
    np.testing.assert_allclose(params.w * X.std(0), w, atol=1e-4)
    assert (tmp_path / "out" / "penalty.png").stat().st_size > 10_000


def test_classes_are_fitted_to_the_optimum_and_scored_on_rows_that_chose_nothing(tmp_path, capsys):
    known = {"x": X[:120], "y": LABEL[:120], "x_test": X[120:]}
    report, params = train(tmp_path, **known, y_test=LABEL[120:])
    printed = capsys.readouterr().out
    assert report["solver"] == "newton" and report["status"]["name"] == "CONVERGED"
    assert "by 5-fold cross-validation among 15" in printed and "95 % interval" in printed
    _, other = train(tmp_path, **known, y_test=(LABEL[120:] + 1) % 3)
    np.testing.assert_array_equal(params.w, other.w)

    o = X[120:] @ params.w.T + params.b
    accuracy = np.mean(o.argmax(1) == LABEL[120:])
    assert report["test"]["accuracy"] == pytest.approx(accuracy)
    low, high = report["test_interval"]["accuracy"]
    assert low < accuracy < high and high - low == pytest.approx(
        3.92 * np.sqrt(accuracy * (1 - accuracy) / 30), rel=0.3
    )
    share = np.bincount(LABEL[:120]) / 120
    trivial = report["trivial"]["test"]
    assert trivial["accuracy"] == pytest.approx(np.mean(LABEL[120:] == share.argmax()))
    assert trivial["loss"] == pytest.approx(-np.mean(np.log(share[LABEL[120:]])))
    assert trivial["roc_auc"] == 0.5


def test_patience_asks_rows_of_the_training_set(tmp_path):
    known = {"x": X[:120], "y": NUMBER[:120], "x_test": X[120:]}
    options = ["--patience", 3, "--lr", 0.01]
    report, params = train(tmp_path, *options, **known, y_test=NUMBER[120:])
    assert report["examples"] == {"train": 96, "validation": 24, "test": 30}
    _, other = train(tmp_path, *options, **known, y_test=-NUMBER[120:])
    np.testing.assert_array_equal(params.w, other.w)


def test_options_of_sgd_ask_for_it_and_small_files_get_their_steps(tmp_path):
    report, _ = train(tmp_path, "--lr", 0.2, x=X, y=LABEL)
    assert report["solver"] == "sgd" and report["hyperparameters"]["epochs"] == 1000
    assert report["hyperparameters"]["l2"] == 0 and report["test"]["accuracy"] > 0.7


def test_a_model_that_is_not_trained_is_told(tmp_path, capsys):
    report, _ = train(tmp_path, "--epochs", 10, "--lr", 0.01, x=X, y=LABEL)
    assert (
        "NOT AT THE OPTIMUM: the objective still falls, in the last 1 of 10"
        in capsys.readouterr().out
    )
    fall = -np.diff(report["history"])
    assert fall[-1] > 0.05 * fall.sum()


def test_a_model_that_is_worth_nothing_is_told(tmp_path, capsys):
    noise = np.random.default_rng(3).integers(0, 2, 150)
    train(tmp_path, "--solver", "newton", x=X, y=noise)
    assert "NO BETTER than a model without features, which predicts always" in (
        capsys.readouterr().out
    )


def test_every_class_has_its_share_of_the_test_rows(tmp_path):
    rare = np.where(np.arange(150) < 10, 2, LABEL % 2)
    np.savez(tmp_path / "data.npz", x=X, y=rare)
    for seed in range(3):
        arguments = ["train", "--dataset", str(tmp_path / "data.npz"), "--seed", str(seed)]
        task = gather(parser().parse_args(arguments))
        parts = np.bincount(task.test.y), np.bincount(task.train.y)
        np.testing.assert_array_equal(sum(parts), np.bincount(rare))
        assert np.abs(parts[0] - 0.2 * np.bincount(rare)).max() < 1
        assert len(task.test.x) == 30


def test_what_has_no_value_is_null_and_a_dash(tmp_path, capsys):
    """The ROC AUC of test rows that are all of one class."""
    report, _ = train(
        tmp_path, "--lr", 0.1, x=X[:120], y=LABEL[:120] % 2, x_test=X[:9], y_test=np.zeros(9, int)
    )
    assert report["test"]["roc_auc"] is None and report["test_interval"]["roc_auc"] == [None] * 2
    line = next(line for line in capsys.readouterr().out.splitlines() if "roc auc" in line)
    assert line.split()[-5:] == ["-", "-", "…", "-", "-"]


TARGETS = {
    "softmax_cross_entropy": LABEL,
    "logistic": (LABEL > 0).astype(int),
    "poisson": rng.poisson(3.0, 150),
    "gamma": rng.gamma(2.0, size=150),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_the_trivial_model_is_the_best_constant(loss):
    """No other constant has a lower mean loss."""
    y = TARGETS.get(loss, np.sign(NUMBER) if has_signs(loss) else NUMBER)
    weight = rng.random(150)
    batch = Part(X, y, weight)
    outputs = (3,) if loss == "softmax_cross_entropy" else ()
    baseline = scores.trivial(loss, batch, ("a", "b", "c")[: len(outputs) * 3], outputs)
    assert baseline.o.shape == outputs
    least = scores.score(loss, scores.constant(baseline, batch), batch).value
    for step in (-0.3, -0.05, 0.05, 0.3):
        moved = baseline._replace(o=baseline.o + step * np.eye(3)[0][: max(1, baseline.o.size)])
        moved = moved._replace(o=moved.o.reshape(outputs))
        other = scores.score(loss, scores.constant(moved, batch), batch).value
        assert other["loss"] >= least["loss"] * (1 - 1e-4)
    if not is_classifier(loss) and "r2" in least:
        assert least["r2"] <= 1e-6


def test_of_very_many_rows_runs_of_neighbours_are_drawn_and_intervals_stay_what_they_are():
    n = 5 * scores._DRAWN + 7
    y = rng.normal(size=n)
    part = Part(np.zeros((n, 1)), y)
    low, high = scores.score("squared_error", np.zeros(n), part, seed=0).interval["loss"]
    mean, error = np.mean(y**2) / 2, np.std(y**2) / 2 / np.sqrt(n)
    np.testing.assert_allclose([low - mean, high - mean], [-1.96 * error, 1.96 * error], rtol=0.3)
