"""Minibatch SGD: the update rule, a step, an epoch, a run, and the fit that combines them."""
