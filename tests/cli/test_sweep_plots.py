"""Pictures of sweeps: the numbers in them, what is best, and what is left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import LogNorm

import jaxlinear as jl
from jaxlinear.cli import plots
from jaxlinear.cli.plots import hypers as words

rng = np.random.default_rng(0)
CURVES = 1 + rng.random((40, 5))
LR = np.linspace(0.1, 4, 40).astype(np.float32)


def legend(figure):
    return [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]


def line(figure, start):
    """The numbers of the line whose label starts so."""
    (axes,) = figure.axes
    return next(each for each in axes.lines if each.get_label().startswith(start)).get_ydata()


def ticks(axis):
    return [text.get_text() for text in axis.get_ticklabels()]


# ------------------------------------------------------------------ curves


def test_bands_are_quantiles_and_the_best_is_named():
    figure = plots.many_curves(CURVES, {"lr": LR, "l2": np.zeros(40)})
    (axes,) = figure.axes
    outer, inner = (each.get_paths()[0].vertices for each in axes.collections)
    for band, ends in ((outer, (0.05, 0.95)), (inner, (0.25, 0.75))):
        for epoch in range(5):
            drawn = band[band[:, 0] == epoch + 1, 1]
            expected = np.quantile(CURVES[:, epoch], ends)
            np.testing.assert_allclose([drawn.min(), drawn.max()], expected)
    np.testing.assert_allclose(line(figure, "median"), np.median(CURVES, axis=0))
    best = CURVES[:, -1].argmin()
    np.testing.assert_array_equal(line(figure, "best"), CURVES[best])
    assert legend(figure) == [
        "5 to 95 % of 40 models",
        "25 to 75 %",
        "median",
        f"best at the end, {CURVES[best, -1]:.3g}: lr = {LR[best]:.3g}",
    ]
    assert axes.get_title() == "Training objective of 40 models"
    assert axes.get_yscale() == "linear"


def test_models_that_diverged_are_left_out_and_counted():
    curves = CURVES.copy()
    curves[3, 2:] = np.nan
    curves[7, 1] = np.inf
    curves[9] = -np.inf
    figure = plots.many_curves(jnp.asarray(curves))
    kept = np.delete(np.float32(curves), [3, 7, 9], axis=0)
    np.testing.assert_allclose(line(figure, "median"), np.median(kept, axis=0))
    np.testing.assert_array_equal(line(figure, "best"), kept[kept[:, -1].argmin()])
    assert legend(figure)[-1] == "3 of 40 diverged: left out"
    model = np.flatnonzero(curves[:, -1] == np.nanmin(np.where(np.isinf(curves), 9, curves)[:, -1]))
    assert legend(figure)[-2].endswith(f": model {model[0]}")


def test_few_models_are_a_line_each():
    figure = plots.many_curves(CURVES[:4], LR[:4])
    (axes,) = figure.axes
    assert not axes.collections and len(axes.lines) == 5
    for drawn, curve in zip(axes.lines[:4], CURVES[:4], strict=True):
        np.testing.assert_array_equal(drawn.get_ydata(), curve)
    assert legend(figure)[0] == "each of 4" and "hyper = " in legend(figure)[1]


def test_nothing_is_left_to_draw(tmp_path):
    figure = plots.many_curves(np.full((12, 3), np.nan), {"lr": LR[:12]})
    assert legend(figure) == ["12 of 12 diverged: left out"] and not figure.axes[0].collections
    plots.save(figure, tmp_path / "nothing.png")


@pytest.mark.parametrize("models", [1, 40])
def test_one_epoch_can_be_seen(models):
    figure = plots.many_curves(CURVES[:models, :1])
    (axes,) = figure.axes
    assert axes.lines[-1].get_marker() == "o"
    assert all(np.ptp(each.get_paths()[0].vertices[:, 0]) > 0 for each in axes.collections)
    assert axes.get_title().endswith("40 models" if models > 1 else "of 1 model")


@pytest.mark.parametrize(("factor", "scale"), [(1e4, "log"), (-1e4, "linear"), (2, "linear")])
def test_decades_have_a_logarithmic_axis(factor, scale):
    curves = CURVES.copy()
    curves[:8] *= factor
    assert plots.many_curves(curves).axes[0].get_yscale() == scale


def test_one_model_far_away_does_not_change_the_axis():
    curves = CURVES.copy()
    curves[0] *= 1e6
    assert plots.many_curves(curves).axes[0].get_yscale() == "linear"


@pytest.fixture(scope="module")
def swept():
    """Rates of which some diverge, and patience that ends some runs early."""
    x = rng.normal(size=(32, 3)).astype(np.float32)
    y = x @ np.float32([1, 2, 3])
    held_out = jl.Batch(-x, y)  # the better the fit, the worse: patience runs out
    hypers = jl.grid(
        lr=[1e-6, 0.1, 1e5], momentum=[0.0, 0.5], key=jax.random.split(jax.random.key(0), 2)
    )

    def run(hyper):
        return jl.sgd_fit(
            jl.losses.squared_error, x, y, batch_size=8, epochs=12, patience=3,
            validation=held_out, metrics={"r2": jl.metrics.r2}, **hyper
        )  # fmt: skip

    return hypers, jl.sweep(run, hypers)


def test_a_sweep_is_drawn_as_it_is(swept):
    hypers, fits = swept
    diverged = np.asarray(fits.report.status) == jl.Status.DIVERGED
    history = np.asarray(fits.history)
    assert diverged.sum() == 4 and np.isnan(history[~diverged, -1]).any()
    last = np.array([curve[~np.isnan(curve)][-1] for curve in history])
    best = np.argmin(np.where(diverged, np.inf, last))
    figure = plots.many_curves(fits, hypers)
    assert legend(figure)[-1] == "4 of 12 diverged: left out"
    assert f"lr = 0.1, momentum = {words.shown(hypers['momentum'][best])}" in legend(figure)[-2]
    drawn = line(figure, "best")
    before = ~np.isnan(history[best])
    np.testing.assert_allclose(drawn[before], history[best][before])
    assert (drawn[~before] == last[best]).all() and len(drawn) == 12
    r2 = plots.many_curves(fits, metric="r2")
    assert r2.axes[0].get_title() == "Validation r2 of 12 models"
    assert line(r2, "best")[-1] == max(line(r2, "each")[-1], line(r2, "best")[-1])


def test_curves_refuse_what_are_none(swept):
    _, fits = swept
    first = jax.tree.map(lambda leaf: leaf[0], fits)
    calls = {
        r"fits.history has shape \(12,\); expected \(models, epochs\).* learning_curves": (first,),
        r"fits.history has shape \(\); expected": (fits._replace(history=None),),
        r"fits has shape \(0, 3\)": (np.ones((0, 3)),),
        r"hypers has lr of shape \(40,\); expected a leading axis of the 12": (fits, {"lr": LR}),
    }
    for message, call in calls.items():
        with pytest.raises(ValueError, match=message):
            plots.many_curves(*call)
    with pytest.raises(ValueError, match=r"metric is 'f1'; expected one of .*\['loss', 'r2'\]"):
        plots.many_curves(fits, metric="f1")
    with pytest.raises(ValueError, match=r"best is None, of 'height'; expected 'least' or"):
        plots.many_curves(CURVES, metric="height")


# ------------------------------------------------------------------ heat maps

GRID = jl.grid(lr=[1.0, 0.1, 0.01], l2=[0, 1e-5])
SCORES = np.array([0.3, 0.4, 0.2, np.nan, 0.7, 0.6])  # lr, then l2


def test_cells_are_scores_at_the_values_as_given():
    figure = plots.heat_map(GRID, jnp.asarray(SCORES), name="Held-out error")
    axes, bar = figure.axes
    expected = [[0.7, 0.2, 0.3], [0.6, np.nan, 0.4]]  # up and to the right they grow
    np.testing.assert_allclose(axes.images[0].get_array().filled(np.nan), expected, rtol=1e-6)
    assert ticks(axes.xaxis) == ["0.01", "0.1", "1"] and ticks(axes.yaxis) == ["0", "1e-5"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("lr", "l2")
    assert bar.get_ylabel() == "Held-out error"
    assert (
        axes.get_title().replace("\xa0", " ").replace("\n", " ")
        == "Held-out error 0.2 at lr = 0.1, l2 = 0"
    )
    assert axes.patches[0].get_xy() == (0.5, -0.5)
    assert legend(figure) == ["the best", "no finite score: 1 of 6 cells"]
    assert axes.patch.get_hatch() and len(axes.texts) == 5


def test_the_greatest_may_be_the_best():
    axes = plots.heat_map(GRID, SCORES, name="Accuracy").axes[0]
    assert axes.patches[0].get_xy() == (-0.5, -0.5) and axes.images[0].cmap.name == "viridis"
    assert "0.7" in axes.get_title()
    axes = plots.heat_map(GRID, SCORES, name="height", best="least").axes[0]
    assert axes.patches[0].get_xy() == (0.5, -0.5) and axes.images[0].cmap.name == "viridis_r"


def test_others_are_reduced_to_their_best_and_named():
    keys = jax.random.split(jax.random.key(0), 4)
    hypers = jl.grid(lr=[0.1, 1.0], key=keys, one=[5], l2=[0.0, 1.0, 2.0], on=[False, True])
    scores = rng.random(48)
    scores[::7] = np.nan
    shaped = scores.reshape(2, 4, 3, 2)  # lr, key, l2, on
    axes, bar = plots.heat_map(hypers, scores).axes
    expected = np.nanmin(shaped, axis=(1, 3)).T
    np.testing.assert_allclose(axes.images[0].get_array(), expected)
    assert bar.get_ylabel().replace("\n", " ") == "Score, the best over key and on"
    assert "one" not in axes.get_title()
    axes = plots.heat_map(hypers, scores, axes=("on", "lr")).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), np.nanmin(shaped, axis=(1, 2)))


def test_no_score_is_finite(tmp_path):
    figure = plots.heat_map(GRID, np.full(6, np.inf), name="Loss")
    (axes,) = figure.axes
    assert axes.get_title() == "Loss: no model has a finite one" and not axes.images
    assert legend(figure) == ["no finite score: 6 of 6 cells"]
    plots.save(figure, tmp_path / "none.png")


def test_one_value_of_a_hyper_parameter_is_a_row():
    axes = plots.heat_map(jl.grid(lr=[0.1], l2=[0, 1e-3, 1e-2]), [3, 1, 2]).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("l2", "lr")
    np.testing.assert_array_equal(axes.images[0].get_array(), [[3, 1, 2]])
    assert len(plots.heat_map(jl.grid(lr=[0.1], l2=[0]), [3]).axes[0].texts) == 1


def test_many_values_have_labels_that_can_be_read():
    hypers = jl.grid(lr=np.logspace(-4, 1, 61), l2=np.logspace(-6, 0, 30))
    axes = plots.heat_map(hypers, rng.random(61 * 30)).axes[0]
    across, up = ticks(axes.xaxis), ticks(axes.yaxis)
    assert across[0] == "0.0001" and len(set(across)) == len(across) == 16 and len(up) == 15
    np.testing.assert_allclose(np.float64(across), np.logspace(-4, 1, 61)[::4], rtol=0.01)
    assert not axes.texts and axes.xaxis.get_majorticklabels()[0].get_rotation() == 45


def test_colours_span_decades_but_not_those_of_a_few_that_failed():
    scores = np.array([1.0, 2.0, 3.0, 30.0, 15.0, 1e9])
    axes, bar = plots.heat_map(GRID, scores).axes
    assert isinstance(axes.images[0].norm, LogNorm)
    assert axes.images[0].get_clim() == (1, 1 + 10 * (9 - 1)) and bar._colorbar.extend == "max"
    axes, bar = plots.heat_map(GRID, -scores, best="greatest").axes
    assert not isinstance(axes.images[0].norm, LogNorm)
    assert axes.images[0].get_clim() == (-81, -1) and bar._colorbar.extend == "min"


def test_heat_maps_refuse_what_is_no_grid():
    random = {"lr": rng.random(30), "l2": rng.random(30)}
    calls = {
        r"30 models at 30 values of lr and 30 of l2; expected a grid": (random, np.ones(30), {}),
        r"numbers \['lr'\]; expected two of them.* penalty_curve": ({"lr": LR}, LR, {}),
        r"axes is \('lr', 'x'\)": (GRID, SCORES, {"axes": ("lr", "x")}),
        r"axes is \('lr', 'lr'\)": (GRID, SCORES, {"axes": ("lr", "lr")}),
        r"scores has shape \(3, 2\); expected \(models,\)": (GRID, SCORES.reshape(3, 2), {}),
        r"hypers has lr of shape \(6,\); expected .* the 5 models": (GRID, SCORES[:5], {}),
        r"best is 'most'": (GRID, SCORES, {"best": "most"}),
    }
    for message, (hypers, scores, options) in calls.items():
        with pytest.raises(ValueError, match=message):
            plots.heat_map(hypers, scores, **options)


@pytest.mark.parametrize(
    ("value", "text"),
    [(np.float32(0.1), "0.1"), (1e-5, "1e-5"), (128, "128"), (1734.2, "1734"), (-0.25, "-0.25"),
     (3e10, "3e10"), (True, "1"), (2.0, "2"), (0.00316227, "0.00316"), (123456.7, "123457")],
)  # fmt: skip
def test_numbers_are_written_as_people_do(value, text):
    assert words.shown(value) == text


def test_numbers_that_are_close_keep_their_digits():
    assert words.all_shown(np.array([1000.1, 1000.2, 5])) == ["1000.1", "1000.2", "5"]
    assert words.all_shown(np.float32([0.1, 0.2])) == ["0.1", "0.2"]


def test_names_of_leaves_are_their_paths():
    hypers = {"lr": LR, "init": jl.Linear(LR, CURVES), "pair": (LR, [LR])}
    assert list(words.leaves_of(hypers, 40)) == ["lr", "init.w", "init.b", "pair.0", "pair.1.0"]
    assert list(words.leaves_of(LR, 40)) == ["hyper"]


# ------------------------------------------------------------------ layers


def test_scores_of_layers_are_lines_with_bars():
    value = rng.random((3, 2))
    found = jl.resample.Interval(value, value - 0.1, value + 0.2)
    figure = plots.scores_by_layer(
        found, ["a", "b", "c"], ["x", "y"], name="AUC", control=value / 2
    )
    (axes,) = figure.axes
    lines = [each.get_ydata() for each in axes.lines if len(each.get_ydata()) == 3]
    for k in (0, 1):
        assert any(np.array_equal(each, value[:, k]) for each in lines)
        assert any(np.array_equal(each, value[:, k] / 2) for each in lines)
    bars = [each.get_segments() for each in axes.collections]
    np.testing.assert_allclose(bars[0][1][:, 1], [value[1, 0] - 0.1, value[1, 0] + 0.2])
    assert ticks(axes.xaxis) == ["a", "b", "c"]
    with pytest.raises(ValueError, match="layers is a list of 2; expected a list of 3"):
        plots.scores_by_layer(found, ["a", "b"], ["x", "y"])
    with pytest.raises(ValueError, match=r"expected \(layers, concepts\)"):
        plots.scores_by_layer(found, ["a", "b", "c"], ["x", "y"], control=value[0])


def test_every_concept_has_a_line_of_its_own():
    value = rng.random((2, 20))
    names = [f"concept {k}" for k in range(20)]
    figure = plots.scores_by_layer(jl.resample.Interval(value, value, value), ["a", "b"], names)
    lines = [each for each in figure.axes[0].lines if len(each.get_xdata()) == 2]
    shown = {(each.get_color(), each.get_marker()) for each in lines if each.get_marker() in "osD"}
    assert len(shown) == 20
