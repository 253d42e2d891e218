"""What all comparisons of representations share, whatever they compare them by."""
