"""Contact sheets: captions that can be read, and classes found by any of their names."""

from __future__ import annotations

import pytest
from PIL import ImageFont

from detector import inspect
from detector.dataset import open_dataset
from detector.inspect import CAPTION_LETTERS, CAPTION_ROOM, dataset_sheet, fitted_caption
from schemas.errors import InputError
from schemas.manifest import ClassEntry
from schemas.record import ImageLabel, ImageRecord
from tests.detector.conftest import draw, png


@pytest.fixture
def dogs(make_dataset, tmp_path):
    """Three images in the way of ImageNet, whose labels are wnids, of twelve classes."""
    names = ["Border terrier", "beagle", *(f"dog {k}" for k in range(10))]
    classes = [
        ClassEntry(id=k + 1, label=f"n0209375{k}", wnid=f"n0209375{k}", display_name=name)
        for k, name in enumerate(names)
    ]
    records = [
        ImageRecord(
            image_id=f"n0209375{k}/n0209375{k}_{number}",
            source="test",
            uri="x.png",
            filename="x.png",
            has_boxes=False,
            format="png",
            height=32,
            width=32,
            labels=(ImageLabel(label=f"n0209375{k}", class_id=k + 1),),
            encoded=png(draw("disc", number)[0]),
        )
        for number, k in enumerate((0, 1, 1))
    ]
    return open_dataset(str(make_dataset(tmp_path / "dogs", records, classes, has_boxes=False)))


def test_caption_has_the_name_and_the_id_once(dogs, monkeypatch):
    seen = []
    monkeypatch.setattr(inspect, "contact_sheet", lambda images, captions, **_: seen.extend(captions))
    dataset_sheet(dogs, count=9)
    assert seen == ["Border terrier · n02093750_0", "beagle · n02093751_1", "beagle · n02093751_2"]


@pytest.mark.parametrize("wanted", ["beagle", "Beagle", "n02093751"])
def test_class_is_found_by_any_of_its_names(dogs, wanted):
    assert dataset_sheet(dogs, count=9, wanted=wanted)[1] == 2


@pytest.mark.parametrize("wanted", ["cat", "dog 3"])
def test_class_without_images_names_some_that_there_are(dogs, wanted):
    with pytest.raises(
        InputError, match=rf"no image with '{wanted}'; it has Border terrier, beagle, .*, dog 5 and 4 more$"
    ):
        dataset_sheet(dogs, count=9, wanted=wanted)


def test_long_caption_loses_whole_words_and_says_so():
    font = ImageFont.load_default(CAPTION_LETTERS)
    words = ", ".join(["bald eagle", "no golden eagle"] * 9)
    for caption in (fitted_caption(words, "val_17"), fitted_caption("x" * 99, "y" * 99), fitted_caption("", "short")):
        assert font.getlength(caption) <= CAPTION_ROOM
    cut = fitted_caption(words, "val_17")
    assert cut.endswith(" … · val_17")
    assert set(cut.removesuffix(" … · val_17").replace(",", "").split()) <= set(["bald", "no", "golden", "eagle"])
    assert fitted_caption("x" * 99, "y" * 99).startswith("…yy")
    assert fitted_caption("", "short") == "short"
