"""The likelihoods that correspond to losses."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, xlogy


class Family(NamedTuple):
    """The density that corresponds to a loss: f(y; o) = f(y; ô) exp((least(y) − loss(o, y)) / φ).

    ``least(y)`` is the loss at the best outputs ô for y alone, as in a saturated model;
    ``log_density(y, phi)`` is log f(y; ô). ``dispersion`` is φ where it is known, else None.
    ``information(o)`` is the expected second derivative of the loss; None where the observed one
    does not depend on y, as with the canonical link. ``link(mean)`` are the outputs that minimise
    the mean loss if all examples have the same outputs, from the mean of y (for labels, of their
    one-hot vectors): the start of a solver; None where that is not known. ``mean(o)`` is the
    inverse: E[y], for outputs (…) or (…, k).
    """

    least: Callable
    log_density: Callable
    dispersion: float | None = None
    information: Callable | None = None
    link: Callable | None = None
    mean: Callable | None = None


def _entropy(q):
    return -jnp.sum(xlogy(q, q))


def _entropy_of_labels(y):
    return _entropy(y) if jnp.issubdtype(y.dtype, jnp.floating) else jnp.zeros(())


def _binary_entropy(y):
    return _entropy(y) + _entropy(1 - y)


def _least_of_poisson(y):
    return jnp.sum(y - xlogy(y, y))


def _log_gamma_density(y, phi):
    return jnp.sum((jnp.log(1 / phi) - 1) / phi - gammaln(1 / phi) - jnp.log(y))


def _log_shares(p):
    # A class without examples gets the share eps instead of 0, whose logarithm is -inf.
    return jnp.log(jnp.maximum(p, jnp.finfo(p.dtype).eps))


def _logit(p):
    return jnp.log(p) - jnp.log1p(-p)


GAUSSIAN = Family(
    lambda y: jnp.zeros_like(jnp.sum(y)),
    lambda y, phi: -0.5 * jnp.size(y) * jnp.log(2 * jnp.pi * phi),
    link=lambda mean: mean,
    mean=lambda o: o,
)
MULTINOMIAL = Family(
    _entropy_of_labels,
    lambda y, phi: -_entropy_of_labels(y),
    1.0,
    link=_log_shares,
    mean=jax.nn.softmax,
)
BERNOULLI = Family(
    _binary_entropy,
    lambda y, phi: -_binary_entropy(y),
    1.0,
    link=_logit,
    mean=jax.nn.sigmoid,
)
POISSON = Family(
    _least_of_poisson,
    lambda y, phi: -_least_of_poisson(y) - jnp.sum(gammaln(y + 1)),
    1.0,
    link=jnp.log,
    mean=jnp.exp,
)
GAMMA = Family(
    lambda y: jnp.sum(1 + jnp.log(y)),
    _log_gamma_density,
    None,
    jnp.ones_like,
    link=jnp.log,
    mean=jnp.exp,
)
