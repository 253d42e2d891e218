"""Results on disk: written whole, checked when they are read."""
