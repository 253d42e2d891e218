"""From sounds to activations.

The models of the paper, their permuted controls, and any model of your own.

``spectemp`` needs NumPy and SciPy only; the networks need PyTorch (``pip install -e
'.[extract]'``).
"""

from aud_dnn.extract.registry import AVAILABLE_MODELS, build_extractor
from aud_dnn.extract.run import Extraction, Extractor, extract

__all__ = ["AVAILABLE_MODELS", "Extraction", "Extractor", "build_extractor", "extract"]
