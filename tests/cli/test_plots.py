"""The pictures hold the numbers they are given, name their axes, and become PNG files."""

import importlib
import sys

import jax.numpy as jnp
import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_rgba

import jaxlinear as jl
from jaxlinear.cli import plots
from jaxlinear.cli.plots.drawing import BLUE

NAMES = ("cat", "dog", "bird")
Y = np.array([0, 1, 2, 2, 1, 0, 2], np.int32)
PREDICTED = jnp.array([0, 2, 2, 1, 1, 0, 2], jnp.int32)
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6), np.uint8)
OUTPUTS = np.random.default_rng(1).normal(size=(7, 3)) + 2 * np.eye(3)[Y]
L2S = np.array([1.0, 0.1, 0.01])
CURVES = np.random.default_rng(2).random((40, 3)) + 1
WEIGHTS = np.array([[0.1, -3.0, 0.0], [2.0, 0.5, 0.0]], np.float32)

PICTURES = {
    "learning_curves": lambda: plots.learning_curves(
        jnp.array([3.0, 2.0]), {"loss": np.array([3.0, 2.5]), "accuracy": jnp.array([0.5, 0.6])}
    ),
    "weight_images": lambda: plots.weight_images(
        jl.Linear(jnp.ones((3, 6)), jnp.zeros(3)), NAMES, (2, 3)
    ),
    "example_grid": lambda: plots.example_grid(IMAGES, Y, PREDICTED, NAMES, (2, 3)),
    "confusion_matrix": lambda: plots.confusion_matrix(Y, PREDICTED, NAMES),
    "predictions": lambda: plots.predictions(jnp.arange(5.0), np.arange(5.0) + 0.5, "price"),
    "penalty_curve": lambda: plots.penalty_curve(L2S, np.array([2.0, 1.0, np.nan]), jnp.array(0.1)),
    "residuals": lambda: plots.residuals(jnp.arange(5.0), np.arange(5.0) + 0.5, "price"),
    "roc_curves": lambda: plots.roc_curves(OUTPUTS, Y, NAMES),
    "calibration_curve": lambda: plots.calibration_curve(OUTPUTS, Y),
    "weights_by_feature": lambda: plots.weights_by_feature(
        linear(WEIGHTS), ["a", "b", "c"], NAMES[:2]
    ),
    "weights_of_one_output": lambda: plots.weights_by_feature(
        linear(WEIGHTS[0]), ["a", "b", "c"], ["cat"]
    ),
    "weights_with_intervals": lambda: plots.weights_by_feature(
        linear(WEIGHTS[0]), ["a", "b", "c"], ["cat"], interval=(WEIGHTS[0] - 1, WEIGHTS[0] + 1)
    ),
    "many_curves": lambda: plots.many_curves(CURVES, {"lr": np.arange(40.0)}),
    "heat_map": lambda: plots.heat_map(jl.grid(lr=[0.1, 1.0], l2=[0, 1e-5]), [0.1, 0.2, np.nan, 1]),
}


def linear(w):
    return jl.Linear(jnp.asarray(w), jnp.zeros(w.shape[:-1]))


def texts(axes):
    return [text.get_text() for text in axes.texts]


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


