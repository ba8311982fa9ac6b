"""Free text to WordNet: the synsets that a data set's label may mean, best first.

A label is read by `wordtree.phrases`; the senses of its words are weighed by what labels of pictures usually mean:

    how often the sense was seen in WordNet's tagged texts, and its place in WordNet's order
    whether it is a thing one can see, and of what kind: an animal rather than a person or a dish of that name
    whether ImageNet has pictures of it
    whether it lies below the parent that the data set gives, or below what the label has in brackets
    whether most other labels with the same parent are of its kind: "mouse" among "laptop" and "keyboard"
    whether the tree in question has it as a node

`Candidate.confidence` is the candidate's share of all weights times the trust in the reading. It orders the work of
a reviewer; `benchmarks/mapper_accuracy.py` measures how often it is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Sequence
from dataclasses import dataclass

from wordtree.label_space import Relation
from wordtree.phrases import plain, readings, split_bracket
from wordtree.senses import Senses, imagenet_set, load_senses
from wordtree.wordnet import WordNet

MOST_CANDIDATES = 6
ACCEPT = 0.8

PHYSICAL = "n00001930"
PERSON = "n00007846"
# Kinds of things that are labelled in pictures, and how a word that names several kinds is usually meant:
# a duck is the bird, then the dish; an orange is the fruit, then the tree. The first kind that holds counts.
KINDS: tuple[tuple[str, float], ...] = (
    ("n00015388", 3.0),  # animal
    (PERSON, 0.3),
    ("n07555863", 2.0),  # food, solid
    ("n00021265", 2.0),  # food
    ("n13134947", 2.0),  # fruit
    ("n00017222", 1.0),  # plant
    ("n05220461", 1.5),  # body part
    ("n00021939", 3.0),  # artifact
    ("n09287968", 1.0),  # geological formation
    ("n00019128", 1.0),  # natural object
    ("n00020090", 0.3),  # substance
    ("n06791372", 1.0),  # signal: traffic light, road sign
    (PHYSICAL, 0.5),
)
FOODS = ("n07555863", "n00021265", "n13134947")
ABSTRACT = 0.1
INSTANCE = 0.05
IN_IMAGENET = 3.0
BELOW_PARENT = 40.0
IN_TREE = 2.0
FIRST_LEMMA = 1.5
IN_BRACKET = 30.0  # for a word that the label and its bracket form together
OF_NO_NEIGHBOUR, OF_ALL_NEIGHBOURS = 0.2, 5.0  # for a kind that none, or every, label of the same parent has
FEWEST_NEIGHBOURS = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A synset that a label may mean. `relation` is how it stands to the label; `confidence` in [0, 1]."""

    wnid: str
    relation: Relation
    rule: str
    confidence: float


