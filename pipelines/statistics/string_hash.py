"""64-bit hashes of whole columns of strings, the same on every machine and in every process.

Law: `hash_strings(column)[i] == hash_text(column[i])`, and with a salt `salted(...)` of it. Eight bytes at a time are
mixed into the state, which starts from the length; the mixer is the finisher of splitmix64, so that the hashes look
uniform: sketches count on it (`pipelines.statistics.sketches`). Two of n strings share a hash with probability n²/2⁶⁵:
0.3 % for 300 million.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_SEED = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
_FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


def mixed(values: Hashes) -> Hashes:
    """splitmix64's finisher, element by element: a bijection of 64-bit numbers."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(_FACTORS[0])
    values = (values ^ values >> np.uint64(27)) * np.uint64(_FACTORS[1])
    return values ^ values >> np.uint64(31)


def salted(values: Hashes, salt: int) -> Hashes:
    """Other hashes for each salt; equal ones stay equal."""
    return mixed(values + np.uint64((salt + 1) * _SEED & _MASK))


def hash_strings(column: pa.Array) -> Hashes:
    """uint64[N] of a column of strings, dictionary-encoded or not; a null counts as an empty string."""
    if isinstance(column, pa.DictionaryArray):
        codes = column.indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False)
        return np.append(hash_strings(column.dictionary), np.uint64(hash_text("")))[codes]
    values = column.fill_null("").cast(pa.large_binary())
    _, offset_bytes, data_bytes = values.buffers()
    if not len(values):
        return np.empty(0, np.uint64)
    offsets = np.frombuffer(offset_bytes, "<i8")[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data_bytes, np.uint8) if data_bytes else np.empty(0, np.uint8)
    data = np.concatenate([data[int(offsets[0]) : int(offsets[-1])], np.zeros(8, np.uint8)])
    starts = offsets[:-1] - offsets[0]
    left = np.diff(offsets)
    state = mixed(left.astype(np.uint64) ^ np.uint64(_SEED))
    windows = np.lib.stride_tricks.sliding_window_view(data, 8)
    rows = np.flatnonzero(left > 0)
    while len(rows):
        words = np.ascontiguousarray(windows[starts[rows]]).view("<u8").ravel()
        kept = np.minimum(left[rows], 8).astype(np.uint64)
        words = words & (np.uint64(_MASK) >> (np.uint64(64) - kept * np.uint64(8)))
        state[rows] = mixed((state[rows] ^ words) + np.uint64(_SEED))
        starts[rows] += 8
        left[rows] -= 8
        rows = rows[left[rows] > 0]
    return state


def hash_text(text: str) -> int:
    """The hash of one string, step by step: what `hash_strings` does to each."""
    data = text.encode()
    state = _mixed(len(data) ^ _SEED)
    for start in range(0, len(data), 8):
        word = int.from_bytes(data[start : start + 8], "little")
        state = _mixed((state ^ word) + _SEED)
    return state


def _mixed(value: int) -> int:
    value &= _MASK
    value = (value ^ value >> 30) * _FACTORS[0] & _MASK
    value = (value ^ value >> 27) * _FACTORS[1] & _MASK
    return value ^ value >> 31
