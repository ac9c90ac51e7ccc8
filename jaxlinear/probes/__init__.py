"""Linear probes of a network's layers: what they tell, and what they would tell by chance."""

from jaxlinear.probes.control import Selectivity, control_labels, selectivity
from jaxlinear.probes.description import DescriptionLength, description_length
from jaxlinear.probes.directions import linear_discriminant, mean_difference, unit
from jaxlinear.probes.file import Saved, load, save
from jaxlinear.probes.layers import Probes, of_layers
from jaxlinear.probes.learning import LearningCurve, learning_curve
from jaxlinear.probes.scoring import scores

__all__ = [
    "DescriptionLength",
    "LearningCurve",
    "Probes",
    "Saved",
    "Selectivity",
    "control_labels",
    "description_length",
    "learning_curve",
    "linear_discriminant",
    "load",
    "mean_difference",
    "of_layers",
    "save",
    "scores",
    "selectivity",
    "unit",
]
