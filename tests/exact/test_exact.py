"""Exact fits against NumPy float64, the table of edge cases, and the derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from differences import assert_derivatives

import jaxlinear as jl
from jaxlinear import Status
from jaxlinear.exact import fits

SHAPES = {"tall": (20, 5), "wide": (5, 20), "square": (6, 6)}
SOLVERS = {
    "least_squares": lambda x, y, **options: jl.least_squares(x, y, **options),
    "ridge": lambda x, y, **options: jl.ridge(x, y, 0.3, **options),
    "path": lambda x, y, **options: jax.tree.map(
        lambda leaf: leaf[1], jl.ridge_path(x, y, [1.0, 0.3], **options)
    ),
}
every_solver = pytest.mark.parametrize("solver", SOLVERS)


def problem(n, d, outputs=(), seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype(dtype) + 1, rng.normal(size=(n, *outputs)).astype(dtype)


def status(fit):
    return Status(int(fit.report.status))


@every_solver
@pytest.mark.parametrize(
    ("outputs", "intercept"), [((), True), ((3,), False)], ids=["one", "three without b"]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_fits_equal_the_oracle(shape, outputs, intercept, solver, x64):
    n, d = SHAPES[shape]
    x, y = problem(n, d, outputs)
    weight = np.random.default_rng(1).uniform(0.5, 2, n)
    fit = SOLVERS[solver](x, y, weight=weight, intercept=intercept)
    l2 = 0.0 if solver == "least_squares" else 0.3
    w, b = oracles.ridge(x, y, l2, weight, intercept)
    np.testing.assert_allclose(fit.params.w, w, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(fit.params.b, b, rtol=1e-9, atol=1e-10)
    value = oracles.mean_loss(oracles.squared_error, w, b, x, y, weight, l2)
    np.testing.assert_allclose(fit.report.objective, value, rtol=1e-9, atol=1e-20)
    assert fit.report.gradient_norm < 1e-12
    deficient = solver == "least_squares" and n < d + intercept
    assert status(fit) == (Status.RANK_DEFICIENT if deficient else Status.CONVERGED)
    if solver == "least_squares":
        assert fit.report.rank == min(n - intercept, d)


def test_l2_may_differ_by_target(x64):
    x, y = problem(20, 5, (3,))
    l2 = np.array([0.0, 0.1, 2.0])
    fit = jl.ridge(x, y, l2)
    for target in range(3):
        w, b = oracles.ridge(x, y[:, target], l2[target])
        np.testing.assert_allclose(fit.params.w[target], w, rtol=1e-10)
        np.testing.assert_allclose(fit.params.b[target], b, rtol=1e-10)


def test_primal_and_dual_agree(x64):
    x, y = problem(8, 6)
    wide = np.hstack([x, np.zeros((8, 6))])  # n < d now, and nothing else
    tall = jl.ridge(x, y, 0.1).params
    dual = jl.ridge(wide, y, 0.1).params
    np.testing.assert_allclose(dual.w[:6], tall.w, rtol=1e-11)
    np.testing.assert_allclose(dual.b, tall.b, rtol=1e-11)


@every_solver
def test_weights_count_copies_and_zero_is_absent(solver, x64):
    x, y = problem(12, 4)
    weight = np.arange(12) % 4
    bad = np.where(weight[:, None] == 0, np.nan, x)
    weighted = SOLVERS[solver](bad, np.where(weight == 0, np.inf, y), weight=weight).params
    copied = SOLVERS[solver](np.repeat(x, weight, axis=0), np.repeat(y, weight)).params
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), weighted, copied)


@every_solver
def test_jit_equals_eager_and_vmap_equals_a_loop(solver):
    many = [problem(12, 4, seed=seed, dtype=np.float32) for seed in range(3)]
    x, y = (np.stack(parts) for parts in zip(*many, strict=True))
    batched = jax.jit(jax.vmap(SOLVERS[solver]))(x, y)
    looped = [SOLVERS[solver](*one) for one in many]
    for number, one in enumerate(looped):
        member = jax.tree.map(lambda leaf, number=number: leaf[number], batched)
        assert member.params.w.dtype == np.float32
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6),
            member.params,
            one.params,
        )
        assert member.report.status == one.report.status


def test_a_bad_member_leaves_the_others_as_they_are():
    x, y = problem(12, 4, dtype=np.float32)
    x, y, weight = np.stack([x] * 5), np.stack([y] * 5), np.ones((5, 12), np.float32)
    x[1, 3, 2], weight[2] = np.nan, 0
    x[3, :, 1] = x[3, :, 0]
    fit = jax.jit(jax.vmap(lambda x, y, weight: jl.least_squares(x, y, weight=weight)))
    good, mixed = fit(np.stack([x[0]] * 5), y, np.ones_like(weight)), fit(x, y, weight)
    assert [Status(int(code)).name for code in mixed.report.status] == [
        "CONVERGED", "NONFINITE_INPUT", "NONFINITE_INPUT", "RANK_DEFICIENT", "CONVERGED",
    ]  # fmt: skip
    for member in (0, 4):
        np.testing.assert_allclose(mixed.params.w[member], good.params.w[member], rtol=1e-6)
    assert np.isnan(mixed.params.w[1:3]).all() and np.isfinite(mixed.params.w[3]).all()
    np.testing.assert_allclose(mixed.params.w[3, 0], mixed.params.w[3, 1], rtol=1e-4)


def test_ragged_problems_are_weights():
    x, y = problem(12, 3, dtype=np.float32)
    fit = jax.jit(jax.vmap(lambda n: jl.ridge(x, y, 0.1, weight=jnp.arange(12) < n)))(
        jnp.array([5, 12])
    )
    for member, n in enumerate((5, 12)):
        w, _ = oracles.ridge(x[:n], y[:n], 0.1)
        np.testing.assert_allclose(fit.params.w[member], w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, jnp.bfloat16])
def test_the_dtype_is_kept(dtype):
    x, y = problem(12, 3)
    fit = jl.ridge(jnp.asarray(x, dtype), jnp.asarray(y, dtype), 0.1)
    assert fit.params.w.dtype == fit.params.b.dtype == dtype
    w, _ = oracles.ridge(np.asarray(jnp.asarray(x, dtype), float), y, 0.1)
    np.testing.assert_allclose(np.asarray(fit.params.w, float), w, atol=0.02)


def test_bytes_are_scaled_and_integers_and_lists_are_numbers():
    x = np.random.default_rng(0).integers(0, 256, (30, 3)).astype(np.uint8)
    y = x[:, 0] / 255 - 2.0 * x[:, 1] / 255
    np.testing.assert_allclose(jl.least_squares(x, y).params.w, [1, -2, 0], atol=1e-6)
    x, y = [[0, 1], [1, 0], [2, 2], [3, 5]], [1, 0, 3, 7]
    w, _ = oracles.ridge(np.array(x), np.array(y), 0.0)
    np.testing.assert_allclose(jl.least_squares(x, y).params.w, w, rtol=1e-6)


@pytest.mark.parametrize("scales", [(1e12, 1.0, 1e-12), (1e-6, 1e6, 1.0)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_column_scales_do_not_matter(scales, dtype):
    with jax.enable_x64(dtype == np.float64):
        x, y = problem(20, 3, dtype=dtype)
        scales = np.array(scales, dtype)
        plain, scaled = jl.least_squares(x, y), jl.least_squares(x * scales, y)
        assert status(scaled) == Status.CONVERGED
        tolerance = 1e-8 if dtype == np.float64 else 1e-3
        np.testing.assert_allclose(scaled.params.w * scales, plain.params.w, rtol=tolerance)


@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_huge_offsets_do_not_matter(offset):
    x, y = problem(30, 3, dtype=np.float32)
    x = np.round(64 * x).astype(np.float32) * 8 + np.float32(offset)  # exact in float32
    y = y + np.float32(offset)
    w, b = oracles.ridge(x.astype(float), y.astype(float), 0.0)
    fit = jl.least_squares(x, y)
    np.testing.assert_allclose(fit.params.w, w, rtol=1e-6)
    np.testing.assert_allclose(fit.params.b, b, rtol=1e-6)
    assert status(fit) == Status.CONVERGED


def test_a_constant_column_is_0_and_flagged():
    x, y = problem(20, 3, dtype=np.float32)
    x[:, 1] = 0.1
    fit = jl.least_squares(x, y)
    w, b = oracles.ridge(x.astype(float), y, 0.0)
    assert (status(fit), int(fit.report.rank)) == (Status.RANK_DEFICIENT, 2)
    assert fit.params.w[1] == 0
    np.testing.assert_allclose(fit.params.w, w, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(fit.params.b, b, rtol=1e-5)
    assert status(jl.ridge(x, y, 0.1)) == Status.CONVERGED
    path = jl.ridge_path(x, y, [0.0, 0.1])
    assert path.report.status.tolist() == [Status.RANK_DEFICIENT, Status.CONVERGED]
    assert path.report.rank.tolist() == [2, 3] and (path.params.w[:, 1] == 0).all()


def test_a_constant_target_is_the_intercept():
    x, _ = problem(20, 3, dtype=np.float32)
    fit = jl.least_squares(x, np.full(20, 0.3, np.float32))
    assert status(fit) == Status.CONVERGED and (fit.params.w == 0).all()
    assert fit.params.b == np.float32(0.3)


@pytest.mark.parametrize("copies", [1, 3])
def test_dependent_columns_share_their_weight(copies, x64):
    x, y = problem(20, 4)
    doubled = np.hstack([x, *[x[:, :1]] * copies])
    fit = jl.least_squares(doubled, y)
    w, b = oracles.ridge(doubled, y, 0.0)
    assert (status(fit), int(fit.report.rank)) == (Status.RANK_DEFICIENT, 4)
    np.testing.assert_allclose(fit.params.w, w, rtol=1e-7)
    np.testing.assert_allclose(fit.params.b, b, rtol=1e-7)
    outputs = jl.predict(fit.params, doubled)
    np.testing.assert_allclose(outputs, jl.predict(jl.least_squares(x, y).params, x), atol=1e-10)


def test_a_float32_path_is_right_or_says_that_it_is_not():
    x, y = problem(60, 6, dtype=np.float32)
    x[:, 5] = x[:, :5].sum(axis=1) + 1e-3 * x[:, 5]
    l2s = np.logspace(-12, 1, 14)
    path = jl.ridge_path(x, y, l2s)
    for member, l2 in enumerate(l2s):
        w, _ = oracles.ridge(x.astype(float), y.astype(float), l2)
        wrong = np.abs(path.params.w[member] - w).max() / np.abs(w).max() > 1e-2
        assert not wrong or path.report.status[member] != Status.CONVERGED
        refined = jl.ridge(x, y, l2)
        np.testing.assert_allclose(refined.params.w, w, rtol=2e-6 * np.abs(w).max(), atol=1e-6)
        assert status(refined) == Status.CONVERGED
    assert Status.STALLED_AT_PRECISION in path.report.status.tolist()


BAD = {
    "NaN in x": (lambda x, y: (np.where(np.eye(12, 4) == 1, np.nan, x), y), "x[0, 0] is nan"),
    "inf in x": (lambda x, y: (x + np.inf * np.eye(12, 4)[::-1], y), "x["),
    "NaN in y": (lambda x, y: (x, np.where(np.arange(12) == 7, np.nan, y)), "y[7] is nan"),
    "no examples": (lambda x, y: (x[:0], y[:0]), "at least one example"),
    "no features": (lambda x, y: (x[:, :0], y), "at least one example and one feature"),
    "one dimension": (lambda x, y: (x[:, 0], y), "x[:, None]"),
    "lengths": (lambda x, y: (x, y[:-1]), "one row per example"),
    "complex": (lambda x, y: (x + 0j, y), "real numbers"),
    "words": (lambda x, y: (x, y.astype(str)), "real numbers"),
}


@every_solver
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_by_name(case, solver):
    spoil, message = BAD[case]
    x, y = problem(12, 4, dtype=np.float32)
    with np.errstate(invalid="ignore"):
        x, y = spoil(x, y)
    with pytest.raises((ValueError, TypeError)) as error:
        SOLVERS[solver](x, y)
    assert message in str(error.value)


@pytest.mark.parametrize("weight", [np.full(12, -1.0), np.zeros(12), np.ones(11)])
def test_bad_weights_are_refused(weight):
    with pytest.raises(ValueError, match="weight"):
        jl.least_squares(*problem(12, 4), weight=weight)


@pytest.mark.parametrize("l2", [-0.1, np.nan, [0.1, 0.2]])
def test_bad_penalties_are_refused(l2):
    with pytest.raises(ValueError, match="l2"):
        jl.ridge(*problem(12, 4), l2)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("where", ["x", "y", "weight"])
def test_under_jit_bad_input_is_a_status(where, solver):
    x, y = problem(12, 4, dtype=np.float32)
    arguments = {"x": x, "y": y, "weight": np.ones(12, np.float32)}
    arguments[where][5] = np.nan if where != "weight" else -1
    fit = jax.jit(SOLVERS[solver])(**arguments)
    assert status(fit) == Status.NONFINITE_INPUT
    assert np.isnan(fit.params.w).all()


def test_nothing_recompiles_for_other_numbers(compilations):
    x, y = problem(12, 4, dtype=np.float32)
    for l2 in (0.1, 0.2, np.float32(3)):
        jl.ridge(x + np.float32(l2), y, l2, weight=np.full(12, l2))
    assert compilations("_solve") == 1


def test_unrefined_is_a_choice(x64):
    x, y = problem(40, 3)
    x[:, 2] = x[:, 0] + 1e-5 * x[:, 2]
    w, _ = oracles.ridge(x, y, 0.0)
    error = [
        np.abs(jl.least_squares(x, y, refine=refine).params.w - w).max() / np.abs(w).max()
        for refine in (True, False)
    ]
    assert error[0] < 1e-10 and error[0] * 10 < error[1] < 1e-4


TALL, WIDE = (10, 3), (4, 6)
DIFFERENTIABLE = {  # unrefined, which compiles sooner; the derivatives do not know of it
    "ridge": lambda x, y, weight, l2: jl.ridge(x, y, l2, weight=weight, refine=False),
    "per target": lambda x, y, weight, l2: jl.ridge(
        x, y, l2 * jnp.array([1.0, 2.0]), weight=weight
    ),
    "no intercept": lambda x, y, weight, l2: jl.ridge(
        x, y, l2, weight=weight, intercept=False, refine=False
    ),
    "least squares": lambda x, y, weight, _: jl.least_squares(x, y, weight=weight),
}


@pytest.mark.parametrize(
    ("case", "shape", "order"),
    [
        ("ridge", TALL, 2), ("ridge", WIDE, 2), ("per target", WIDE, 1),
        ("no intercept", TALL, 1), ("least squares", TALL, 1), ("least squares", WIDE, 1),
    ],
)  # fmt: skip
def test_derivatives_equal_differences(case, shape, order, x64):
    x, y = problem(*shape, (2,))
    weight = np.random.default_rng(1).uniform(0.5, 2, shape[0])

    def function(*arguments):
        return DIFFERENTIABLE[case](*arguments).params

    assert_derivatives(function, (x, y, weight, 0.3), order=order)


SINGULAR = {
    "orthonormal": (lambda q: q, lambda x, y: jl.least_squares(x, y)),
    "path of orthonormal": (lambda q: q, lambda x, y: jl.ridge_path(x, y, [0.1, 1.0])),
    "duplicated": (lambda q: np.hstack([q, q]), lambda x, y: jl.ridge(x, y, 0.1)),
}


@pytest.mark.parametrize("case", SINGULAR)
def test_derivatives_where_singular_values_are_equal(case, x64):
    make, fit = SINGULAR[case]
    x, y = problem(12, 3)
    x = make(np.linalg.qr(x)[0])
    assert_derivatives(lambda x, y: fit(x, y).params, (x, y), order=1)


def test_vmap_of_grad_and_grad_of_grad():
    x, y = problem(12, 3, dtype=np.float32)

    def energy(l2, x):
        return jnp.sum(jnp.square(jl.ridge(x, y, l2).params.w))

    slope = jax.jit(jax.grad(energy))
    slopes = jax.jit(jax.vmap(jax.grad(energy), in_axes=(None, 0)))(0.3, np.stack([x, 2 * x]))
    np.testing.assert_allclose(slopes, [slope(0.3, x), slope(0.3, 2 * x)], rtol=1e-4)
    second = jax.jit(jax.grad(jax.grad(energy)))(0.3, x)
    np.testing.assert_allclose(second, (slope(0.31, x) - slope(0.29, x)) / 0.02, rtol=1e-2)


def test_an_absent_row_has_no_derivative_in_its_values():
    x, y = problem(12, 3, dtype=np.float32)
    x[4] = np.nan
    weight = (np.arange(12) != 4).astype(np.float32)
    slope = jax.jit(jax.grad(lambda x: jl.ridge(x, y, 0.1, weight=weight).params.w.sum()))(x)
    assert np.isfinite(slope).all() and (slope[4] == 0).all()


def test_backward_takes_one_factorisation():
    """The program of value and gradient has no factorisation more than that of the value."""
    x, y = problem(12, 3, dtype=np.float32)

    def count(function):
        text = jax.jit(function).lower(x).as_text()
        return sum(text.count(call) for call in ("cholesky", "potrf", "syevd", "geqrf"))

    def value(x):
        return jl.ridge(x, y, 0.1).params.w.sum()

    assert count(value) == count(jax.value_and_grad(value)) > 0


def test_no_float64_where_it_is_not_asked_for():
    """The pass in twice the precision is the only one; what is given back is float32."""
    fit = fits.least_squares(*problem(12, 3, dtype=np.float32))
    leaves = jax.tree.leaves((fit.params, fit.report.objective, fit.report.gradient_norm))
    assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}
