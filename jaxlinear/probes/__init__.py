"""Linear probes of a network's layers: what they tell, and what they would tell by chance."""

from jaxlinear.probes.layers import Probes, of_layers

__all__ = ["Probes", "of_layers"]
