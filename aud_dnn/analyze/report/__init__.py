"""One page about one model: what its layers predict, against what, and how sure that is."""
