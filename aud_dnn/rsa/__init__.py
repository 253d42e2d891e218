"""Representational similarity analysis: formulas, the analysis of the paper, its run over all models, files and tables."""
