"""Pictures of fits: how they learned, what they learned, where they are wrong, which is best.

Every function returns a new ``matplotlib.figure.Figure``, which a notebook shows and ``save``
writes. No pyplot and no setting of matplotlib is touched, so a server without a screen and a
thread can draw. Arrays may be JAX or NumPy arrays; colours are safe for colour-blind eyes.
"""

try:
    import matplotlib.figure  # noqa: F401
except ImportError as error:
    raise ImportError('Pictures need matplotlib: pip install "jaxlinear[plots]"') from error

from jaxlinear.cli.plots.classes import calibration_curve, confusion_matrix, roc_curves
from jaxlinear.cli.plots.curves import many_curves
from jaxlinear.cli.plots.drawing import GREY, ORANGE, save
from jaxlinear.cli.plots.grids import heat_map
from jaxlinear.cli.plots.images import example_grid, weight_images
from jaxlinear.cli.plots.layers import scores_by_layer
from jaxlinear.cli.plots.numbers import predictions, residuals
from jaxlinear.cli.plots.training import learning_curves, penalty_curve
from jaxlinear.cli.plots.weights import weights_by_feature

__all__ = [
    "GREY",
    "ORANGE",
    "calibration_curve",
    "confusion_matrix",
    "example_grid",
    "heat_map",
    "learning_curves",
    "many_curves",
    "penalty_curve",
    "predictions",
    "residuals",
    "roc_curves",
    "save",
    "scores_by_layer",
    "weight_images",
    "weights_by_feature",
]
