"""From data on disk to results on disk: what is asked, what is current, compute the rest."""
