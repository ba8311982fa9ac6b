"""The nouns of WordNet 3.0: names and hypernyms of every synset, by wnid.

A wnid is `n` and the eight-digit offset of the synset in `data.noun` of WordNet 3.0 (`n02084071` is dog): the key of
ImageNet, of LVIS and of this project. Two readers give the same object: `load_wordnet` reads the snapshot that ships
with the package, `read_nltk` reads the user's own NLTK data. Glosses and other relations are left out.

Pointers keep the order of `data.noun`. That is why NLTK's own parser is not used: it holds pointers in sets, so their
order is lost.
"""

from __future__ import annotations

import functools
import hashlib
import lzma
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files

from schemas.errors import FormatError, InputError, LabelError
from wordtree.suggestions import did_you_mean

SNAPSHOT = "wordnet-3.0-nouns.tsv.xz"
HEADER = "# WordNet 3.0 nouns: offset, lemmas, hypernyms, instance hypernyms. See WORDNET-LICENSE."
NUM_SYNSETS = 82115
LONGEST_TOLD = 60
FIND_HINT = "find one with `wordtree tree find WORD`"

_WNID = re.compile(r"n\d{8}")


class WordNet:
    """Noun synsets by wnid. Immutable; rows are split when they are first asked for.

    Args:
        rows: wnid -> `lemmas TAB hypernyms TAB instance hypernyms`, each field separated by single spaces, lemmas with
            underscores, hypernyms as eight-digit offsets. The order is kept.
    """

    def __init__(self, rows: Mapping[str, str]) -> None:
        self._rows = dict(rows)
        self._split: dict[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {}
        self._paths: dict[str, tuple[tuple[str, ...], ...]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, wnid: object) -> bool:
        return wnid in self._rows

    def __repr__(self) -> str:
        return f"WordNet({len(self)} noun synsets)"

    def __reduce__(self) -> tuple[object, ...]:
        return WordNet, (self._rows,)

    @property
    def wnids(self) -> tuple[str, ...]:
        """All wnids in file order, which is ascending."""
        return tuple(self._rows)

    @property
    def rows(self) -> Mapping[str, str]:
        """The text of every row, as given."""
        return self._rows

    @functools.cached_property
    def digest(self) -> str:
        """sha256 over all rows, as hex: names the version of WordNet that a tree was built from."""
        return hashlib.sha256("".join(f"{wnid}\t{row}\n" for wnid, row in self._rows.items()).encode()).hexdigest()

    def lemmas(self, wnid: str) -> tuple[str, ...]:
        """The words of a synset, most usual spelling first, with spaces: `("fireplug", "fire hydrant", "plug")`."""
        return tuple(lemma.replace("_", " ") for lemma in self._fields(wnid)[0])

    def name(self, wnid: str) -> str:
        """The first lemma. Names repeat: 82,115 synsets have 67,893 different first lemmas."""
        return self._fields(wnid)[0][0].replace("_", " ")

    def hypernyms(self, wnid: str) -> tuple[str, ...]:
        """Direct hypernyms ("a dog is a kind of ...") in the order of `data.noun`."""
        return self._fields(wnid)[1]

    def instance_hypernyms(self, wnid: str) -> tuple[str, ...]:
        """Classes that this single thing belongs to ("Mars is a ...") in the order of `data.noun`."""
        return self._fields(wnid)[2]

    def parents(self, wnid: str) -> tuple[str, ...]:
        """Hypernyms, then instance hypernyms: one step up. Empty for `n00001740` entity alone."""
        _, hypernyms, instance_hypernyms = self._fields(wnid)
        return hypernyms + instance_hypernyms

    def paths(self, wnid: str) -> tuple[tuple[str, ...], ...]:
        """Every way up to the root, each as wnids from the synset itself to `n00001740` entity."""
        found = self._paths.get(wnid)
        if found is None:
            above = self.parents(wnid)
            found = tuple((wnid, *path) for parent in above for path in self.paths(parent)) if above else ((wnid,),)
            self._paths[wnid] = found
        return found

    def closure(self, wnid: str) -> frozenset[str]:
        """All hypernyms of any height, without the synset itself."""
        return frozenset(above for path in self.paths(wnid) for above in path[1:])

    def synsets_of(self, lemma: str) -> tuple[str, ...]:
        """The wnids that have this word, ascending; case does not matter, spaces and underscores are the same."""
        return tuple(self._by_lemma.get(lemma.strip().casefold().replace(" ", "_"), ()))

    @property
    def words(self) -> tuple[str, ...]:
        """All words in small letters, with underscores."""
        return tuple(self._by_lemma)

    @functools.cached_property
    def _by_lemma(self) -> dict[str, list[str]]:
        index: dict[str, list[str]] = {}
        for wnid, row in self._rows.items():
            for lemma in dict.fromkeys(row.split("\t", 1)[0].casefold().split(" ")):
                index.setdefault(lemma, []).append(wnid)
        return index

    def _fields(self, wnid: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        found = self._split.get(wnid)
        if found is None:
            row = self._rows.get(wnid)
            if row is None:
                raise LabelError(unknown_wnid(self, wnid))
            lemmas, hypernyms, instances = row.split("\t")
            found = (
                tuple(lemmas.split(" ")),
                tuple(f"n{offset}" for offset in hypernyms.split()),
                tuple(f"n{offset}" for offset in instances.split()),
            )
            self._split[wnid] = found
        return found


def unknown_wnid(wordnet: WordNet, wnid: str) -> str:
    """One sentence for a wnid that WordNet 3.0 does not have: what was found, what was expected, what to do."""
    wnid = wnid if len(wnid) <= LONGEST_TOLD else wnid[:LONGEST_TOLD] + "…"
    if _WNID.fullmatch(wnid):
        return f"wnid {wnid!r} is no noun synset of WordNet 3.0; offsets of other WordNet versions differ: {FIND_HINT}"
    senses = wordnet.synsets_of(wnid)
    if senses:
        told = ", ".join(f"{sense} ({wordnet.name(sense)})" for sense in senses[:5])
        return f"{wnid!r} is a word, not a wnid; expected one of its {len(senses)} noun senses: {told}"
    near = did_you_mean(wnid, ("n" + wnid,)) if re.fullmatch(r"\d{8}", wnid) else ""
    return f"{wnid!r} is no wnid; expected 'n' and eight digits such as 'n02084071'{near or '; ' + FIND_HINT}"


@functools.lru_cache(maxsize=1)
def load_wordnet() -> WordNet:
    """The nouns of WordNet 3.0 that ship with this package; read once per process (about 0.1 s).

    Raises:
        InputError: the snapshot is missing or damaged.
    """
    place = files("wordtree") / "data" / SNAPSHOT
    try:
        text = lzma.decompress(place.read_bytes()).decode()
    except (OSError, lzma.LZMAError) as error:
        raise InputError(f"{place}: cannot read the WordNet snapshot ({error}); install the package again") from error
    lines = text.split("\n")
    if lines[0] != HEADER or len(lines) != NUM_SYNSETS + 2 or lines[-1]:
        raise InputError(
            f"{place}: expected {NUM_SYNSETS} synsets under {HEADER!r}; found {len(lines) - 2} under {lines[0]!r}; "
            "install the package again"
        )
    return WordNet({"n" + line[:8]: line[9:] for line in lines[1:-1]})


def read_nltk() -> WordNet:
    """The nouns of WordNet 3.0 from the user's NLTK data (`nltk.download("wordnet")`).

    Raises:
        InputError: the package nltk or its WordNet data is missing.
        FormatError: the data is not WordNet 3.0.
    """
    try:
        import nltk.data
    except ImportError as error:
        raise InputError("the package nltk is missing; install it with: pip install 'wordtree[nltk]'") from error
    try:
        pointer = nltk.data.find("corpora/wordnet")
        with pointer.join("data.noun").open() as stream:
            text = stream.read()
    except (LookupError, OSError) as error:
        raise InputError(
            "NLTK has no WordNet data (corpora/wordnet); get it with: python -m nltk.downloader wordnet, or set "
            "NLTK_DATA to the folder that holds it"
        ) from error
    lines = (text.decode() if isinstance(text, bytes) else text).splitlines()
    return WordNet(parse_data_noun(lines, where=str(pointer)))


def parse_data_noun(lines: Iterable[str], *, where: str) -> dict[str, str]:
    """Rows for `WordNet` from the lines of `data.noun` (format: man page wndb(5WN)).

    Args:
        lines: the file's lines, licence included.
        where: the file's name, for messages.

    Raises:
        FormatError: a line does not follow the format, or the file is not version 3.0.
    """
    rows: dict[str, str] = {}
    version_seen = False
    for number, line in enumerate(lines, 1):
        if line.startswith(" "):
            version_seen = version_seen or "WordNet 3.0 Copyright" in line
            continue
        words = line.split("|", 1)[0].split()
        try:
            offset, kind, num_lemmas = words[0], words[2], int(words[3], 16)
            lemmas = words[4 : 4 + 2 * num_lemmas : 2]
            start = 5 + 2 * num_lemmas
            pointers = words[start : start + 4 * int(words[start - 1])]
            hypernyms = _targets(pointers, "@")
            instances = _targets(pointers, "@i")
            if kind != "n" or not re.fullmatch(r"\d{8}", offset) or not lemmas or len(pointers) % 4:
                raise ValueError
        except (IndexError, ValueError) as error:
            raise FormatError(f"{where} line {number}: expected a noun synset; found {line[:60]!r}") from error
        rows[f"n{offset}"] = "\t".join((" ".join(lemmas), " ".join(hypernyms), " ".join(instances)))
    if not version_seen or len(rows) != NUM_SYNSETS:
        raise FormatError(
            f"{where}: expected data.noun of WordNet 3.0 with {NUM_SYNSETS} synsets; found {len(rows)} synsets"
            + ("" if version_seen else " and no notice of version 3.0")
        )
    return rows


def _targets(pointers: list[str], symbol: str) -> list[str]:
    return [pointers[i + 1] for i in range(0, len(pointers), 4) if pointers[i] == symbol and pointers[i + 2] == "n"]
