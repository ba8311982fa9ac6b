"""What WordNet 3.0 knows about words beside its synsets: the order of a noun's senses, how often each was seen, plural
forms, and which synsets ImageNet-21k has pictures of.

Only `wordtree.matching` needs them, so they lie in files of their own beside the snapshot of the nouns and are read
when they are first asked for. `scripts/make_wordnet_snapshot.py` makes the first of them from `index.sense` and
`noun.exc`.
"""

from __future__ import annotations

import functools
import lzma
from collections.abc import Iterable, Mapping
from importlib.resources import files

from schemas.errors import FormatError, InputError
from wordtree.wordnet import WordNet

SENSES = "wordnet-3.0-noun-senses.tsv.xz"
IMAGENET = "imagenet21k.txt.xz"
HEADER = (
    "# WordNet 3.0 noun senses: word, its synsets by sense order (place among its offsets:times seen), or plural and "
    "=singular. See WORDNET-LICENSE."
)

# morphy(7WN): noun suffix -> ending, in this order
DETACHMENTS = (
    ("s", ""),
    ("ses", "s"),
    ("ves", "f"),
    ("xes", "x"),
    ("zes", "z"),
    ("ches", "ch"),
    ("shes", "sh"),
    ("men", "man"),
    ("ies", "y"),
)


class Senses:
    """Sense order and plural forms of WordNet's nouns.

    Args:
        wordnet: the synsets that the words belong to.
        orders: word -> `place:count` for each of its synsets in sense order; `place` is the synset's place among the
            word's wnids in ascending order. Words with one sense are left out.
        exceptions: irregular plural -> its singulars, in the file's order.
    """

    def __init__(self, wordnet: WordNet, orders: Mapping[str, str], exceptions: Mapping[str, tuple[str, ...]]) -> None:
        self.wordnet = wordnet
        self._orders = orders
        self._exceptions = exceptions

    def ranked(self, word: str) -> tuple[tuple[str, int], ...]:
        """(wnid, times seen in WordNet's tagged texts) of every noun sense of a word, most usual first."""
        wnids = self.wordnet.synsets_of(word)
        order = self._orders.get(_key(word))
        if order is None:
            return tuple((wnid, 0) for wnid in wnids)
        pairs = (item.split(":") for item in order.split(" "))
        return tuple((wnids[int(place)], int(count)) for place, count in pairs)

    def synset(self, word: str, number: int) -> str | None:
        """The wnid of the n-th sense of a word, as in `aerosol.n.02`; None if it has no such sense."""
        senses = self.ranked(word)
        return senses[number - 1][0] if 0 < number <= len(senses) else None

    def singulars(self, word: str) -> tuple[str, ...]:
        """Dictionary forms of a noun by WordNet's own rules (morphy): the word itself if it is one, and its singulars.

        An irregular plural ("mice") has the forms that the list of exceptions gives; any other word loses one ending.
        """
        word = _key(word)
        forms = self._exceptions.get(word) or (
            word.removesuffix(ending) + other for ending, other in DETACHMENTS if word.endswith(ending)
        )
        return tuple(form for form in dict.fromkeys((word, *forms)) if self.wordnet.synsets_of(form))


def _key(word: str) -> str:
    return word.strip().casefold().replace(" ", "_")


@functools.lru_cache(maxsize=1)
def load_senses() -> Senses:
    """Sense order of the nouns of WordNet 3.0 that ship with this package; read once per process.

    Raises:
        InputError: the file is missing or damaged.
    """
    from wordtree.wordnet import load_wordnet

    lines = _unpack(SENSES).split("\n")
    if lines[0] != HEADER or lines[-1]:
        raise InputError(f"{SENSES}: expected {HEADER!r}; found {lines[0]!r}; install the package again")
    orders: dict[str, str] = {}
    exceptions: dict[str, tuple[str, ...]] = {}
    for line in lines[1:-1]:
        word, _, rest = line.partition("\t")
        if rest[0] == "=":
            exceptions[word] = tuple(rest[1:].split(" "))
        else:
            orders[word] = rest
    return Senses(load_wordnet(), orders, exceptions)


@functools.lru_cache(maxsize=1)
def imagenet_wnids() -> tuple[str, ...]:
    """The 21,842 synsets that ImageNet has pictures of, ascending.

    Raises:
        InputError: the file is missing or damaged.
    """
    return tuple(line for line in _unpack(IMAGENET).split("\n") if line and not line.startswith("#"))


@functools.lru_cache(maxsize=1)
def imagenet_set() -> frozenset[str]:
    """The same for asking whether a synset is among them."""
    return frozenset(imagenet_wnids())


def _unpack(name: str) -> str:
    place = files("wordtree") / "data" / name
    try:
        return lzma.decompress(place.read_bytes()).decode()
    except (OSError, lzma.LZMAError) as error:
        raise InputError(f"{place}: cannot read it ({error}); install the package again") from error


def senses_text(index_sense: Iterable[str], noun_exc: Iterable[str], wordnet: WordNet, *, where: str) -> str:
    """The content of the shipped file, from the lines of `index.sense` and `noun.exc` (senseidx(5WN), morphy(7WN)).

    Raises:
        FormatError: a line does not follow the format, or names a synset that the word does not have.
    """
    senses: dict[str, dict[int, tuple[str, int]]] = {}
    for number, line in enumerate(index_sense, 1):
        try:
            key, offset, rank, count = line.split()
            word, kind = key.rsplit("%", 1)
            if kind.startswith("1:"):
                senses.setdefault(word, {})[int(rank)] = (f"n{offset}", int(count))
        except ValueError as error:
            raise FormatError(f"{where} line {number}: expected a sense; found {line[:60]!r}") from error
    rows = [HEADER]
    for word, ranks in sorted(senses.items()):
        wnids = wordnet.synsets_of(word)
        if sorted(ranks) != list(range(1, len(wnids) + 1)) or sorted(wnid for wnid, _ in ranks.values()) != list(wnids):
            raise FormatError(f"{where}: the senses of {word!r} are not its {len(wnids)} synsets in data.noun")
        if len(wnids) > 1:
            ordered = (ranks[rank] for rank in sorted(ranks))
            rows.append(f"{word}\t" + " ".join(f"{wnids.index(wnid)}:{count}" for wnid, count in ordered))
    plurals: dict[str, list[str]] = {}
    for line in noun_exc:
        if line.strip():
            plural, *singulars = line.split()
            plurals.setdefault(plural, []).extend(singulars)
    rows += [f"{plural}\t={' '.join(dict.fromkeys(forms))}" for plural, forms in sorted(plurals.items())]
    return "\n".join((*rows, ""))
