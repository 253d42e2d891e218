"""Ridge regression with noise correction."""
