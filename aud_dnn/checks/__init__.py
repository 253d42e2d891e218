"""Inspections before long work: an installation, a model's activations, and the findings people read."""
