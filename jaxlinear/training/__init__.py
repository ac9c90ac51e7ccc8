"""Minibatch SGD: the rule, a step, an epoch, a run, and the fit that binds them together."""
