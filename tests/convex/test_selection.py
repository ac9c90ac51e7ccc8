"""A penalty chosen by what was not fitted: the same as by a loop of fits."""

import re

import jax
import numpy as np
import pytest
from convex_cases import problem, status

import jaxlinear as jl
from jaxlinear.convex import cross_validation, static

Status = jl.Status
softmax, logistic = jl.losses.softmax_cross_entropy, jl.losses.logistic


# ------------------------------------------------------------------ fits that end near each other


def wide(outputs, d, n=150):
    """A problem with enough coefficients for one Hessian of all fits, and four bootstraps."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, d))
    o = x @ rng.normal(size=(d, outputs)) / 2 + rng.gumbel(size=(n, outputs))
    y = o.argmax(axis=1) if outputs == 3 else (o > 0) * 1.0
    return x, y, np.array(jl.resample.bootstrap(jax.random.key(0), n, 4), float)


WIDE = pytest.mark.parametrize(
    ("loss", "outputs", "d"),
    [(softmax, 3, 20), pytest.param(logistic, 2, 60, marks=pytest.mark.full)],
)


@WIDE
def test_a_fit_near_another_is_the_one_from_afar(loss, outputs, d, x64):
    """Also where a row of NaN is absent for some, and where the start is not near at all."""
    x, y, weight = wide(outputs, d)
    x[7], weight[:, 7] = np.nan, [0, 0, 0, 1]
    whole = jl.glm(loss, x, y, 0.01, weight=np.arange(len(x)) != 7, outputs=outputs)
    other = jl.Linear(whole.params.w[:, ::-1] * 9, whole.params.b)

    def fit(weight, init, near):
        return jl.glm(
            loss, x, y, 0.01, weight=weight, outputs=outputs, init=init, near=near, tol=1e-12
        )

    near, not_near, afar = (
        jax.jit(jax.vmap(lambda w, i=init, n=near: fit(w, i, n)))(weight)
        for init, near in ((whole, True), (other, True), (None, False))
    )
    for fits in (near, not_near):
        np.testing.assert_allclose(fits.params.w, afar.params.w, atol=2e-6)
        np.testing.assert_array_equal(fits.report.status, afar.report.status)
    assert {*status(near)} == {Status.CONVERGED, Status.NONFINITE_INPUT}
    assert (near.report.steps[:3] <= afar.report.steps[:3]).all()
    alone = fit(weight[0], whole, True)
    np.testing.assert_allclose(near.params.w[0], alone.params.w, atol=2e-6)


@WIDE
def test_one_hessian_serves_all_fits(loss, outputs, d):
    x, y, weight = wide(outputs, d)
    x, y = np.float32(x), np.int32(y) if loss is softmax else np.float32(y)
    init = jl.zeros(d, outputs)

    def factored(near):
        """The shapes of what is factored."""

        def fit(weight):
            return jl.glm(
                loss, x, y, 0.1, weight=weight, outputs=outputs, init=init, near=near
            ).params

        text = str(jax.make_jaxpr(jax.vmap(fit))(np.float32(weight)))
        return {shape for shape in re.findall(r"f32\[([\d,]+)\] = cholesky", text)}

    one = {f"{3 * 21},{3 * 21}"} if loss is softmax else {"2,61,61"}
    assert factored(True) == one != factored(False)


def test_hessians_of_all_models_have_room():
    """In 256 MB of float32, by their coefficients of all classes; too large, none is kept."""
    for models, coefficients, expected in (
        (30, 513, 30), (1000, 513, 255), (1000, 10 * 101, 65), (1000, 2000, 16), (1000, 2001, 1000)
    ):  # fmt: skip
        assert static.with_room(models, coefficients) == expected


def test_near_needs_somewhere_to_start():
    x, y, _ = problem("logistic")
    with pytest.raises(ValueError, match="near needs init"):
        jl.glm(logistic, x, y, near=True)


# ------------------------------------------------------------------ held-out rows


def probed(x, y, rows, l2s, loss, error):
    """The protocol as a loop."""
    fits = [jl.glm(loss, x[~rows], y[~rows], l2) for l2 in l2s]
    outputs = [jl.predict(fit.params, x[rows]) for fit in fits]
    scores = [np.mean(error(np.asarray(o), y[rows])) for o in outputs]
    best = min(range(len(l2s)), key=lambda i: (scores[i], -l2s[i]))
    return jl.glm(loss, x, y, l2s[best]), l2s[best], np.array(scores)


def test_a_probe_is_the_protocol(x64):
    x, y, _ = problem("softmax", n=120)
    rows = np.arange(120) % 4 == 0
    l2s = np.array([1e-4, 1.0, 1e-2, 100.0])
    loss = jl.losses.softmax_cross_entropy
    probe = jl.linear_probe(x, y, rows, l2s)
    fit, l2, scores = probed(x, y, rows, l2s, loss, lambda o, y: o.argmax(1) != y)
    np.testing.assert_allclose(probe.scores, scores)
    assert probe.l2 == l2
    np.testing.assert_allclose(probe.fit.params.w, fit.params.w, atol=1e-6)
    same = jl.linear_probe(x, y, np.flatnonzero(rows), l2s, error=jl.losses.zero_one)
    assert same.l2 == probe.l2


def test_every_concept_has_its_own_penalty(x64):
    x, y, _ = problem("logistic-3", n=120)
    y[:, 2] = np.random.default_rng(0).integers(0, 2, 120)  # noise: a strong penalty is best
    rows, l2s = np.arange(120) % 4 == 0, np.array([1e-4, 1e-2, 1.0])
    loss = jl.losses.logistic

    def error(o, y):
        return np.logaddexp(0, o) - y * o

    probe = jl.linear_probe(x, y, rows, l2s, loss=loss, error=loss)
    for concept in range(3):
        fit, l2, scores = probed(x, y[:, concept], rows, l2s, loss, error)
        np.testing.assert_allclose(probe.scores[:, concept], scores, rtol=1e-6)
        assert probe.l2[concept] == l2
        np.testing.assert_allclose(probe.fit.params.w[concept], fit.params.w, atol=1e-6)
    assert len(set(np.array(probe.l2))) > 1


def balanced(y, weight):
    share = [weight[y == label].sum() for label in (0, 1)]
    return weight * weight.sum() / 2 / np.array(share)[y.astype(int)]


@pytest.mark.parametrize("case", ["weights", "balanced", "unlabelled"])
def test_every_concept_has_its_own_weights_and_labels(case, x64):
    """As if each were alone, with its rows alone."""
    rng = np.random.default_rng(0)
    x, y, _ = problem("logistic-3", n=120)
    held, l2s = np.arange(120) % 4 == 0, np.array([1e-3, 1e-1])
    weight = rng.integers(0, 3, (120, 3)).astype(float) if case == "weights" else np.ones((120, 3))
    options = {"class_weight": "balanced"} if case == "balanced" else {}
    labelled = rng.random((120, 3)) < (0.7 if case == "unlabelled" else 2)
    weight = weight * labelled
    probe = jl.linear_probe(
        x, np.where(labelled, y, np.nan), held, l2s, loss=logistic, error=logistic, **options,
        weight=weight if case == "weights" else None,
    )  # fmt: skip
    assert probe.scores.shape == (2, 3) and probe.fit.params.w.shape == (3, x.shape[1])
    assert set(status(probe.fit)) == {Status.CONVERGED}
    for concept in range(3):
        label, own = y[:, concept], weight[:, concept]
        fitted, rows = own * ~held, own * held
        of_fit, of_all = fitted, own
        if case == "balanced":
            of_fit, of_all = balanced(label, fitted), balanced(label, own)
        for place, l2 in enumerate(l2s):
            o = jl.predict(jl.glm(logistic, x, label, l2, weight=of_fit).params, x)
            score = np.average(np.logaddexp(0, o) - label * np.asarray(o), weights=rows)
            np.testing.assert_allclose(probe.scores[place, concept], score, rtol=1e-6)
        best = l2s[np.argmin(probe.scores[:, concept])]
        assert probe.l2[concept] == best
        fit = jl.glm(logistic, x, label, best, weight=of_all)
        np.testing.assert_allclose(probe.fit.params.w[concept], fit.params.w, atol=1e-6)


@pytest.mark.full
@pytest.mark.parametrize("loss", [softmax, logistic])
def test_rows_without_a_label_are_absent(loss, x64):
    x, y, _ = problem("softmax" if loss is softmax else "logistic", n=120)
    held, l2s, known = np.arange(120) % 4 == 0, np.array([0.1]), np.arange(120) % 7 != 0
    some = np.where(known, y, np.nan)
    outputs = 3 if loss is softmax else None
    probe = jl.linear_probe(x, some, held, l2s, loss=loss, outputs=outputs)
    fit = jl.glm(loss, x[known], y[known], 0.1, outputs=outputs)
    np.testing.assert_allclose(probe.fit.params.w, fit.params.w, atol=1e-6)
    with pytest.raises(ValueError, match=r"weight has shape \(120, 1\); expected \(120,\)"):
        jl.linear_probe(x, y, held, l2s, loss=loss, outputs=outputs, weight=np.ones((120, 1)))


@pytest.mark.full
def test_classes_count_alike_in_softmax_regression(x64):
    x, y, _ = problem("softmax", n=120)
    held, l2s = np.arange(120) % 4 == 0, np.array([0.1])
    probe = jl.linear_probe(x, y, held, l2s, class_weight="balanced")
    weight = (120 / 3 / np.bincount(y))[y]
    fit = jl.glm(softmax, x, y, 0.1, weight=weight)
    np.testing.assert_allclose(probe.fit.params.w, fit.params.w, atol=1e-6)


def test_weights_of_classes_that_make_no_sense_are_refused():
    x, y, _ = problem("logistic-3")
    rows = np.arange(len(x)) % 2
    for options, message in (
        ({"class_weight": "even"}, "class_weight is 'even' and the loss logistic; expected"),
        ({"class_weight": "balanced", "loss": jl.losses.poisson}, "the loss poisson; expected"),
        ({"weight": -np.ones(y.shape)}, r"weight\[0, 0\] is -1.0; expected finite weights"),
        ({"weight": np.ones((3, 3))}, r"weight has shape \(3, 3\); expected"),
        ({"weight": np.ones((3, 3)), "class_weight": "balanced"}, r"weight has shape \(3, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            jl.linear_probe(x, y, rows, [1.0], **{"loss": logistic} | options)


@pytest.mark.full
def test_a_probe_has_45_values_of_c_and_takes_weights():
    x, y, weight = problem("logistic", n=60)
    rows = np.arange(60) >= 40
    weight[50], x[50] = 0, np.nan
    probe = jl.linear_probe(np.float32(x), y, rows, loss=jl.losses.logistic, weight=weight)
    assert probe.scores.shape == (45,) and np.isfinite(probe.scores).all()
    total = weight[~rows].sum()
    assert 1 / (1e5 * total) * 0.99 <= probe.l2 <= 1 / (1e-6 * total) * 1.01
    assert status(probe.fit) == [Status.CONVERGED]


@pytest.mark.full
def test_rows_without_weight_cannot_choose():
    """Refused, or, where weights are traced, a status."""
    x, y, _ = problem("logistic")
    x, y, rows = np.float32(x), np.float32(y), np.arange(40) >= 30
    with pytest.raises(ValueError, match="weight is 0 in all held-out rows"):
        jl.linear_probe(x, y, rows, [1.0], loss=logistic, weight=~rows)
    probe = jax.jit(lambda w, rows: jl.linear_probe(x, y, rows, [1.0], loss=logistic, weight=w))
    for weight, mask in ((np.float32(~rows), rows), (np.ones(40, np.float32), 3 * rows)):
        blind = probe(weight, mask)
        assert np.isnan(blind.scores).all() and status(blind.fit) == [Status.NONFINITE_INPUT]
    sound = probe(np.ones(40, np.float32), rows)
    assert sound.scores == probe(np.ones(40, np.float32), np.float32(rows)).scores


@pytest.mark.full
def test_a_penalty_at_which_a_fold_has_no_optimum_is_not_chosen():
    """Classes that can be separated, in all rows or in those of one fold, and no penalty."""
    x = np.linspace(-1, 1, 40, dtype=np.float32)[:, None]
    apart = np.float32(x[:, 0] > 0)
    mixed = apart.copy()
    mixed[:4] = 1
    folds = np.arange(40) // 4 != 0  # without the first four rows the classes are apart
    for y in (apart, mixed):
        for chosen in (
            jl.glm_cv(logistic, x, y, [0.0, 0.1], np.stack([folds, np.arange(40) % 2])),
            jl.linear_probe(x, y, ~folds, [0.0, 0.1], loss=logistic),
        ):
            assert np.isnan(chosen.scores).tolist() == [True, False]
            assert float(chosen.l2) == np.float32(0.1)
            assert status(chosen.fit) == [Status.CONVERGED]
        for blind in (
            jl.glm_cv(logistic, x, y, [0.0], folds[None]),
            jl.linear_probe(x, y, ~folds, [0.0], loss=logistic),
        ):
            assert np.isnan(blind.scores).all() and status(blind.fit) == [Status.DIVERGED]


def test_folds_are_a_number_names_or_weights():
    x, y, _ = problem("logistic")
    names = np.repeat(["a", "b", "c", "d"], 10)
    alike = [
        jl.glm_cv(logistic, np.float32(x), y, [0.1, 1.0], folds, error=logistic).scores
        for folds in (4, names, jl.resample.leave_one_group_out(names))
    ]
    np.testing.assert_array_equal(alike[0], alike[1])
    np.testing.assert_array_equal(alike[0], alike[2])


# ------------------------------------------------------------------ folds


def folded(x, y, folds, weight, l2s, loss, error, intercept):
    """The mean held-out error of every penalty, as a loop over penalties and folds."""
    scores = []
    for l2 in l2s:
        total = held = 0
        for fold in folds:
            fit = jl.glm(loss, x, y, l2, weight=fold * weight, intercept=intercept)
            e = error(np.asarray(jl.predict(fit.params, x)), y)
            total, held = total + (fold == 0) * weight @ e, held + (fold == 0) @ weight
        scores.append(total / held)
    return np.array(scores)


FOLDED = {
    "softmax": (softmax, lambda o, y: o.argmax(axis=1) != y),
    "poisson": (jl.losses.poisson, lambda o, y: np.exp(o) - y * o),
}


@pytest.mark.parametrize("name", FOLDED)
@pytest.mark.parametrize("at_once", [0, cross_validation._AT_ONCE])
def test_folds_choose_what_a_loop_would(name, at_once, x64, monkeypatch):
    monkeypatch.setattr(cross_validation, "_AT_ONCE", at_once)
    jax.clear_caches()
    (loss, error), (x, y, weight) = FOLDED[name], problem(name, n=61)
    folds = np.array(jl.resample.k_fold(jax.random.key(0), 61, 3), float)
    l2s = np.array([1e-4, 10.0, 1e-2])
    intercept = name == "softmax"
    chosen = jl.glm_cv(loss, x, y, l2s, folds, weight=weight, intercept=intercept, tol=1e-13)
    scores = folded(x, y, folds, weight, l2s, loss, error, intercept)
    np.testing.assert_allclose(chosen.scores, scores, rtol=1e-6)
    assert chosen.l2 == l2s[np.argmin(scores)]
    alone = jl.glm(loss, x, y, float(chosen.l2), weight=weight, intercept=intercept)
    np.testing.assert_allclose(chosen.fit.params.w, alone.params.w, atol=1e-6)
    assert chosen.fit.report.status == Status.CONVERGED


def test_every_label_chooses_by_folds_for_itself(x64):
    x, y, _ = problem("logistic-3", n=80)
    y[:, 2] = np.random.default_rng(0).integers(0, 2, 80)  # noise: a strong penalty is best
    folds = np.array(jl.resample.k_fold(jax.random.key(0), 80, 4), float)
    l2s = np.array([1e-4, 1e-2, 1.0])
    together = jl.glm_cv(logistic, x, y, l2s, folds, error=logistic)
    for label in range(3):
        alone = jl.glm_cv(logistic, x, y[:, label], l2s, folds, error=logistic)
        np.testing.assert_allclose(together.scores[:, label], alone.scores, rtol=1e-6)
        assert together.l2[label] == alone.l2
        np.testing.assert_allclose(together.fit.params.w[label], alone.fit.params.w, atol=1e-6)
        assert together.fit.report.status[label] == Status.CONVERGED
    assert len(set(np.array(together.l2))) > 1


def test_two_classes_choose_as_one_logit_does():
    """With half the penalty, as w has one copy for each: near a separation, in single precision.

    Along what classes share H has no curvature: rounded, it had less than none, and seven of these
    scores were NaN.
    """
    l2s = np.logspace(-2, -6, 9)
    for seed in (1, 2, 4):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(455, 8)) @ rng.normal(size=(8, 30)) + 0.3 * rng.normal(size=(455, 30))
        x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
        y = (x[:, :5].sum(axis=1) + 0.15 * rng.normal(size=455) > 1).astype(int)
        folds = jl.resample.stratified_k_fold(jax.random.key(seed), y, 5)
        two = jl.glm_cv(softmax, x, y, l2s, folds, outputs=2, error=softmax)
        one = jl.glm_cv(logistic, x, y * 1.0, l2s / 2, folds, error=logistic)
        np.testing.assert_allclose(two.scores, one.scores, rtol=5e-3)
        assert two.l2 == 2 * one.l2


@pytest.mark.full
def test_a_fold_without_a_fit_chooses_nothing():
    """Under ``jit``, where nothing can be refused: a label out of range in one fold of three."""
    x, y, _ = problem("logistic", n=60)
    folds = jl.resample.k_fold(jax.random.key(0), 60, 3)
    x = np.float32(x)

    @jax.jit
    def choose(x, y, weight):
        return jl.glm_cv(logistic, x, y, [0.1, 1.0], folds, weight=weight)

    y = np.float32(y)
    sound = choose(x, y, np.ones(60, np.float32))
    assert np.isfinite(sound.scores).all() and status(sound.fit) == [Status.CONVERGED]
    bad = choose(x, np.where(np.arange(60) == 3, np.nan, y), np.ones(60, np.float32))
    assert np.isnan(bad.scores).all() and status(bad.fit) == [Status.NONFINITE_INPUT]
    absent = choose(x, np.where(np.arange(60) == 3, np.nan, y), np.float32(np.arange(60) != 3))
    assert np.isfinite(absent.scores).all() and status(absent.fit) == [Status.CONVERGED]
    only = np.float32(np.asarray(folds[0]) == 0)  # one fold fits nothing at all
    blind = choose(x, y, only)
    assert np.isnan(blind.scores).all() and status(blind.fit) == [Status.NONFINITE_INPUT]


def test_other_folds_and_penalties_compile_nothing(compilations):
    x, y, _ = problem("logistic", n=60)
    x, y = np.float32(x), np.float32(y)
    for seed, l2s in ((0, [0.1, 1.0]), (1, [0.2, 3.0])):
        jl.glm_cv(logistic, x, y, l2s, jl.resample.k_fold(jax.random.key(seed), 60, 3), tol=1e-4)
        assert compilations("_fold_scores") == 1


@pytest.mark.full
def test_a_column_of_labels_chooses_as_its_numbers_do():
    x, y, _ = problem("logistic", n=60)
    folds = jl.resample.k_fold(jax.random.key(0), 60, 3)
    l2s, rows = [1e-3, 1.0, 10.0], np.arange(60) >= 40
    flat, column = (jl.glm_cv(logistic, x, y, l2s, folds) for y in (y, y[:, None]))
    np.testing.assert_allclose(flat.scores, column.scores[:, 0])
    assert flat.l2 == column.l2[0] and 0 < flat.scores.min() < 0.5
    flat, column = (jl.linear_probe(x, y, rows, l2s, loss=logistic) for y in (y, y[:, None]))
    np.testing.assert_allclose(flat.scores, column.scores[:, 0])


@pytest.mark.full
def test_several_labels_of_a_loss_of_ones_own_are_decided_one_by_one():
    """Which is not marked as a sum over outputs, so that all labels share a penalty."""

    @jl.losses.target("probabilities")
    def together(o, y):
        return logistic(o, y)

    x, y, _ = problem("logistic-3", n=60)
    rows, l2s = np.arange(60) >= 40, [1e-3, 1.0]
    alone, shared = (jl.linear_probe(x, y, rows, l2s, loss=loss) for loss in (logistic, together))
    np.testing.assert_allclose(shared.scores, alone.scores.mean(axis=1), rtol=1e-6)
