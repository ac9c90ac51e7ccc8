"""Many models in one call: sweeps, folds and bootstraps as weights, several devices."""
