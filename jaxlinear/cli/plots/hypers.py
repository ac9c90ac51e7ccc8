"""Hyper-parameters in words, and which of two scores is the better one."""

import itertools
import re

import jax
import numpy as np
from jaxtyping import PyTree

# The last word of a metric's name, or of a title such as "Validation error", says which is better.
_GREATEST = {"accuracy", "average_precision", "auc", "balanced_accuracy", "d2", "f1", "r2"}
_GREATEST |= {"precision", "recall", "roc_auc", "r²"}
_LEAST = {"brier", "calibration_error", "deviance", "error", "errors", "log_loss", "loss", "mae"}
_LEAST |= {"mse", "objective", "rmse", "score"}


def greatest_is_best(name: str, best: str | None) -> bool:
    """Whether the greatest value of what has this name is the best one, or the least."""
    if best is None:
        words = set(re.split(r"[^\w²]+", name.lower()))
        best = {(True, False): "greatest", (False, True): "least"}.get(
            (bool(words & _GREATEST), bool(words & _LEAST))
        )
    if best not in ("least", "greatest"):
        raise ValueError(
            f"best is {best!r}, of {name!r}; expected 'least' or 'greatest'. Say which one it is."
        )
    return best == "greatest"


def leaves_of(hypers: PyTree, models: int) -> dict[str, np.ndarray]:
    """Every leaf (models, …) by its name, in the order of a dict, keys as their numbers."""
    leaves = {}
    if isinstance(hypers, dict):  # of which JAX sorts the names
        parts = ({name: value} for name, value in hypers.items())
    else:
        parts = (hypers,)
    flattened = (jax.tree_util.tree_flatten_with_path(part)[0] for part in parts)
    for path, leaf in itertools.chain.from_iterable(flattened):
        if jax.dtypes.issubdtype(getattr(leaf, "dtype", None), jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "hyper"
        leaves[name] = np.asarray(leaf)
        if np.shape(leaf)[:1] != (models,):
            raise ValueError(
                f"hypers has {name} of shape {np.shape(leaf)}; expected a leading axis of the "
                f"{models:,} models. Pass those that were swept over, such as jl.grid's."
            )
    return leaves


def numbers_of(leaves: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Those that are one number per model, which can be an axis and be said in words."""
    return {
        name: leaf for name, leaf in leaves.items() if leaf.ndim == 1 and leaf.dtype.kind in "biuf"
    }


def in_words(leaves: dict[str, np.ndarray], model: int) -> str:
    """The hyper-parameters of one model, such as "lr = 0.1, l2 = 1e-5": those that vary, or all."""
    numbers = numbers_of(leaves)
    varied = {name: leaf for name, leaf in numbers.items() if (leaf != leaf[0]).any()}
    return ", ".join(f"{name} = {shown(leaf[model])}" for name, leaf in (varied or numbers).items())


def shown(value, digits: int = 3) -> str:
    """A number as one would write it: 0.1, 1e-5, 128."""
    value = float(value)
    if value.is_integer() and abs(value) < 1e6:
        return str(int(value))
    text = f"{value:.{digits}g}"
    if "e+" in text and abs(value) < 1e6:
        text = f"{value:.0f}"
    return re.sub(r"e([+-])0*", r"e\1", text).replace("e+", "e")


def all_shown(values: np.ndarray) -> list[str]:
    """Different numbers in as many digits as tell them apart."""
    for digits in (3, 6, 17):
        texts = [shown(value, digits) for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts
