"""Minibatch SGD: a whole run is one compiled program."""

import functools
import numbers
from typing import ClassVar

import jax
import numpy as np
import optax
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_scalar

import jaxlinear as jl
from jaxlinear.sklearn import door
from jaxlinear.sklearn.base import Classifier, LinearModel, Regressor
from jaxlinear.types import Batch, Fit, Linear, Status


class _SGD(LinearModel):
    """What classifier and regressor share: parameters, ``partial_fit``, and the run itself.

    SGD ends where its epochs do: MAX_STEPS is no warning here.
    """

    _ordinary = (*LinearModel._ordinary, Status.MAX_STEPS)

    def __init__(self, loss=None, *, alpha=1e-4, fit_intercept=True, max_iter=100, eta0=0.05,
                 momentum=0.0, batch_size=32, random_state=None):  # fmt: skip
        self.loss = loss
        self.alpha = alpha
        self.fit_intercept = fit_intercept
        self.max_iter = max_iter
        self.eta0 = eta0
        self.momentum = momentum
        self.batch_size = batch_size
        self.random_state = random_state

    def _run(self, loss, batch: Batch, outputs: int | None, epochs: int, init=None) -> Fit:
        check_scalar(self.alpha, "alpha", numbers.Real, min_val=0)
        check_scalar(self.eta0, "eta0", numbers.Real, min_val=0, include_boundaries="neither")
        options = {"momentum": self.momentum}
        if not self.fit_intercept:
            options = {"optimizer": _without_intercept(float(self.momentum))}
        seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
        fit = jl.sgd_fit(
            loss, batch.x, batch.y, key=jax.random.key(seed), lr=self.eta0, l2=self.alpha,
            batch_size=self.batch_size, epochs=epochs, init=init, outputs=outputs,
            weight=batch.weight, **options,
        )  # fmt: skip
        self.n_iter_ = epochs
        return fit

    def _loss_of(self, known: dict):
        if self.loss not in known:
            raise ValueError(f"loss is {self.loss!r}; expected one of {list(known)}.")
        return known[self.loss]

    def _more(self, X, batch: Batch, fresh: bool):
        """One epoch from where the model is, in its precision."""
        if not fresh:
            dtype = self.coef_.dtype
            y = batch.y.astype(dtype) if batch.y.dtype.kind == "f" else batch.y
            batch = batch._replace(x=batch.x.astype(dtype), y=y)
        with door.precision(batch.x):
            self._keep(self._solve(batch, 1, None if fresh else self.fit_), X)
        return self


@functools.cache  # one optimizer, and one program, for one momentum
def _without_intercept(momentum: float):
    """SGD that leaves b where it is: at 0."""

    def optimizer(lr):
        held = optax.masked(optax.set_to_zero(), Linear(w=False, b=True))
        return optax.chain(optax.GradientTransformation(*jl.sgd(lr, momentum)), held)

    return optimizer


class SGDRegressor(Regressor, _SGD):
    """A linear model of numbers by minibatch SGD: the mean loss + alpha/2 ‖w‖² is lowered.

    ``jl.sgd_fit``, in place of scikit-learn's ``SGDRegressor``, with minibatches of ``batch_size``
    rows and the constant rate ``eta0``. ``loss`` is "squared_error", "huber" (of delta 1) or
    "absolute". ``max_iter`` is the number of epochs, all of which are run. Scale the columns first.
    ``partial_fit`` is one more epoch.

    Attributes: ``coef_`` (d,), ``intercept_``, ``n_iter_`` the epochs of the last call, ``fit_``
    (with the objective of every epoch as ``history``), ``status_``.
    """

    _losses: ClassVar = {
        "squared_error": jl.losses.squared_error,
        "huber": jl.losses.huber,
        "absolute": jl.losses.absolute,
    }

    def __init__(self, loss="squared_error", *, alpha=1e-4, fit_intercept=True, max_iter=100,
                 eta0=0.05, momentum=0.0, batch_size=32, random_state=None):  # fmt: skip
        super().__init__(
            loss, alpha=alpha, fit_intercept=fit_intercept, max_iter=max_iter, eta0=eta0,
            momentum=momentum, batch_size=batch_size, random_state=random_state,
        )  # fmt: skip

    def _solve(self, batch: Batch, epochs: int | None = None, init=None) -> Fit:
        loss = self._loss_of(self._losses)
        return self._run(loss, batch, None, self.max_iter if epochs is None else epochs, init)

    def partial_fit(self, X, y, sample_weight=None):
        """One more epoch, over these rows, from where the model is."""
        fresh = not hasattr(self, "coef_")
        batch = door.examples(self, X, y, sample_weight, numeric=True, reset=fresh)
        return self._more(X, batch, fresh)


class SGDClassifier(Classifier, _SGD):
    """A linear classifier by minibatch SGD: the mean loss + alpha/2 ‖w‖² is lowered.

    ``jl.sgd_fit``, in place of scikit-learn's ``SGDClassifier``, with minibatches of ``batch_size``
    rows and the constant rate ``eta0``. ``loss`` is "hinge" or "squared_hinge", of more than two
    classes one against the rest; or "log_loss", the cross-entropy of all classes together, with
    ``predict_proba``. ``max_iter`` is the number of epochs, all of which are run. Scale the
    columns first. ``partial_fit`` is one more epoch.

    Attributes: ``coef_`` (1, d) or (k, d), ``intercept_``, ``classes_``, ``n_iter_``, ``fit_``,
    ``status_``.
    """

    _losses: ClassVar = {
        "hinge": jl.losses.hinge,
        "squared_hinge": jl.losses.squared_hinge,
        "log_loss": jl.losses.logistic,
    }

    def __init__(self, loss="hinge", *, alpha=1e-4, fit_intercept=True, max_iter=100, eta0=0.05,
                 momentum=0.0, batch_size=32, class_weight=None, random_state=None):  # fmt: skip
        super().__init__(
            loss, alpha=alpha, fit_intercept=fit_intercept, max_iter=max_iter, eta0=eta0,
            momentum=momentum, batch_size=batch_size, random_state=random_state,
        )  # fmt: skip
        self.class_weight = class_weight

    def _solve(self, batch: Batch, epochs: int | None = None, init=None) -> Fit:
        loss, k = self._loss_of(self._losses), len(self.classes_)
        y, outputs, dtype = batch.y, None, batch.x.dtype
        if self.loss != "log_loss":
            hot = y[:, None] == np.arange(k) if k > 2 else y == 1
            y = np.where(hot, 1, -1).astype(dtype)
        elif k > 2:
            loss, outputs = jl.losses.softmax_cross_entropy, k
        else:
            y = y.astype(dtype)
        epochs = self.max_iter if epochs is None else epochs
        return self._run(loss, batch._replace(y=y), outputs, epochs, init)

    def partial_fit(self, X, y, classes=None, sample_weight=None):
        """One more epoch over these rows; the first call is to name all ``classes``."""
        fresh = not hasattr(self, "coef_")
        if fresh and classes is None:
            raise ValueError("classes is None; expected all classes at the first partial_fit.")
        batch = door.examples(self, X, y, sample_weight, numeric=False, reset=fresh)
        batch = self._labelled(batch, classes if fresh else self.classes_)
        return self._more(X, batch, fresh)

    @available_if(lambda self: self.loss == "log_loss")
    def predict_proba(self, X):
        """The probabilities of the classes, (n, k), with ``loss="log_loss"``."""
        return self._probabilities(X)
