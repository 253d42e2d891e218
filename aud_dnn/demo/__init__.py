"""A small data set with known truth, made from nothing: ``python -m aud_dnn.demo --root demo``.

The folder that it makes has the layout, file names and types of the published data (``data/``,
``model-actv/``) and is about 40 MB, so that the whole pipeline can be run on it in minutes and
tests can ask whether the analysis finds what was planted. Names, sounds, networks and voxels are
invented. How they are drawn is in :mod:`aud_dnn.demo.model` (formulas), :mod:`aud_dnn.demo.sounds`
(sounds) and :mod:`aud_dnn.demo.voxels` (participants).

========================  =====================================================================
``Kell2018word``          nine stages; drives every voxel and component (``ROI_LAYERS``,
                          ``COMPONENT_LAYERS``)
its permuted twin         a cascade of its own that starts with 45 % of the acoustics
``spectemp``              70 % of the acoustics, in one layer
``DCASE2020``             five layers, each with 40 % of a stage of ``Kell2018word``; a permuted
                          twin that starts with 20 % of the acoustics
``mymodel``               stands for a user's own network: three layers, each with 80 % of a
                          stage; no permuted twin
========================  =====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aud_dnn.demo.making import make_demo
    from aud_dnn.demo.truth import DemoTruth, VoxelTruth, read_truth

__all__ = ["DemoTruth", "VoxelTruth", "make_demo", "read_truth"]


def __getattr__(name: str) -> Any:
    """What is offered here, imported when it is asked for.

    ``python -m aud_dnn.demo`` passes here before anything else.
    """
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from aud_dnn.demo import making, truth

    return getattr(making if name == "make_demo" else truth, name)
