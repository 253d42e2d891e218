"""From data on disk to results on disk: what is asked, what is there and current, compute the rest."""
