"""Cross-validated ridge against NumPy that fits again without every example, or every fold."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from cases import full_but

import jaxlinear as jl

TALL, WIDE, SQUARE = (12, 3), (6, 8), (6, 6)
SHAPES = {"tall": TALL, "wide": WIDE, "square": SQUARE}
L2S = np.array([1.0, 0.1, 0.01])
# Both give five folds of up to three rows of the tall x, four of up to two of the wide one.
NUMBER = {12: 5, 6: 4}
NAMES = {12: np.array(list("bacedabcdaeb")), 6: np.array(list("bdcabd"))}


# ------------------------------------------------------------------ problems and oracles


def problem(shape, seed=0):
    """Two targets: the first mostly signal, the second all noise; and weights of one."""
    rng = np.random.default_rng(seed)
    x, noise = 1 + rng.normal(size=shape), rng.normal(size=(shape[0], 2))
    y = np.stack([3 * x[:, 0] - x[:, 1], np.full(shape[0], 5.0)], axis=1) + noise * [0.1, 2.0]
    return jl.Batch(x, y, np.ones(len(x)))


def unequal(batch):
    """The batch with other weights, and one example absent and NaN."""
    weight = np.random.default_rng(1).uniform(0.5, 3, len(batch.x))
    weight[1] = 0
    absent = (weight == 0)[:, None]
    return jl.Batch(np.where(absent, np.nan, batch.x), np.where(absent, np.nan, batch.y), weight)


def first_target(batch):
    return batch._replace(y=batch.y[:, 0])


def refit(batch, l2, intercept=True):
    x, y, weight = (part[batch.weight > 0] for part in batch)
    return oracles.ridge(x, y, l2, weight, intercept)


def scores_of_refits(batch, l2s, ids=None, intercept=True):
    """Σ w e² / Σ w with e the errors on each fold of a fit to the others.

    l2 counts for the weight of the rows that are fitted; for that of all of them where ids is
    None, and every example is a fold.
    """
    x, y, weight = batch
    total = np.zeros((len(l2s), *y.shape[1:]))
    folds = np.arange(len(x)) if ids is None else ids
    for name in np.unique(folds[weight > 0]):
        held = (folds == name) & (weight > 0)
        others = batch._replace(weight=np.where(held, 0, weight))
        scale = weight.sum() / others.weight.sum() if ids is None else 1
        for j, l2 in enumerate(l2s):
            w, b = refit(others, l2 * scale, intercept)
            total[j] += weight[held] @ np.square(oracles.affine(w, b, x[held]) - y[held])
    return total / weight.sum()


def generalized_scores(batch, l2s, intercept=True):
    """Σ w r² / Σ w / (1 − tr H / n)², with the hat matrix H written out."""
    x, y, weight = (part[batch.weight > 0] for part in batch)
    root, total = np.sqrt(weight), weight.sum()
    mean = np.outer(root, root) / total * intercept
    rows = root[:, None] * x - mean @ (root[:, None] * x)
    scores = []
    for l2 in l2s:
        inverse = np.linalg.inv(rows.T @ rows + l2 * total * np.eye(x.shape[1]))
        hat = rows @ inverse @ rows.T + mean
        residual = (root * y.T) @ (np.eye(len(x)) - hat)
        scores.append(np.square(residual).sum(-1) / total / (1 - np.trace(hat) / len(x)) ** 2)
    return np.array(scores)


def cross_validated(batch, l2s=L2S, **options):
    return jl.ridge_cv(batch.x, batch.y, l2s, weight=batch.weight, **options)


def assert_cross_validated(got, batch, l2s, scores, intercept=True):
    """The scores, for every target the l2 of the least, and the fit of all examples with it."""
    np.testing.assert_allclose(got.scores, scores, rtol=1e-9)
    np.testing.assert_array_equal(got.l2, l2s[scores.argmin(axis=0)])
    for target, l2 in enumerate(got.l2):
        alone = batch._replace(y=batch.y[:, target])
        w, b = refit(alone, float(l2), intercept)
        np.testing.assert_allclose(got.fit.params.w[target], w, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(got.fit.params.b[target], b, rtol=1e-9, atol=1e-11)


# ------------------------------------------------------------------ scores


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("intercept", [True, False], ids=["b", "no b"])
def test_leave_one_out_is_a_refit_without_every_example(shape, intercept, x64):
    for batch in (problem(shape), unequal(problem(shape))):
        got = cross_validated(batch, intercept=intercept, per_target=True)
        scores = scores_of_refits(batch, L2S, intercept=intercept)
        assert_cross_validated(got, batch, L2S, scores, intercept)


@pytest.mark.parametrize(("shape", "intercept"), [(TALL, False), (WIDE, True)])
def test_folds_are_refits_without_every_fold(shape, intercept, x64):
    """A number of blocks, or names; without a penalty too, and then of least norm."""
    n, l2s = shape[0], np.array([1.0, 0.01, 0.0])
    blocks = np.array_split(np.arange(n), NUMBER[n])
    numbers = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    for batch in (problem(shape), unequal(problem(shape))):
        for folds, ids in ((NUMBER[n], numbers), (NAMES[n], NAMES[n])):
            got = cross_validated(batch, l2s, folds=folds, intercept=intercept, per_target=True)
            scores = scores_of_refits(batch, l2s, ids, intercept)
            assert_cross_validated(got, batch, l2s, scores, intercept)


def test_folds_are_weights(x64):
    """The weights of names are the names; bootstraps hold rows out more than once, or never."""
    batch, weight = problem(TALL), np.array([1.0, 2, 0, 1, 1, 3, 1, 1, 0.5, 1, 1, 1])
    batch = batch._replace(weight=weight)
    of_names = jl.resample.leave_one_group_out(NAMES[12])
    names, same = (cross_validated(batch, folds=folds) for folds in (NAMES[12], of_names))
    np.testing.assert_array_equal(names.scores, same.scores)
    folds = np.array(jl.resample.bootstrap(jax.random.key(0), 12, 4), float)
    got, total, held = cross_validated(batch, folds=folds), 0, 0
    for fold in folds:
        out, inside = (fold == 0) * weight, fold * weight
        fits = [refit(batch._replace(weight=inside), l2) for l2 in L2S]
        errors = [np.square(oracles.affine(*fit, batch.x) - batch.y) for fit in fits]
        total += np.array([out @ error for error in errors])
        held += out.sum()
    np.testing.assert_allclose(got.scores, total / held, rtol=1e-9)


def test_a_fold_that_fits_absent_examples_alone_has_no_score():
    x, y, _ = first_target(problem(TALL))
    x, y = np.float32(x), np.float32(y)
    weight = np.float32(np.arange(12) < 4)
    got = jl.ridge_cv(x, y, L2S, weight=weight, folds=3)
    assert np.isnan(got.scores).all()
    assert (got.l2, got.fit.report.status) == (1.0, jl.Status.STALLED_AT_PRECISION)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_an_absent_example_of_a_wide_problem_is_no_obstacle(dtype):
    """Its row of zeros in x xᵀ would be singular without a penalty, and noise at a small one."""
    with jax.enable_x64(dtype == np.float64):
        batch, l2s = first_target(unequal(problem(WIDE))), np.array([0.0, 1e-8, 0.1])
        given = [part.astype(dtype) for part in batch]
        expected = scores_of_refits(batch, l2s)
        tolerance = 1e-8 if dtype == np.float64 else 1e-4

        def scores(x, y):
            return jl.ridge_cv(x, y, l2s, weight=given[2]).scores

        np.testing.assert_allclose(scores(*given[:2]), expected, rtol=tolerance)
        for slopes in jax.jit(jax.jacrev(scores, argnums=(0, 1)))(*given[:2]):
            assert np.isfinite(slopes).all()
            assert not slopes[:, 1].any() and slopes[:, 0].any()


def test_an_example_that_alone_determines_a_coefficient_is_told(x64):
    """Three of twelve examples are present, of five coefficients; leverages of 1 cancel."""
    batch, l2s = first_target(problem((12, 4))), np.array([1e-14, 1.0, 1e-13])
    batch = batch._replace(weight=np.where(np.arange(12) < 3, 1.0, 0.0))
    got = cross_validated(batch, l2s)
    assert np.isnan(got.scores).tolist() == [True, False, True]
    np.testing.assert_allclose(got.scores[1], scores_of_refits(batch, l2s[1:2])[0], rtol=1e-9)
    assert (got.l2, got.fit.report.status) == (1.0, jl.Status.CONVERGED)
    lost = cross_validated(batch, l2s[::2])
    assert (lost.l2, lost.fit.report.status) == (1e-13, jl.Status.STALLED_AT_PRECISION)


def test_generalized_has_the_mean_leverage(x64):
    for batch in (problem(WIDE), unequal(problem(WIDE))):
        got = cross_validated(batch, intercept=False, per_target=True, generalized=True)
        scores = generalized_scores(batch, L2S, intercept=False)
        assert_cross_validated(got, batch, L2S, scores, intercept=False)


@pytest.mark.parametrize(
    "shape",
    [
        *SHAPES.values(),
        (7, 6),
    ],
    ids=[*SHAPES, "as many coefficients as examples"],
)
def test_leave_one_out_with_next_to_no_penalty(shape, x64):
    """The example left out of a fit that meets all of them has residual and 1 − h near 0."""
    l2s = np.array([1e-4, 1e-8, 0.0])
    for batch in (problem(shape), unequal(problem(shape))):
        got = cross_validated(batch, l2s, per_target=True)
        np.testing.assert_allclose(got.scores, scores_of_refits(batch, l2s), rtol=1e-9)


def test_agrees_with_scikit_learn(x64):
    linear_model = pytest.importorskip("sklearn.linear_model")
    batch = problem(TALL)
    theirs = linear_model.RidgeCV(L2S * len(batch.x), alpha_per_target=True, store_cv_results=True)
    theirs.fit(batch.x, batch.y)
    ours = cross_validated(batch, per_target=True)
    np.testing.assert_allclose(ours.scores.T, theirs.cv_results_.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(ours.l2 * len(batch.x), theirs.alpha_)
    np.testing.assert_allclose(ours.fit.params.w, theirs.coef_, rtol=1e-9)
    np.testing.assert_allclose(ours.fit.params.b, theirs.intercept_, rtol=1e-9)


# ------------------------------------------------------------------ the choice and the fit


def test_targets_choose_for_themselves_or_together(x64):
    x, y, _ = batch = problem(TALL)
    scores = scores_of_refits(batch, L2S)
    own = cross_validated(batch, per_target=True).l2
    assert own[0] != own[1]
    together = jl.ridge_cv(x, y, L2S)
    np.testing.assert_allclose(together.scores, scores, rtol=1e-9)
    assert together.l2 == L2S[scores.mean(axis=1).argmin()]
    alone = jl.ridge_cv(x, y[:, 0], L2S)
    np.testing.assert_allclose(alone.scores, scores[:, 0], rtol=1e-9)
    assert alone.l2 == own[0]


def test_the_fit_is_that_of_ridge(x64):
    x, y, _ = batch = problem(TALL)
    ridge = functools.partial(jl.ridge, refine=False)
    own, alone = cross_validated(batch, per_target=True), jl.ridge_cv(x, y[:, 0], L2S)
    for got, expected in ((own, ridge(x, y, own.l2)), (alone, ridge(x, y[:, 0], alone.l2))):
        assert got.fit.report.status == jl.Status.CONVERGED
        assert jax.tree.structure(got.fit) == jax.tree.structure(expected)
        for ours, theirs in zip(got.fit.params, expected.params, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("l2s", [L2S, L2S[::-1]], ids=["falling", "rising"])
def test_of_equal_scores_the_strongest_penalty_wins(l2s, x64):
    x, _, _ = problem(TALL)
    got = jl.ridge_cv(x, np.full(len(x), 7.0), l2s)  # the mean is right at any penalty
    np.testing.assert_array_equal(got.scores, 0)
    assert got.l2 == 1.0


# ------------------------------------------------------------------ derivatives

IMPORTANCE = np.array([1.0, 2.0, 3.0])
THIRDS = {n: np.repeat(np.arange(3), n // 3) for n in (12, 6)}


def orthonormal(shape):
    """All singular values of x are equal, in every three blocks and in what two of them leave."""
    n, d = shape
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    batch = first_target(problem(shape))
    return batch._replace(x=np.eye(n, d) if n < d else np.tile(signs, (n // 4, 1)))


DIFFERENTIATED = {
    # name: (shape, options, the same in NumPy)
    "tall": (TALL, {}, scores_of_refits),
    "wide": (WIDE, {}, scores_of_refits),
    "folds of tall": (TALL, {"folds": 3}, functools.partial(scores_of_refits, ids=THIRDS[12])),
    "folds of wide": (WIDE, {"folds": 3}, functools.partial(scores_of_refits, ids=THIRDS[6])),
    "generalized": (TALL, {"generalized": True}, generalized_scores),
}


@functools.cache
def value_and_gradient(name):
    """Of a sum of the scores, with respect to x, y, weight and l2s."""
    options = DIFFERENTIATED[name][1]

    def total(x, y, weight, l2s):
        return jnp.dot(IMPORTANCE, jl.ridge_cv(x, y, l2s, weight=weight, **options).scores)

    return jax.jit(jax.value_and_grad(total, argnums=(0, 1, 2, 3)))


@pytest.mark.parametrize("name", full_but(DIFFERENTIATED, "tall", "folds of wide"))
def test_scores_are_differentiable(name, x64):
    """Along a direction in every argument; where singular values are equal, and rows absent."""
    shape, _, oracle = DIFFERENTIATED[name]
    data = first_target(problem(shape))
    for batch in (data, unequal(problem(shape))._replace(y=data.y), orthonormal(shape)):
        point = [*map(np.float64, batch), L2S]
        value, gradient = value_and_gradient(name)(*point)
        np.testing.assert_allclose(value, IMPORTANCE @ oracle(batch, L2S), rtol=1e-9)
        absent = batch.weight == 0
        assert not gradient[0][absent].any()
        assert not gradient[1][absent].any()
        rng = np.random.default_rng(2)
        for i, slope in enumerate(gradient):
            direction = rng.normal(size=slope.shape) * (0.1 if i == 3 else 1)
            direction[absent if i < 3 else ...] *= i == 3

            def moved(step, i=i, direction=direction, point=point):
                *rest, l2s = [*point[:i], point[i] + step * direction, *point[i + 1 :]]
                return IMPORTANCE @ oracle(jl.Batch(*rest), l2s)

            expected = (moved(1e-5) - moved(-1e-5)) / 2e-5
            assert np.vdot(slope, direction) == pytest.approx(expected, rel=1e-6, abs=1e-8)


def test_gradient_descent_finds_the_best_penalty(x64):
    """From three starts at once, in log l2."""
    batch = problem(TALL)
    batch = batch._replace(y=batch.y @ [1.0, 1.5])  # so noisy that a penalty helps
    grid = np.geomspace(1e-3, 10, 301)
    best = grid[scores_of_refits(batch, grid).argmin()]
    assert grid[0] < best < grid[-1]
    logs = np.log([0.01, 0.1, 1.0])
    for _ in range(200):
        _, (*_, slope) = value_and_gradient("tall")(*batch, np.exp(logs))
        logs = logs - 0.3 * np.exp(logs) * slope / IMPORTANCE
    np.testing.assert_allclose(logs, np.log(best), atol=np.log(grid[1] / grid[0]))


# ------------------------------------------------------------------ many problems, single precision


@pytest.mark.parametrize("options", [{}, {"folds": 3}], ids=["leave-one-out", "folds"])
def test_vmap_is_every_problem_alone_and_float32_is_kept(options):
    """A NaN is the status of its problem, and of no other."""
    batches = [first_target(problem(TALL, seed)) for seed in range(3)]
    x, y, _ = (np.stack(part).astype(np.float32) for part in zip(*batches, strict=True))
    x[2, 3, 1] = np.nan
    run = jax.vmap(functools.partial(jl.ridge_cv, l2s=L2S, **options))
    got = jax.jit(run)(x, y)
    assert {a.dtype for a in (got.scores, got.l2, *got.fit.params)} == {jnp.dtype(np.float32)}
    for i, batch in enumerate(batches[:2]):
        scores = scores_of_refits(batch, L2S, ids=THIRDS[12] if options else None)
        np.testing.assert_allclose(got.scores[i], scores, rtol=5e-5)
        w, b = refit(batch, L2S[scores.argmin()])
        np.testing.assert_allclose(got.fit.params.w[i], w, rtol=2e-5, atol=1e-5)
        np.testing.assert_allclose(got.fit.params.b[i], b, rtol=2e-5, atol=1e-5)
    sound = jl.Status.CONVERGED
    assert got.fit.report.status.tolist() == [sound, sound, jl.Status.NONFINITE_INPUT]
    assert np.isnan(got.fit.params.w[2]).all()


def test_other_penalties_compile_nothing(compilations):
    x, y, _ = first_target(problem(TALL))
    for l2s in ([0.1, 0.2], [3.0, 0.4], np.array([0.0, 1e3])):
        jl.ridge_cv(x, y, l2s)
        assert compilations("_ridge_cv") == 1


# ------------------------------------------------------------------ refusals

REFUSED = {
    # name: (l2s, options, message)
    "no l2s": ([], {}, r"l2s has shape \(0,\); expected \(m,\)"),
    "one l2": (0.1, {}, r"l2s has shape \(\); expected \(m,\)"),
    "negative l2s": ([0.1, -1.0], {}, "l2s is .*-1.*; expected a number in"),
    "one fold": (L2S, {"folds": 1}, "folds is 1; expected a number in 2 … 12"),
    "folds above n": (L2S, {"folds": 13}, "folds is 13; expected a number in 2 … 12"),
    "fold of other rows": (L2S, {"folds": np.arange(11)}, r"folds has shape \(11,\).*\(12,\)"),
    "folds 2-D": (L2S, {"folds": np.eye(11)}, r"folds has shape \(11, 11\).*\(f, 12\)"),
    "nothing out": (L2S, {"folds": np.eye(3, 12) + 1}, "fold 0 holds nothing out"),
    "one name": (L2S, {"folds": ["a"] * 12}, "1 values; expected .* two values or more"),
    "per_target": (L2S, {"per_target": True}, r"per_target needs y \(n, k\); got y \(n,\)"),
    "generalized": (L2S, {"folds": 3, "generalized": True}, "generalized is for folds=None"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED)
def test_refused(case):
    l2s, options, message = case
    x, y, _ = first_target(problem(TALL))
    with pytest.raises(ValueError, match=message):
        jl.ridge_cv(x, y, l2s, **options)


def test_nan_is_refused_by_its_place(x64):
    x, y, _ = first_target(problem(TALL))
    x[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"x\[3, 1\] is nan"):
        jl.ridge_cv(x, y, L2S)


def test_folds_must_be_known_before_tracing():
    x, y, _ = first_target(problem(TALL))
    with pytest.raises(ValueError, match="folds is traced"):
        jax.jit(lambda folds: jl.ridge_cv(x, y, L2S, folds=folds))(THIRDS[12])


@pytest.mark.parametrize("per_target", [False, True])
def test_the_chosen_fit_is_a_refined_ridge(per_target):
    """In every digit of a small coefficient, as ``ridge`` is."""
    rng = np.random.default_rng(0)
    left, right = (
        np.linalg.qr(rng.normal(size=(11, 8)))[0],
        np.linalg.qr(rng.normal(size=(8, 8)))[0],
    )
    x = ((left * np.geomspace(1, 8.5, 8)) @ right.T).astype(np.float32)
    w = np.array([1, -2, 3, 5e-5, 1, 1, -1, 2.0])
    y = np.stack([x @ w, x @ w[::-1]], axis=1)[:, : 1 + per_target].astype(np.float32)
    y = y if per_target else y[:, 0]
    chosen = jl.ridge_cv(x, y, [1e-6], per_target=per_target).fit.params
    expected, _ = oracles.ridge(x.astype(float), y.astype(float), 1e-6)
    np.testing.assert_allclose(chosen.w, expected, rtol=2e-7, atol=3e-9)
