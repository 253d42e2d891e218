"""The models of the paper: one row each, and the sets that its figures show."""
