"""Score audio neural networks against fMRI responses of the human auditory cortex.

Data flows one way: disk -> load (``utils``) -> compute (``ridge``, ``regression``, ``rsa``) -> ``results`` -> tables
(``aggregate``) -> figures (``analyze``).
"""

__version__ = "0.1.0"

NUMERICS_VERSION = 2
"""Raised whenever a change moves a stored number; written into the provenance of every result."""
