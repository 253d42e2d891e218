"""The random halvings of the ten splits behind "CV-splits-nit-10", many millions of them at once.

The published routine shuffles the pattern 0,1,0,1,… once per layer and voxel, in a Python loop on
one legacy generator. The numbers of Figures 2, 5 and 8 depend on that stream, so it is reproduced
to the last draw; only the loop is gone.

How. The legacy shuffle of ten items draws for i = 9, 8, …, 1 a whole number up to i: it takes the
low bits of the next 32-bit word and rejects what is too large. How many words a shuffle uses is
random, so shuffle k cannot be found without all before it. But "which step comes next" is a machine
with nine states, driven by the lowest four bits of each word. The words are cut into many long
chunks; the machine runs over all chunks side by side (four words per step, by a table). Chunks
start in a guessed state; the machine forgets its start within a few dozen words, and every junction
is checked, so the result is exact.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

N_SPLITS = 10
N_HALF = 5
PATTERN = 0b1010101010
"""The start of every shuffle, 0,1,0,1,0,1,0,1,0,1: bit s is split s."""

_UPPER = np.arange(N_SPLITS - 1, 0, -1)  # largest admissible draw of each step: 9, 8, ..., 1
_MASKS = (1 << np.ceil(np.log2(_UPPER + 1)).astype(int)) - 1
_N_STEPS = len(_UPPER)
_WORDS_PER_SHUFFLE = float(((_MASKS + 1) / (_UPPER + 1)).sum())  # expected: 11.8
_WORDS_PER_SYMBOL = 4
_CHUNK = (
    256  # symbols of four words; long enough for the machine to forget its start many times over
)


@lru_cache(maxsize=1)
def _one_word_table() -> np.ndarray:
    """State after one word, shape (state, four lowest bits).

    The next one where the draw is accepted, else the same.
    """
    state = np.arange(_N_STEPS, dtype=np.uint32)[:, None]
    accepted = (np.arange(16)[None, :] & _MASKS[:, None]) <= _UPPER[:, None]
    return np.where(accepted, (state + 1) % _N_STEPS, state)


@lru_cache(maxsize=1)
def _transition_table() -> np.ndarray:
    """State after four words: ``table[state * 65536 + symbol]``.

    A symbol is four 4-bit pieces, the first one lowest.
    """
    symbols = np.arange(16**_WORDS_PER_SYMBOL)
    after = np.broadcast_to(np.arange(_N_STEPS)[:, None], (_N_STEPS, symbols.size))
    for word in range(_WORDS_PER_SYMBOL):
        after = _one_word_table()[after, (symbols >> (4 * word)) & 15]
    return np.ascontiguousarray(after, dtype=np.uint32).ravel()


def _run_chunks(symbols: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """States before every symbol, and after the last, of chunks of shape (n_symbols, n_chunks)."""
    table = _transition_table()
    states = np.empty(symbols.shape, dtype=np.uint8)
    state = start.astype(np.uint32)
    for place in range(len(symbols)):
        states[place] = state
        state = table[(state << np.uint32(16)) | symbols[place]]
    return states, state


def _shuffle_steps(nibbles: np.ndarray) -> np.ndarray:
    """The step of the shuffle at which every word is drawn, from the lowest four bits of the words.

    Parameters
    ----------
    nibbles : uint8 array, a multiple of four long

    Returns
    -------
    uint8 array of the same length
    """
    pieces = nibbles.reshape(-1, _WORDS_PER_SYMBOL).astype(np.uint32)
    symbols = pieces[:, 0] | pieces[:, 1] << 4 | pieces[:, 2] << 8 | pieces[:, 3] << 12
    n_chunks = -(-symbols.size // _CHUNK)
    padded = np.zeros(n_chunks * _CHUNK, dtype=np.uint32)
    padded[: symbols.size] = symbols
    by_chunk = np.ascontiguousarray(padded.reshape(n_chunks, _CHUNK).T)
    # a chunk's start state is what the chunk before ends in, from whatever state that one began
    _, end = _run_chunks(by_chunk, np.zeros(n_chunks, dtype=np.uint32))
    start = np.concatenate([[0], end[:-1]]).astype(np.uint32)
    states, end = _run_chunks(by_chunk, start)
    while (wrong := np.flatnonzero(end[:-1] != start[1:]) + 1).size:
        start[wrong] = end[wrong - 1]
        states[:, wrong], end[wrong] = _run_chunks(by_chunk[:, wrong], start[wrong])
    state = states.T.ravel()[: symbols.size].astype(np.uint32)
    steps = np.empty((symbols.size, _WORDS_PER_SYMBOL), dtype=np.uint8)
    one_word = _one_word_table().ravel()
    for word in range(_WORDS_PER_SYMBOL):
        steps[:, word] = state
        state = one_word[state << np.uint32(4) | pieces[:, word]]
    return steps.ravel()


def _draws(rng: np.random.RandomState, n_shuffles: int) -> np.ndarray:
    """The accepted draws of ``n_shuffles`` shuffles, shape (n_shuffles, 9).

    What ``random_interval`` returned.
    """
    needed = n_shuffles * _N_STEPS
    n_words = int(n_shuffles * _WORDS_PER_SHUFFLE * 1.02) + 2_000
    n_words += -n_words % _WORDS_PER_SYMBOL
    nibbles = np.empty(0, dtype=np.uint8)
    while True:
        # the full range of uint32 is filled with the generator's words as they come
        fresh = rng.randint(0, 2**32, size=n_words, dtype=np.uint32)
        nibbles = np.concatenate([nibbles, (fresh & np.uint32(15)).astype(np.uint8)])
        steps = _shuffle_steps(nibbles)
        values = nibbles & _MASKS.astype(np.uint8)[steps]
        accepted = values[values <= _UPPER.astype(np.uint8)[steps]]
        if accepted.size >= needed:
            return accepted[:needed].reshape(n_shuffles, _N_STEPS)


def legacy_halvings(seed: int, n_shuffles: int) -> np.ndarray:
    """Successive shuffles of 0,1,0,1,0,1,0,1,0,1 by ``numpy.random.RandomState(seed)``, each from
    the same start.

    Equal to ``n_shuffles`` times ``pattern = [0, 1] * 5; rng.shuffle(pattern)``, draw for draw.

    Parameters
    ----------
    seed : int
        The iteration number in the paper.
    n_shuffles : int
        Number of layers times number of voxels; voxels vary fastest.

    Returns
    -------
    uint16 array of shape (n_shuffles,)
        Bit ``s`` is 1 where split ``s`` is in the selection half; the other five splits are the
        readout half.
    """
    masks = np.full(n_shuffles, PATTERN, dtype=np.uint16)
    if n_shuffles == 0:
        return masks
    draws = _draws(np.random.RandomState(seed), n_shuffles)
    one = np.uint16(1)
    for step, upper in enumerate(_UPPER):
        i, j = np.uint16(upper), draws[:, step].astype(np.uint16)
        differ = ((masks >> i) ^ (masks >> j)) & one
        masks ^= (differ << i) | (differ << j)
        # where i == j, differ is 0 and nothing moves
    return masks


class Halvings:
    """The halvings of one target for all iterations, drawn once and shared by all its models and
    both conditions.

    The stream of an iteration runs over layers, then voxels, so a model with fewer layers uses the
    beginning of it.

    Parameters
    ----------
    n_rows : int
        Voxels (or components).
    n_iterations : int
        Ten in the paper; iteration ``i`` has seed ``i``.
    """

    def __init__(self, n_rows: int, n_iterations: int = 10) -> None:
        self.n_rows, self.n_iterations = n_rows, n_iterations
        self._drawn = np.empty((n_iterations, 0, n_rows), dtype=np.uint16)

    def masks(self, iteration: int, n_layers: int) -> np.ndarray:
        """Masks of one iteration, shape (n_rows, n_layers), as of :func:`legacy_halvings`."""
        if n_layers > self._drawn.shape[1]:
            self._drawn = np.stack(
                [
                    legacy_halvings(seed, n_layers * self.n_rows).reshape(n_layers, self.n_rows)
                    for seed in range(self.n_iterations)
                ]
            )
        return self._drawn[iteration, :n_layers].T


def mask_from_text(text: str) -> int:
    """The mask of a halving that is written as ten digits, split 0 first (``"0001101101"``)."""
    return sum(1 << split for split, digit in enumerate(text) if digit == "1")


@lru_cache(maxsize=1)
def _third_of_half() -> np.ndarray:
    """Place of the third set bit of every ten-bit mask with five bits set; 0 for other masks."""
    places = np.zeros(2**N_SPLITS, dtype=np.uint8)
    for mask in range(2**N_SPLITS):
        bits = [bit for bit in range(N_SPLITS) if mask >> bit & 1]
        if len(bits) == N_HALF:
            places[mask] = bits[N_HALF // 2]
    return places


class SplitMedians:
    """Medians over any five of ten splits, for many rows and layers, from one sort.

    Parameters
    ----------
    values : array of shape (n_rows, n_layers, 10)
        Finite.
    """

    def __init__(self, values: np.ndarray) -> None:
        if values.ndim != 3 or values.shape[-1] != N_SPLITS:
            raise ValueError(
                f"Expected rows x layers x {N_SPLITS} splits, got shape {values.shape}."
            )
        if not np.isfinite(values).all():
            raise ValueError("There is NaN or inf among the scores.")
        self._order = np.argsort(values, axis=-1, kind="stable").astype(np.uint16)
        self._sorted = np.take_along_axis(values, self._order.astype(np.intp), axis=-1)

    def of_halves(self, masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Median over the splits marked 1, and over those marked 0.

        Masks and medians have shape (n_rows, n_layers).
        """
        ranked = np.zeros(
            masks.shape, dtype=np.uint16
        )  # the mask over the splits from the smallest value to the largest
        for rank in range(N_SPLITS):
            ranked |= ((masks >> self._order[..., rank]) & np.uint16(1)) << np.uint16(rank)
        third = _third_of_half()
        selection = np.take_along_axis(
            self._sorted, third[ranked][..., None].astype(np.intp), axis=-1
        )[..., 0]
        other = np.uint16(2**N_SPLITS - 1) ^ ranked
        readout = np.take_along_axis(
            self._sorted, third[other][..., None].astype(np.intp), axis=-1
        )[..., 0]
        return selection, readout
