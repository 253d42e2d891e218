"""Inspections before long work.

An installation, a model's activations, and the findings people read.
"""
