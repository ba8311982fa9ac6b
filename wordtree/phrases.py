"""From a label as somebody wrote it to words that WordNet has.

`readings("Wine_glasses")` gives the ways to read a label, the most literal first. Each reading names its *rule* and how
far it can be trusted; `wordtree.matching` then chooses among the senses of its words.

    word          the label is a word of WordNet
    spelling      it is one with other spaces, hyphens or capitals: "tea pot", "CricketBall", "tvmonitor"
    plural        its singular is, by WordNet's own rules
    bracket       what stands in brackets, put in front, makes it one: "mouse (computer)"
    qualifier     it is one without words such as "other" or "human"
    synonyms      its parts "A, B" or "A/B" are words of one synset
    alternative   one of its parts is a word; the label means them all
    head          its last words are a word, or those before "of", "with", ...: more general than the label
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace

from wordtree.label_space import Relation
from wordtree.senses import Senses

# How often a reading by this rule is right, as far as its words go (not which of their senses).
TRUST = {
    "word": 1.0,
    "spelling": 0.95,
    "plural": 0.95,
    "bracket": 0.9,
    "qualifier": 0.7,
    "synonyms": 1.0,
    "alternative": 0.5,
    "head": 0.45,
}
EMPTY_WORDS = frozenset(("other", "human", "common", "generic", "misc", "miscellaneous", "any"))
PLURAL_OF_ITS_OWN = 0.7  # trust in "safety glass" for "safety glasses", because "glasses" is a word of its own
OTHER_SINGULAR = 0.25  # weight of the singular of a plural that is a word of its own: "glass" for "glasses"

_BRACKET = re.compile(r"(.+?)[\s]*[(\[]([^()\[\]]+)[)\]]\s*(.*)")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PARTS = re.compile(r"\s*[/,;|+&]\s*|\s+(?:and|or)\s+", re.IGNORECASE)
_TAIL = re.compile(r"\s(?:of|with|for|in|on|from|without)\s", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """One way to read a label: a word that WordNet has.

    Attributes:
        word: with spaces, as `Senses.ranked` takes it.
        rule: see the head of this module.
        relation: how a synset of the word stands to the label.
        trust: in [0, 1].
        only: if not empty, the synsets among the word's that the reading allows.
        weight: less than 1 for a reading that is less likely than another of the same rule.
    """

    word: str
    rule: str
    relation: Relation
    trust: float
    only: frozenset[str] = frozenset()
    weight: float = 1.0


def plain(text: str) -> str:
    """A label with single spaces, and no underscores or typographic forms; case is kept."""
    folded = unicodedata.normalize("NFKC", text).replace("’", "'").replace("_", " ")
    return " ".join(folded.split())


def split_bracket(text: str) -> tuple[str, str]:
    """("crow", "bird") for "crow (bird)"; the second is empty without brackets."""
    found = _BRACKET.fullmatch(text)
    if found is None:
        return text, ""
    return f"{found.group(1)} {found.group(3)}".strip(), found.group(2).strip()


def readings(label: str, senses: Senses) -> list[Reading]:
    """The readings of the most literal rule that finds any word, singular and plural together; [] if none does."""
    text, bracket = split_bracket(plain(label))
    whole = list(_literal(text, senses))
    if bracket:
        joined = [f"{bracket} {text}", *(f"{word} {text}" for word in bracket.split())]
        found = [r for phrase in joined for r in _literal(phrase, senses)]
        whole = [Reading(r.word, "bracket", "exact", TRUST["bracket"]) for r in found] + whole
    if whole:
        return whole
    parts = [part for part in _PARTS.split(text) if part]
    if len(parts) > 1:
        found = _parts(parts, senses)
        if found:
            return found
    words = text.split()
    kept = [word for word in words if word.casefold() not in EMPTY_WORDS]
    if kept and kept != words:
        found = list(_literal(" ".join(kept), senses))
        if found:
            return [replace(r, rule="qualifier", trust=TRUST["qualifier"]) for r in found]
    return _heads(text, senses)


def _literal(text: str, senses: Senses) -> Iterator[Reading]:
    """The label as it is, its singulars, then other spellings of it."""
    forms = senses.singulars(text)
    whole = plain(text).casefold()
    if forms:
        for form in (form.replace("_", " ") for form in forms):
            if form == whole:
                yield Reading(form, "word", "exact", TRUST["word"])
            else:
                alone = whole.replace(" ", "_") not in forms
                weight = 1.0 if alone else OTHER_SINGULAR
                last = whole.rpartition(" ")[2]
                own = alone and last != whole and last in senses.singulars(last)
                trust = TRUST["plural"] * (PLURAL_OF_ITS_OWN if own else 1.0)
                yield Reading(form, "plural", "exact", trust, weight=weight)
        return
    for spelling in _spellings(text, senses):
        found = senses.singulars(spelling)
        if found:
            yield Reading(found[0].replace("_", " "), "spelling", "exact", TRUST["spelling"])
            return


def _spellings(text: str, senses: Senses) -> Iterator[str]:
    """Other spaces and hyphens, and the last word in the singular."""
    loose = _CAMEL.sub(" ", text).replace("-", " ").casefold()
    words = loose.split()
    yield loose
    yield "-".join(words)
    yield "".join(words)
    if len(words) > 1:
        for last in senses.singulars(words[-1]):
            yield " ".join((*words[:-1], last))
            yield "".join((*words[:-1], last))
        for gap in range(1, len(words)):
            yield "-".join((" ".join(words[:gap]), " ".join(words[gap:])))
            yield " ".join((*words[: gap - 1], words[gap - 1] + words[gap], *words[gap + 1 :]))
        return
    for gap in range(2, len(loose) - 1):
        yield f"{loose[:gap]} {loose[gap:]}"


def _parts(parts: list[str], senses: Senses) -> list[Reading]:
    """ "A/B": what both mean, or else each of them, more special than the label."""
    found = [list(_literal(part, senses)) for part in parts]
    wnids = [frozenset(wnid for r in part for wnid, _ in senses.ranked(r.word)) for part in found]
    shared = frozenset(
        wnid for i, mine in enumerate(wnids) for wnid in mine if any(wnid in other for other in wnids[i + 1 :])
    )
    if shared:
        return [
            Reading(r.word, "synonyms", "exact", TRUST["synonyms"], shared)
            for part, mine in zip(found, wnids, strict=True)
            if mine & shared
            for r in part
            if any(wnid in shared for wnid, _ in senses.ranked(r.word))
        ][:1]
    trust = TRUST["alternative"]
    return [replace(r, rule="alternative", relation="narrower", trust=trust * r.trust) for part in found for r in part]


def _heads(text: str, senses: Senses) -> list[Reading]:
    """The longest last words that WordNet has; a single unknown word may be two in one: "pottedplant"."""
    words = _CAMEL.sub(" ", _TAIL.split(text)[0]).replace("-", " ").split()
    for start in range(1 if len(words) == len(text.split()) else 0, len(words)):
        found = list(_literal(" ".join(words[start:]), senses))
        if found:
            return [replace(r, rule="head", relation="broader", trust=TRUST["head"] * r.trust) for r in found]
    whole = text.casefold()
    for gap in range(3, len(whole) - 2):
        if all(senses.singulars(part) for part in (whole[:gap], whole[gap:])) or (
            whole[:gap].endswith("ed") and senses.singulars(whole[gap:])
        ):
            word = senses.singulars(whole[gap:])[0].replace("_", " ")
            return [Reading(word, "head", "broader", TRUST["head"] / 2)]
    return []