class Matcher:
    """Finds synsets for labels.

    Args:
        senses: WordNet's words; the shipped ones if left out.
        tree: wnids that are preferred, because the tree has them as nodes.
    """

    def __init__(self, senses: Senses | None = None, *, tree: Container[str] = ()) -> None:
        self.senses = senses or load_senses()
        self.wordnet: WordNet = self.senses.wordnet
        self.tree = tree
        self._kinds: dict[str, tuple[str, float]] = {}
        self._parents: dict[tuple[str, ...], frozenset[str]] = {}

    def match(self, labels: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[Candidate, ...]]:
        """The candidates of every (label, parents) of one data set; labels with the same parents help each other."""
        alone = [self.candidates(label, parents=parents) for label, parents in labels]
        groups: dict[tuple[str, ...], Counter[str]] = {}
        for found, (_, parents) in zip(alone, labels, strict=True):
            if found and parents:
                groups.setdefault(tuple(parents), Counter())[self._kind(found[0].wnid)[0]] += 1
        matched: list[tuple[Candidate, ...]] = []
        for found, (label, parents) in zip(alone, labels, strict=True):
            group = Counter(groups.get(tuple(parents), ()))
            if found and group:
                group[self._kind(found[0].wnid)[0]] -= 1
            if found and group.total() >= FEWEST_NEIGHBOURS:
                found = self.candidates(label, parents=parents, neighbours=group)
            matched.append(found)
        return matched

    def candidates(
        self, label: str, *, parents: Sequence[str] = (), neighbours: Counter[str] | None = None
    ) -> tuple[Candidate, ...]:
        """What a label may mean, most likely first; empty if WordNet has none of its words.

        Args:
            label: as the data set has it: "Crow (bird)", "wine_glasses", "Microwave/Oven".
            parents: words for what it is a kind of, by the data set: COCO's supercategory.
            neighbours: how many other labels with these parents are of each kind.
        """
        bracket = split_bracket(plain(label))[1]
        above = self._senses_of((*parents, bracket) if bracket else tuple(parents))
        weights: dict[str, tuple[float, float, Relation, str]] = {}
        for reading in readings(label, self.senses):
            for rank, (wnid, count) in enumerate(self.senses.ranked(reading.word), 1):
                if reading.only and wnid not in reading.only:
                    continue
                weight = reading.weight * reading.trust * self._weight(wnid, reading.word, rank, count, above)
                if reading.rule == "bracket":
                    weight *= IN_BRACKET
                if neighbours is not None:
                    share = neighbours[self._kind(wnid)[0]] / neighbours.total()
                    weight *= OF_NO_NEIGHBOUR + (OF_ALL_NEIGHBOURS - OF_NO_NEIGHBOUR) * share
                if wnid not in weights or weights[wnid][0] < weight:
                    weights[wnid] = (weight, reading.trust, reading.relation, reading.rule)
        total = sum(weight for weight, *_ in weights.values())
        found = [
            Candidate(wnid, relation, rule, round(weight / total * trust * self._seen(wnid), 4))
            for wnid, (weight, trust, relation, rule) in weights.items()
        ]
        found.sort(key=lambda candidate: (-weights[candidate.wnid][0], candidate.wnid))
        return tuple(found[:MOST_CANDIDATES])

    def _weight(self, wnid: str, word: str, rank: int, count: int, above: frozenset[str]) -> float:
        weight = (count + 3.0) / rank * self._kind(wnid)[1]
        if not self.wordnet.hypernyms(wnid):
            weight *= INSTANCE
        if wnid in imagenet_set():
            weight *= IN_IMAGENET
        if above and (wnid in above or above & self.wordnet.closure(wnid)):
            weight *= BELOW_PARENT
        if wnid in self.tree:
            weight *= IN_TREE
        if self.wordnet.name(wnid).casefold() == word:
            weight *= FIRST_LEMMA
        return weight

    def _kind(self, wnid: str) -> tuple[str, float]:
        """The first of `KINDS` that the synset belongs to, and its weight; all foods are one kind."""
        found = self._kinds.get(wnid)
        if found is None:
            inside = self.wordnet.closure(wnid) | {wnid}
            kind, weight = next((pair for pair in KINDS if pair[0] in inside), ("", ABSTRACT))
            found = (FOODS[0] if kind in FOODS else kind, weight)
            self._kinds[wnid] = found
        return found

    def _seen(self, wnid: str) -> float:
        """Less trust in a sense that no picture shows, even if its word has no other."""
        if wnid in imagenet_set() or wnid in self.tree:
            return 1.0
        return 0.9 if self._kind(wnid)[1] > ABSTRACT else 0.5

    def _senses_of(self, words: tuple[str, ...]) -> frozenset[str]:
        """All senses of some words; of the head of a phrase that WordNet does not have."""
        known = self._parents.get(words)
        if known is not None:
            return known
        found: set[str] = set()
        for word in words:
            for reading in readings(word, self.senses):
                found.update(wnid for wnid, _ in self.senses.ranked(reading.word))
        self._parents[words] = frozenset(found)
        return self._parents[words]
