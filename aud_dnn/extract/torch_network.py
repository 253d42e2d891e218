"""A network as extraction takes it: modules, taps, preparation of a sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from aud_dnn.extract.taps import Tap

Prepare = Callable[[np.ndarray, int], torch.Tensor]


@dataclass
class TorchModel:
    """A network, its input and its taps.

    Attributes
    ----------
    network : torch.nn.Module
    taps : sequence of Tap
        In network order.
    sample_rate : int
        In Hz.
    prepare : callable
        ``prepare(samples, rate)``: mono samples in [-1, 1] -> one input tensor, with a batch axis
        of length 1.
    forward : callable
        ``forward(network, inputs)``; calling the network if not given.
    duration, policy : float or None, str
        See :func:`aud_dnn.io.sounds.fit_duration`.
    max_batch : int or None
        1 for networks whose padding or statistics depend on the batch; None for any number.
    details : dict
        For the provenance: preprocessing, weights.
    fixed_entries : tuple of str or None
        Beginnings of the names of state-dict entries that a permuted control leaves alone (feature
        extraction that is part of the network). None: what
        :func:`aud_dnn.extract.fixed_parts.fixed_parts` recognises.
    stochastic : bool
        The network, or its front end, draws random numbers in evaluation mode, and that is wanted;
        every sound gets the same seed.
    frames : bool
        The batch axis of the input holds the frames of one sound; features are averaged over them.
    half_precision : bool
        Parts of the network compute in 16 bits (half-precision weights, autocast), and that is
        wanted.
    """

    network: torch.nn.Module
    taps: Sequence[Tap]
    sample_rate: int
    prepare: Prepare
    forward: Callable[[torch.nn.Module, torch.Tensor], Any] | None = None
    duration: float | None = 2.0
    policy: str = "exact"
    max_batch: int | None = 1
    details: dict[str, Any] = field(default_factory=dict)
    fixed_entries: tuple[str, ...] | None = None
    stochastic: bool = False
    half_precision: bool = False
    frames: bool = False

    def run(self, inputs: torch.Tensor) -> Any:
        """What the network returns."""
        forward = self.forward
        return self.network(inputs) if forward is None else forward(self.network, inputs)
