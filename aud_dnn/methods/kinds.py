"""Scores per kind of sound: how well speech, music, … are predicted, each by itself.

**The question.** A score over all sounds may come from telling speech from everything else. Within
a kind of sound (one of the paper's eleven categories, or any label of the sounds), with measured
responses y and predictions ŷ (mean over the splits in which the sound was a test sound):

    bias    mean of ŷ − y:  a kind that is predicted too high or too low as a whole
    error   √ mean (ŷ − y)²
    r       Pearson correlation of ŷ and y over the sounds of the kind: what is told apart within it

and by RSA, the similarity (Spearman) of the RDMs of network and participant over the pairs of
sounds within the kind, with its own ceiling: each participant against the mean RDM of the others,
over the same pairs and in the same measure.

What it cannot tell: a kind of n sounds has n(n − 1)/2 pairs, 21 for seven, which are not
independent; below :data:`FEW_SOUNDS` sounds a correlation says next to nothing. Correlations within
kinds are lower than over all sounds because there is less to tell apart, not because prediction is
worse: compare networks within a kind, not kinds within a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aud_dnn.methods.comparing.similarity import leave_one_out
from aud_dnn.methods.comparing.triangles import square_matrix, upper_triangle
from aud_dnn.methods.rsa import comparable

FEW_SOUNDS = 8
"""Kinds with fewer sounds are marked in tables and figures."""


@dataclass(frozen=True)
class KindResponses:
    """Responses within each kind; arrays of shape (n_kinds, n_rows) but the first two.

    Attributes
    ----------
    kinds : tuple of str
        In order of first appearance.
    n_sounds : int array of shape (n_kinds,)
    measured, predicted : means over the sounds of the kind
    bias, error : mean, and root mean square, of predicted minus measured
    r : Pearson correlation; NaN below three sounds, or where either is constant
    """

    kinds: tuple[str, ...]
    n_sounds: np.ndarray
    measured: np.ndarray
    predicted: np.ndarray
    bias: np.ndarray
    error: np.ndarray
    r: np.ndarray


def _members(labels: Sequence[str]) -> dict[str, np.ndarray]:
    names = np.asarray(labels, dtype=object)
    return {str(kind): np.flatnonzero(names == kind) for kind in dict.fromkeys(labels)}


def responses_by_kind(
    measured: np.ndarray, predicted: np.ndarray, labels: Sequence[str]
) -> KindResponses:
    """Measured against predicted responses, kind by kind (see the module).

    Parameters
    ----------
    measured, predicted : arrays of shape (n_sounds, n_rows)
    labels : sequence of str, one per sound

    Raises
    ------
    ValueError
        The shapes differ, or there is not a label for every sound.
    """
    if measured.shape != predicted.shape or len(labels) != len(measured):
        raise ValueError(
            f"measured {measured.shape}, predicted {predicted.shape} and {len(labels)} labels do "
            "not fit together"
        )
    members = _members(labels)
    rows = []
    for sounds in members.values():
        y, p = measured[sounds], predicted[sounds]
        a, b = y - y.mean(axis=0), p - p.mean(axis=0)
        norms = np.sqrt(np.einsum("iv,iv->v", a, a) * np.einsum("iv,iv->v", b, b))
        # of numbers that are equal but for rounding there is no correlation
        varies = (np.ptp(y, axis=0) > 0) & (np.ptp(p, axis=0) > 0) & (norms > 0)
        r = np.full(y.shape[1], np.nan)
        if len(sounds) > 2:
            product = np.einsum("iv,iv->v", a, b)
            r[varies] = np.clip(product[varies] / norms[varies], -1, 1)
        rows.append(
            (
                y.mean(axis=0),
                p.mean(axis=0),
                (p - y).mean(axis=0),
                np.sqrt(np.square(p - y).mean(axis=0)),
                r,
            )
        )
    return KindResponses(
        tuple(members),
        np.array([len(sounds) for sounds in members.values()]),
        *(np.stack(column) for column in zip(*rows)),
    )


@dataclass(frozen=True)
class KindSimilarity:
    """RSA within each kind; arrays of shape (n_kinds, n_participants) but the first two.

    Attributes
    ----------
    kinds : tuple of str
    n_sounds : int array of shape (n_kinds,)
    similarity : of the network with each participant; NaN below three sounds
    ceiling : of each participant with the mean of the others
    """

    kinds: tuple[str, ...]
    n_sounds: np.ndarray
    similarity: np.ndarray
    ceiling: np.ndarray


def similarity_by_kind(
    network: np.ndarray, participants: np.ndarray, labels: Sequence[str]
) -> KindSimilarity:
    """Similarity of RDMs within kinds of sound, and its ceiling (see the module).

    Parameters
    ----------
    network : array of shape (n_pairs,)
        RDM triangle over all sounds (:func:`aud_dnn.methods.rsa.rdm_triangles`).
    participants : array of shape (n_participants, n_pairs)
    labels : sequence of str, one per sound
    """
    members = _members(labels)
    square = square_matrix(np.concatenate([network[None], participants]))
    similarity, ceiling = [], []
    for sounds in members.values():
        if len(sounds) < 3:
            similarity.append(np.full(len(participants), np.nan))
            ceiling.append(np.full(len(participants), np.nan))
            continue
        within = upper_triangle(square[:, sounds][:, :, sounds])
        vectors = comparable(within)
        similarity.append(np.clip(vectors[1:] @ vectors[0], -1, 1))
        ceiling.append(leave_one_out(within[1:], comparable, own=vectors[1:]))
    return KindSimilarity(
        tuple(members),
        np.array([len(sounds) for sounds in members.values()]),
        np.stack(similarity),
        np.stack(ceiling),
    )