# ------------------------------------------------------------------ every picture


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_png_file(name, tmp_path):
    path = tmp_path / f"{name}.png"
    plots.save(PICTURES[name](), path)
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n") and data.endswith(b"IEND\xaeB`\x82")
    assert len(data) > 5000


@pytest.mark.parametrize("name", sorted(set(PICTURES) - {"weight_images", "example_grid"}))
def test_axes_have_labels_and_titles(name):
    panels = [axes for axes in PICTURES[name]().axes if axes.get_label() != "<colorbar>"]
    for axes in panels:
        assert axes.get_title() and axes.get_xlabel() and axes.get_ylabel()


def test_nothing_global_is_touched(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    # To read the backend would choose one, which is what a picture must not do.
    settings = set(matplotlib.rcParams) - {"backend"}
    before = {name: matplotlib.rcParams[name] for name in settings}
    for draw in PICTURES.values():
        plots.save(draw(), tmp_path / "picture.png")
    assert {name: matplotlib.rcParams[name] for name in settings} == before
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_the_message_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "jaxlinear.cli.plots")
    for module in ("matplotlib", "matplotlib.colors"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=r'pip install "jaxlinear\[plots\]"'):
        importlib.import_module("jaxlinear.cli.plots")


# ------------------------------------------------------------------ learning curves


def test_curves_start_at_epoch_1_and_leave_out_the_nan_tail():
    history = jnp.array([3.0, jnp.nan, 1.0, jnp.nan, jnp.nan])
    figure = plots.learning_curves(history, {"loss": history + 1, "accuracy": history / 10})
    left, right = figure.axes
    for line, offset in zip(left.lines, (0, 1), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
        np.testing.assert_allclose(line.get_ydata(), [3 + offset, np.nan, 1 + offset])
    assert [text.get_text() for text in left.get_legend().get_texts()] == [
        "training objective",
        "validation loss",
    ]
    assert right.get_title() == "Validation accuracy: 10% after epoch 3"
    _, other = plots.learning_curves(history, {"accuracy": history / 10}, held_out="test").axes
    assert other.get_title() == "Test accuracy: 10% after epoch 3"


def test_one_epoch_has_a_marker_and_one_tick():
    (axes,) = plots.learning_curves(np.array([0.5])).axes
    assert axes.lines[0].get_marker() == "o" and axes.lines[0].get_markersize() > 0
    assert [tick for tick in axes.get_xticks() if 0.5 <= tick <= 1.5] == [1]


def test_every_metric_has_a_panel_accuracy_first():
    values = np.array([1.0, 0.5])
    figure = plots.learning_curves(values, {"a_metric": values, "accuracy": values, "r2": values})
    assert [axes.get_ylabel() for axes in figure.axes] == ["Loss", "Accuracy", "A_metric", "R2"]


def test_curves_of_a_real_fit(key):
    x = np.eye(4, dtype=np.float32)
    y = np.array([0, 1, 0, 1], np.int32)
    fit = jl.sgd_fit(
        jl.losses.softmax_cross_entropy,
        x,
        y,
        key=key,
        lr=0.1,
        epochs=3,
        validation=jl.Batch(x, y),
        metrics={"accuracy": jl.metrics.accuracy},
    )
    left, _ = plots.learning_curves(fit.history, fit.validation).axes
    np.testing.assert_allclose(left.lines[0].get_ydata(), fit.history)


@pytest.mark.parametrize("history", [np.full(3, np.nan), np.ones((2, 3)), np.array([])])
def test_curves_refuse_what_is_not_one_run(history):
    with pytest.raises(ValueError, match=r"training objective .* expected \(epochs,\)"):
        plots.learning_curves(history)


# ------------------------------------------------------------------ weights


@pytest.mark.parametrize("k", [None, 1, 3, 10])
def test_weight_images_share_one_symmetric_scale(k):
    w = np.random.default_rng(1).normal(size=(6,) if k is None else (k, 6)) + 1
    names = [f"class {i}" for i in range(k or 1)]
    figure = plots.weight_images(jl.Linear(w, np.zeros(w.shape[:-1])), names, (2, 3))
    images = [(axes.get_title(), axes.images[0]) for axes in figure.axes if axes.images]
    assert [title for title, _ in images] == names
    for (_, image), row in zip(images, np.atleast_2d(w), strict=True):
        np.testing.assert_array_equal(image.get_array(), row.reshape(2, 3))
        np.testing.assert_allclose(image.get_clim(), [-np.abs(w).max(), np.abs(w).max()])


def test_weight_images_of_a_model_at_zero(tmp_path):
    plots.save(plots.weight_images(jl.zeros(784, 2), ("a", "b")), tmp_path / "zero.png")


def test_bars_are_the_largest_weights_in_order():
    w = np.random.default_rng(2).normal(size=50)
    features = [f"f{i}" for i in range(50)]
    (axes,) = plots.weights_by_feature(linear(w), features, ["price"]).axes
    order = sorted(range(50), key=lambda i: -abs(w[i]))[:20]
    np.testing.assert_allclose([bar.get_width() for bar in axes.patches], w[order], rtol=1e-6)
    assert ticks(axes.yaxis) == [f"f{i}" for i in order]
    assert axes.yaxis_inverted()  # the first bar, the largest, is on top
    assert "20 largest of 50" in axes.get_title()


def test_features_with_one_name_keep_their_own_bars():
    (axes,) = plots.weights_by_feature(linear(np.array([1.0, 2.0])), ["same"] * 2, ["y"]).axes
    assert [bar.get_width() for bar in axes.patches] == [2, 1]
    assert len({bar.get_y() for bar in axes.patches}) == 2


def test_the_heat_map_is_features_by_outputs():
    axes = plots.weights_by_feature(linear(WEIGHTS), ("a", "b", "c"), NAMES[:2]).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), WEIGHTS.T[[1, 0, 2]])
    assert ticks(axes.yaxis) == ["b", "a", "c"] and ticks(axes.xaxis) == ["cat", "dog"]


def intervals(axes):
    """The ends (low, high) by the place of the feature."""
    (bars,) = (each for each in axes.collections if len(each.get_paths()[0].vertices) == 2)
    return {each[0, 1]: tuple(each[:, 0]) for each in (p.vertices for p in bars.get_paths())}


def test_intervals_are_bars_from_end_to_end():
    w = np.array([1.0, -3.0, 0.5, 2.0])
    low, high = jnp.array([0.5, -4.0, -1.0, jnp.nan]), jnp.array([1.5, -2.0, 4.0, 3.0])
    figure = plots.weights_by_feature(linear(w), list("abcd"), ["y"], interval=(low, high))
    (axes,) = figure.axes
    assert intervals(axes) == {0: (-4, -2), 2: (0.5, 1.5), 3: (-1, 4)}  # b, a, c; d has none
    points = axes.collections[-1]
    np.testing.assert_allclose(points.get_offsets(), [[-3, 0], [2, 1], [1, 2], [0.5, 3]])
    colors = [plots.ORANGE, plots.GREY, BLUE, plots.GREY]
    np.testing.assert_allclose(points.get_facecolors(), [to_rgba(color) for color in colors])
    assert ticks(axes.yaxis) == list("bdac") and axes.yaxis_inverted()
    assert "all features; 1 without one" in figure.get_suptitle()


def test_every_output_has_a_panel_of_its_intervals():
    w = np.random.default_rng(3).normal(size=(6, 50))
    names, features = [f"k{i}" for i in range(6)], [f"f{i}" for i in range(50)]
    figure = plots.weights_by_feature(linear(w), features, names, interval=(w - 1, w + 2))
    assert "the 20 largest of 50" in figure.get_suptitle()
    largest = np.argsort(-np.abs(w).max(axis=0), kind="stable")[:20]
    panels = [axes for axes in figure.axes if axes.axison]
    for axes, weights, name in zip(panels, w[:, largest], names, strict=True):
        assert axes.get_title() == name and len(intervals(axes)) == 20
        np.testing.assert_allclose(intervals(axes)[7], weights[7] + np.array([-1, 2]), rtol=1e-6)
    assert ticks(panels[0].yaxis) == [f"f{i}" for i in largest]


@pytest.mark.parametrize(
    ("interval", "message"),
    [
        ((WEIGHTS, WEIGHTS[:, :2]), r"\(2, 3\) and \(2, 2\); expected \(2, 3\) twice"),
        ((WEIGHTS, WEIGHTS - 1), r"interval has 6 weights whose low is above their high"),
        (WEIGHTS[0], r"interval is a ndarray; expected two arrays, \(low, high\)"),
        (0.95, r"interval is a float; expected two arrays"),
    ],
)
def test_intervals_of_another_shape_are_refused(interval, message):
    with pytest.raises(ValueError, match=message):
        plots.weights_by_feature(linear(WEIGHTS), list("abc"), NAMES[:2], interval=interval)


# ------------------------------------------------------------------ classes


@pytest.mark.parametrize(("n", "rows", "columns"), [(7, 4, 8), (7, 2, 3), (1, 4, 8), (5, 2, 3)])
def test_exactly_the_mistakes_are_marked(n, rows, columns):
    y, predicted = Y[:n], np.asarray(PREDICTED)[:n]
    figure = plots.example_grid(IMAGES[:n], y, predicted, NAMES, (2, 3), rows, columns)
    panels = [axes for axes in figure.axes if axes.images]
    shown = min(n, rows * columns)
    assert len(panels) == shown
    for axes, true, guess in zip(panels, y, predicted, strict=False):
        mark, color = ("✗", plots.ORANGE) if true != guess else ("✓", plots.GREY)
        assert axes.get_title() == NAMES[true]
        assert axes.get_xlabel() == f"{mark} {NAMES[guess]}"
        assert axes.xaxis.label.get_color() == color
        assert all(spine.get_edgecolor() == to_rgba(color) for spine in axes.spines.values())
    wrong = int(np.sum(y[:shown] != predicted[:shown]))
    assert figure.get_suptitle().startswith(f"{wrong} of {shown} wrong")


def test_confusion_counts_are_those_of_numpy():
    axes = plots.confusion_matrix(jnp.asarray(Y), PREDICTED, NAMES).axes[0]
    expected = np.zeros((3, 3), int)
    np.add.at(expected, (Y, np.asarray(PREDICTED)), 1)
    np.testing.assert_array_equal(np.reshape(np.array(texts(axes), int), (3, 3)), expected)
    fractions = expected / expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(axes.images[0].get_array(), fractions)
    assert axes.get_ylabel() == "True class" and ticks(axes.yaxis) == list(NAMES)
    assert axes.get_xlabel() == "Predicted class" and ticks(axes.xaxis) == list(NAMES)
    assert axes.get_title() == "Accuracy 71.4% of 7 examples"


def test_a_class_without_examples_is_an_empty_row():
    axes = plots.confusion_matrix(np.array([0, 0]), np.array([0, 2]), NAMES).axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array()[1:], np.zeros((2, 3)))


@pytest.mark.parametrize(("k", "numbers"), [(20, 400), (30, 0)])
def test_many_classes_have_colours_alone(k, numbers):
    labels = np.arange(k)
    axes = plots.confusion_matrix(labels, labels, [f"class {i}" for i in labels]).axes[0]
    assert len(axes.texts) == numbers


@pytest.mark.parametrize(
    ("y", "predicted", "names", "message"),
    [
        (Y, np.full(7, -1), NAMES, r"predicted is int.* from 0 to 2"),
        (Y, PREDICTED, NAMES[:2], r"y is int32 .* from 0 to 1"),
        (Y, PREDICTED[:3], NAMES, r"predicted .* expected 7 integer labels"),
        (Y[:0], PREDICTED[:0], NAMES, r"y is int32 of shape \(0,\)"),
        (Y.astype(float), PREDICTED, NAMES, r"y is float64"),
        (Y, PREDICTED, "cat", r"names is a str of 3; expected a list of 3"),
    ],
)
def test_labels_without_a_name_are_refused(y, predicted, names, message):
    with pytest.raises(ValueError, match=message):
        plots.confusion_matrix(y, predicted, names)


def test_images_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"x is \(7, 6\); expected \(n, 784\)"):
        plots.example_grid(IMAGES, Y, PREDICTED, NAMES)


def test_names_are_shown_as_they_are(tmp_path):
    figure = plots.confusion_matrix(Y, PREDICTED, ["$1 to $2", r"100 % \x$", "x" * 60])
    assert ticks(figure.axes[0].yaxis)[2] == "x" * 23 + "…"
    plots.save(figure, tmp_path / "names.png")  # a formula would not parse


# ------------------------------------------------------------------ regression


def test_predictions_lie_around_the_diagonal():
    y = np.array([0.0, 1.0, 2.0, 5.0])
    predicted = np.array([0.5, 1.0, 1.5, 6.0])
    (axes,) = plots.predictions(y, jnp.asarray(predicted)).axes
    np.testing.assert_allclose(axes.collections[0].get_offsets(), np.stack([y, predicted], 1))
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[0, 0], [6, 6]])
    r2 = 1 - np.sum((y - predicted) ** 2) / np.sum((y - y.mean()) ** 2)
    assert axes.get_title() == f"R² = {r2:.3f} on 4 examples"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("True target", "Predicted target")


@pytest.mark.parametrize("shape", [(3, 1), (2,), (3, 3)])
def test_predictions_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"expected \(n,\) twice"):
        plots.predictions(np.ones(3), np.ones(shape))


def test_residuals_are_what_the_predictions_leave():
    y, predicted = np.arange(10.0), 2 * np.arange(10.0)
    (axes,) = plots.residuals(y, jnp.asarray(predicted), "price").axes
    offsets = axes.collections[0].get_offsets()
    np.testing.assert_allclose(offsets, np.stack([predicted, y - predicted], 1))
    means = axes.lines[1].get_xydata()  # of two parts of five
    np.testing.assert_allclose(means, [[4, -2], [14, -7]])
    assert f"root mean square {np.sqrt(np.mean((y - predicted) ** 2)):.4g}" in axes.get_title()
    assert axes.get_xlabel() == "Predicted price"


# ------------------------------------------------------------------ ranks and probabilities


def test_a_curve_for_every_class_with_its_area():
    (axes,) = plots.roc_curves(OUTPUTS, Y, NAMES).axes
    assert len(axes.lines) == 4  # and chance
    p = np.exp(OUTPUTS) / np.exp(OUTPUTS).sum(axis=1, keepdims=True)
    names = axes.get_legend_handles_labels()[1]
    for j, line in enumerate(axes.lines[:3]):
        true = np.equal(Y, j)
        pairs = p[true, j][:, None] - p[~true, j][None]
        area = np.mean((pairs > 0) + 0.5 * (pairs == 0))
        np.testing.assert_allclose(np.trapezoid(*line.get_xydata().T[::-1]), area, rtol=1e-5)
        assert names[j] == f"{NAMES[j]}, area {area:.3f}"


def test_no_two_curves_of_ten_classes_look_alike():
    o = np.random.default_rng(0).normal(size=(40, 10))
    (axes,) = plots.roc_curves(o, np.arange(40) % 10, [f"class {j}" for j in range(10)]).axes
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == len(axes.lines) == 11


def test_of_many_points_some_are_drawn_and_the_farthest():
    """The title and the means are of all."""
    predicted = np.random.default_rng(0).normal(size=30_000)
    y = predicted + 0.1
    y[12_345] += 7
    for draw in (plots.predictions, plots.residuals):
        (axes,) = draw(y, predicted).axes
        points = np.asarray(axes.collections[0].get_offsets())
        assert 20_000 <= len(points) <= 20_100 and "30,000 examples" in axes.get_title()
        farthest = [y[12_345], predicted[12_345]]
        if draw is plots.residuals:
            farthest = [predicted[12_345], y[12_345] - predicted[12_345]]
        assert (np.abs(points - farthest).max(axis=1) < 1e-9).any()


@pytest.mark.parametrize("o", [OUTPUTS[:, 0], np.stack([0 * Y, OUTPUTS[:, 0]], axis=1)])
def test_two_classes_have_one_curve(o):
    true = (Y == 0).astype(int)
    (axes,) = plots.roc_curves(o, true, ("no", "yes")).axes
    labels = axes.get_legend_handles_labels()[1]
    assert len(labels) == 2 and labels[0].startswith("yes, area")
    curve = plots.calibration_curve(o, true, bins=2).axes[0].lines[1].get_xydata()
    p = 1 / (1 + np.exp(-OUTPUTS[:, 0]))
    expected = [[p[side].mean(), true[side].mean()] for side in (p <= 0.5, p > 0.5)]
    np.testing.assert_allclose(curve, expected, rtol=1e-5)


def test_bars_count_the_examples_of_every_probability():
    above, below = plots.calibration_curve(OUTPUTS, Y, bins=5).axes
    assert sum(bar.get_height() for bar in below.patches) == len(Y)
    assert below.get_xlabel() == "Predicted probability" and "of 7 examples" in above.get_title()


@pytest.mark.parametrize(
    ("scores", "chosen", "title"),
    [
        ([2.0, 1.0, 3.0], 0.1, "Chosen: l2 = 0.1"),
        ([np.nan, 1.0, np.nan], np.float32(0.1), "Chosen: l2 = 0.1"),
        ([[2.0, 3.0], [1.0, 2.0], [3.0, 1.0]], [0.1, 0.01], "Chosen for every label"),
    ],
)
def test_the_choice_is_marked_on_the_curve_of_penalties(scores, chosen, title):
    (axes,) = plots.penalty_curve(L2S, scores, chosen).axes
    marks = [line.get_xydata()[0] for line in axes.lines if len(line.get_xydata()) == 1]
    np.testing.assert_allclose(marks, [[l2, 1.0] for l2 in np.ravel(chosen)], rtol=1e-6)
    assert axes.get_title() == title
