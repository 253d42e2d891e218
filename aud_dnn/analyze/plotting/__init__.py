"""The figures of the paper: one module per kind of figure, one style for all of them."""
