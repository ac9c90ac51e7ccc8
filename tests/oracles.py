"""Independent NumPy float64 versions of what the library computes; no jax here."""

import numpy as np


def log_softmax(o):
    shifted = o - o.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(o):
    return np.exp(log_softmax(o))


def one_hot(y, k):
    return np.eye(k)[y]


def squared_error(o, y):
    return ((o - y) ** 2).sum() / 2


def softmax_cross_entropy(o, y, label_smoothing=0.0):
    k = len(o)
    q = one_hot(y, k) if np.ndim(y) == 0 else y
    q = (1 - label_smoothing) * q + label_smoothing / k
    return -(q * log_softmax(o)).sum()


def logistic(o, y):
    return (np.logaddexp(0, o) - y * o).sum()


def poisson(o, y):
    return (np.exp(o) - y * o).sum()


def gamma(o, y):
    return (y / np.exp(o) + o).sum()


def huber(o, y, delta=1.0):
    r = np.abs(o - y)
    return np.where(r <= delta, r**2 / 2, delta * (r - delta / 2)).sum()


def absolute(o, y):
    return np.abs(o - y).sum()


def quantile(o, y, q=0.5):
    r = y - o
    return np.where(r >= 0, q * r, (q - 1) * r).sum()


def smooth_quantile(o, y, q=0.5, bandwidth=0.1):
    r = y - o
    return (q * r + bandwidth * np.logaddexp(0, -r / bandwidth)).sum()


def hinge(o, y):
    return np.clip(1 - y * o, 0, None).sum()


def squared_hinge(o, y):
    return (np.clip(1 - y * o, 0, None) ** 2).sum()


def affine(w, b, x):
    """Outputs (n,) or (n, k) of examples x (n, d)."""
    return np.asarray(x, np.float64) @ np.asarray(w, np.float64).T + np.asarray(b, np.float64)


def mean_loss(loss, w, b, x, y, weight=None, l2=0.0):
    """The objective, one example at a time; examples of weight 0 are not looked at."""
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, float)
    o = affine(w, b, np.where(weight[:, None] == 0, 0, x))
    values = [wi * loss(oi, yi) for wi, oi, yi in zip(weight, o, y, strict=True) if wi != 0]
    return sum(values) / weight.sum() + l2 / 2 * (w**2).sum()


def central_differences(function, point, step=1e-6):
    """The gradient of ``function`` at ``point``, an array of any shape."""
    gradient = np.zeros(point.shape)
    for index in np.ndindex(point.shape):
        up, down = point.copy(), point.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def softmax_gradient(w, b, x, y):
    """The gradient of the mean cross-entropy by hand: (softmax(o) − onehot(y))ᵀ x / n."""
    difference = (softmax(affine(w, b, x)) - one_hot(y, len(b))) / len(x)
    return difference.T @ x, difference.sum(axis=0)


def sgd_softmax(w, b, x, y, orders, size, lr, momentum=0.0, l2=0.0):
    """Minibatch SGD with gradients by hand, in the given order of examples for every epoch."""
    v_w, v_b = np.zeros_like(w), np.zeros_like(b)
    history = []
    for order in orders:
        total = 0.0
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            value = mean_loss(softmax_cross_entropy, w, b, x[rows], y[rows], l2=l2)
            total += len(rows) * value
            g_w, g_b = softmax_gradient(w, b, x[rows], y[rows])
            v_w, v_b = momentum * v_w + g_w + l2 * w, momentum * v_b + g_b
            w, b = w - lr * v_w, b - lr * v_b
        history.append(total / len(order))
    return w, b, np.array(history)


def ridge(x, y, l2, weight=None, intercept=True):
    """The minimum of the mean squared error and l2/2 ‖w‖²; of all minima that of least ‖w‖."""
    weight = np.ones(len(x)) if weight is None else np.asarray(weight, float)
    mean_x = weight @ x / weight.sum() * intercept
    mean_y = weight @ y / weight.sum() * intercept
    root = np.sqrt(weight)
    a, sides = root[:, None] * (x - mean_x), (root * (y - mean_y).T).T
    above = np.sqrt(weight.sum() * l2) * np.eye(x.shape[1])
    zeros = np.zeros((x.shape[1], *y.shape[1:]))
    w = np.linalg.lstsq(np.vstack([a, above]), np.concatenate([sides, zeros]), rcond=1e-13)[0].T
    return w, mean_y - w @ mean_x


def logistic_fit(x, y, weight, l2):
    """Newton's method for the mean weighted loss + l2/2 ‖w‖²."""
    x = np.c_[x, np.ones(len(x))]
    share, penalty = weight / weight.sum(), np.r_[np.full(x.shape[1] - 1, l2), 0]
    w = np.zeros(x.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-x @ w))
        slope = x.T @ (share * (p - y)) + penalty * w
        w = w - np.linalg.pinv((x.T * (share * p * (1 - p))) @ x + np.diag(penalty)) @ slope
    return w[:-1], w[-1]


def standardised(x, weight):
    present = weight > 0
    mean = np.average(x[present], axis=0, weights=weight[present])
    spread = np.sqrt(np.average((x[present] - mean) ** 2, axis=0, weights=weight[present]))
    scale = np.where(spread < 1e-9, 0, 1 / np.where(spread < 1e-9, 1, spread))
    return (x - mean) * scale, mean, scale
