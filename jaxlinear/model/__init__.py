"""The model o = w x + b, its losses and penalties, the objective that they form, and metrics."""
