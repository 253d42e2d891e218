"""Formulas: arrays in, arrays out. Nothing here opens a file."""
