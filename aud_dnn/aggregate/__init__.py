"""From result folders to the numbers of the figures: reductions, halvings, tables, comparisons, places on the cortex."""
