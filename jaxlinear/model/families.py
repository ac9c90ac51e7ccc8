"""The likelihoods that losses stand for."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln, xlogy


class Family(NamedTuple):
    """The density that a loss stands for: f(y; o) = f(y; ô) exp((least(y) − loss(o, y)) / φ).

    ``least(y)`` is the loss at the best outputs ô for y alone, ``log_density(y, phi)`` is
    log f(y; ô). ``dispersion`` is φ where it is known, else None. ``information(o)`` is the
    expected second derivative of the loss; None where it does not depend on y, as with the
    canonical link. ``link(mean)`` are the outputs at which the mean loss is least where they are
    the same for all examples, from the mean of y (of one-hot vectors for labels), where a solver
    then starts; None where that is not known. ``mean(o)`` is the way back: E[y], for outputs (…)
    or (…, k).
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
    # A class that no example has gets the least that counts beside 1.
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
