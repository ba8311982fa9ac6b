"""Nearest names for error messages: "did you mean ...?"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST_NAMES = 20_000  # comparing letters costs about 10 µs a name; above this only names of the same start are compared


def did_you_mean(word: str, names: Iterable[str], *, limit: int = 3) -> str:
    """The end of an error message: `; did you mean 'dog' or 'dogs'?`, or nothing if no name is near.

    Names that differ in case, spaces, hyphens or underscores alone come first; the order of `names` breaks ties.
    """
    known = list(dict.fromkeys(names))
    same = bare(word)
    near = [name for name in known if bare(name) == same]
    if not near:
        if len(known) > MOST_NAMES:
            known = [name for name in known if name[:3].casefold() == word[:3].casefold()][:MOST_NAMES]
        near = difflib.get_close_matches(word, known, n=limit, cutoff=0.7)
    if not near:
        return ""
    return "; did you mean " + " or ".join(repr(name) for name in near[:limit]) + "?"


def bare(name: str) -> str:
    """A name without case, spaces, hyphens, underscores and apostrophes: "Hot dog" and "hotdog" are the same."""
    return "".join(letter for letter in name.casefold() if letter not in " _-'")
