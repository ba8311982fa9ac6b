"""Image labels of a devkit: `ImageSets/Main/dog_train.txt` says of every image of `train` whether a dog is there.

2007_000032  1     there
2007_000033 -1     not there: somebody looked at every image for every class, so this is a verified absence
2007_000039  0     there, but only as objects marked difficult; its label's source is `class_list_difficult`
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from pipelines.files import storage
from pipelines.rows import LabelRow, Rejected, Row, Statements
from pipelines.voc.lists import Known, lines_of

SAYS = {"1": (True, "class_list"), "-1": (False, "class_list"), "0": (True, "class_list_difficult")}


def class_lists(image_set: str) -> dict[str, str]:
    """Path of each class's list for an image set, by class."""
    folder, name = posixpath.split(image_set)
    ending = f"_{name}"
    names = storage.list_folder(folder)[1]
    return {file[: -len(ending)]: storage.join(folder, file) for file in names if file.endswith(ending)}


def read_class_list(path: str, label: str, known: Known) -> Iterator[Row]:
    """What the list of a class says, image by image; lines that cannot be read are rejected.

    Args:
        path: of the list.
        label: the class.
        known: the images of the set.
    """
    file = storage.name_of(path)
    for number, line in lines_of(path):
        where = f"{file}:{number}"
        name, _, word = line.replace("\t", " ").rpartition(" ")
        name = name.strip()
        found = known.find(name) if name else []
        image_id = storage.plain_text(found[0] if len(found) == 1 else name or line)
        if not name or word not in SAYS or len(found) > 1:
            yield Rejected(
                kind="label",
                record=where,
                reason="label:malformed",
                found=f"{line[:100]!r}; expected the name of one image and 1, 0 or -1",
                where=where,
                image_id=image_id,
            )
            continue
        present, source = SAYS[word]
        statement = LabelRow(class_key=label, present=present, verified=True, source=source, where=where)
        yield Statements(image_id=image_id, labels=(statement,), provenance=file)
