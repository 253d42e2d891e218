"""Scripts and functions that choose what a figure shows; ``plotting`` draws it."""
