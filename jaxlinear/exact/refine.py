"""Iterative refinement: a solution corrected with residuals of twice the precision."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxlinear.endings import status_of
from jaxlinear.exact.static import Setting
from jaxlinear.exact.statistics import Gram
from jaxlinear.linalg import double, factor
from jaxlinear.linalg.factor import Factor
from jaxlinear.linalg.products import matmul, unit_scale
from jaxlinear.loops import kept_inside
from jaxlinear.types import Examples, Fit, Linear, Report


class _Refined(NamedTuple):
    """The solution ``params + rest``, and its last correction.

    ``step`` is the largest relative change of a coefficient, ``norm`` the relative norm of the
    correction, ``rate`` how fast corrections shrink.
    """

    params: Linear
    rest: Linear
    report: Report
    step: Float[Array, ""]
    rate: Float[Array, ""]
    norm: Float[Array, ""]
    steps: Int[Array, ""]

    def error(self, step):
        """The error to expect: the last correction times the rate at which corrections shrink."""
        return step * jnp.minimum(self.rate, 1)


def refined(
    setting: Setting, rows: Examples, gram: Gram, penalty, inverse: Factor, fit: Fit
) -> Fit:
    """Correct the solution until its last digit is right, or the corrections stop shrinking."""
    least, most = setting.steps
    if most == 0:
        return fit
    eps = jnp.finfo(gram.xx.dtype).eps
    alpha = gram.weight * penalty
    scale, _ = unit_scale(jnp.diagonal(gram.xx)[None] + alpha)
    share = (rows.units.x / jnp.max(rows.units.x))[None]

    def correct(state: _Refined) -> _Refined:
        w, b = state.params
        examples, center = kept_inside((rows, gram.mean_x), state.steps)
        sums = double.normal(examples, state.params, state.rest, center)
        down = sums.w - alpha * (w + state.rest.w)  # −Σ w (∂f/∂w − c ∂f/∂b)
        dw = factor.solve(inverse, down)
        mean = sums.b / gram.weight if setting.intercept else jnp.zeros_like(sums.b)
        w, w_rest = double.add((w, state.rest.w), dw)
        b, b_rest = double.add((b, state.rest.b), mean - matmul(dw, gram.mean_x))
        size = jnp.linalg.norm(w * scale, axis=1) + jnp.finfo(w.dtype).tiny
        norm = jnp.max(jnp.linalg.norm(dw * scale, axis=1) / size)
        # Relative to each coefficient, or to eps of the norm of all where that is larger.
        own = jnp.maximum(jnp.abs(w), eps * size[:, None] / scale)
        step = jnp.max(jnp.abs(dw) / (own + jnp.finfo(w.dtype).tiny))

        def hessian(v):
            return (matmul(v, gram.xx) + alpha * v) / gram.weight

        # The first correction is about κ ε of the solution, and its own error about κ ε of itself.
        rate = jnp.where(state.steps == 0, norm, step / jnp.where(state.step > 0, state.step, 1))
        value = (sums.squares.sum() - jnp.sum(down * dw)) / gram.weight
        value = (value - jnp.sum(jnp.square(mean)) + jnp.sum(penalty * w * w)) / 2
        left = hessian(dw + w_rest) - down / gram.weight
        report = state.report._replace(
            objective=jnp.maximum(value, 0), gradient_norm=jnp.linalg.norm(share * left)
        )
        return _Refined(
            Linear(w, b),
            Linear(w_rest, b_rest),
            report,
            step,
            rate,
            norm,
            state.steps + 1,
        )

    def unfinished(state: _Refined):
        shrinking = (state.steps < 2) | (state.rate < 0.5)
        return (state.steps < most) & shrinking & (state.error(state.step) > eps / 16)

    one = jnp.ones((), eps.dtype)
    begin = one if least else jnp.where(jnp.max(inverse.error) > 8 * eps, one, 0)
    zero = jax.tree.map(jnp.zeros_like, fit.params)
    state = _Refined(fit.params, zero, fit.report, begin, one, one, jnp.int32(0))
    state = jax.lax.while_loop(unfinished, correct, state)
    refined = state.steps > 0
    right = jnp.where(refined, state.error(state.norm) <= eps, factor.reliable(inverse))
    sound = jnp.isfinite(state.report.objective + state.report.gradient_norm) & (gram.weight > 0)
    status = status_of(sound, jnp.min(inverse.rank) < len(gram.mean_x), right)
    return Fit(state.params, state.report._replace(status=status, steps=1 + state.steps))
