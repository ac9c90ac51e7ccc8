"""The model o = w x + b, its losses and penalties, the objective that they make, and scores."""
