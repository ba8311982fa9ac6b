"""Captions stay inside the picture and readable; the picture handed in is left alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from detector.draw import (
    CUT,
    TINT,
    DrawnBox,
    _common,
    _luminance,
    _place,
    caption_font,
    colour_of,
    contact_sheet,
    draw_detections,
    enlarged,
    fit_caption,
    ink_on,
    tint_masks,
)
from schemas.boxes import Box

PATH = "animal > bird > penguin > king penguin 0.71"
GREY = Image.new("RGB", (96, 96), (128, 128, 128))


def changed(before, after):
    """bool[H, W]: where two pictures differ."""
    return (np.asarray(before, int) != np.asarray(after, int)).any(axis=-1)


def test_small_picture_is_enlarged_by_a_whole_factor_and_a_large_one_is_not():
    assert enlarged(GREY, 320).size == (384, 384)
    assert enlarged(Image.new("L", (30, 500)), 320).size == (330, 5500)
    assert enlarged(Image.new("RGB", (640, 480)), 320).size == (640, 480)
    assert enlarged(Image.new("RGBA", (640, 480)), 320).mode == "RGB"


def test_picture_handed_in_is_not_drawn_on():
    image = Image.new("RGB", (400, 400), "teal")
    draw_detections(image, [DrawnBox(Box(0.1, 0.1, 0.9, 0.9), PATH, "k")])
    assert image.getcolors() == [(160000, (0, 128, 128))]


def test_frame_stands_on_the_box():
    drawn = draw_detections(Image.new("RGB", (400, 400)), [DrawnBox(Box(0.25, 0.5, 0.75, 0.875), "", "k")])
    rows, columns = np.nonzero(changed(Image.new("RGB", (400, 400)), drawn))
    assert (rows.min(), rows.max()) == (101, 298)  # a black line of one pixel lies outside the coloured frame
    assert (columns.min(), columns.max()) == (201, 348)


def test_path_loses_its_first_steps_then_letters_and_keeps_its_score():
    font = caption_font((384, 384))
    assert fit_caption(PATH, font, 1000) == PATH
    room = font.getlength("… > penguin > king penguin 0.71") + 1
    assert fit_caption(PATH, font, room) == "… > penguin > king penguin 0.71"
    room = font.getlength("king penguin 0.71") + 1
    assert fit_caption(PATH, font, room).endswith("… 0.71")
    assert fit_caption("a\nb", font, 1000) == "a b"


@given(
    words=st.lists(st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=30), max_size=6),
    room=st.floats(0, 400),
)
def test_fitted_caption_is_never_wider_than_its_room(words, room):
    font = caption_font((384, 384))
    shorter = fit_caption(" > ".join(words) + " 0.50", font, room)
    assert font.getlength(shorter) <= room or shorter == ""
    assert shorter == " ".join((" > ".join(words) + " 0.50").split()) or CUT in shorter or len(shorter) <= 4


@given(
    sides=st.tuples(st.integers(40, 900), st.integers(40, 900)),
    corner=st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)),
    size=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    below=st.booleans(),
)
def test_caption_band_lies_inside_the_picture(sides, corner, size, below):
    width, height = enlarged(Image.new("RGB", sides), 320).size
    font = caption_font((width, height))
    text = fit_caption(PATH, font, width - 8)
    left, top = corner[0] * width, corner[1] * height
    area = (left, top, left + size[0] * width, top + size[1] * height)
    band = _place(text, font, area, (width, height), [], below_first=below)
    assert 0 <= band[0] < band[2] <= width - 1
    assert 0 <= band[1] < band[3] <= height - 1
    assert band[2] - band[0] >= font.getlength(text)


def test_captions_of_boxes_at_one_place_do_not_cover_each_other():
    font, taken = caption_font((384, 384)), []
    for _ in range(5):
        band = _place("triangle 0.50", font, (100, 150, 250, 250), (384, 384), taken, below_first=False)
        assert all(_common(band, other) == 0 for other in taken)
        taken.append(band)


@pytest.mark.parametrize(
    "box", [Box(0, 0, 1, 1), Box(-0.5, -0.5, 1.5, 1.5), Box(0.99, 0.99, 1, 1), Box(0.5, 0.5, 0.5, 0.5)]
)
@pytest.mark.parametrize("size", [(1, 1), (96, 96), (1000, 40), (40, 1000)])
def test_any_box_on_any_picture_can_be_drawn(box, size):
    row = DrawnBox(box, PATH, "k")
    drawn = draw_detections(Image.new("RGB", size), [row], truths=[row], least_side=64)
    assert min(drawn.size) >= 64
    assert changed(enlarged(Image.new("RGB", size), 64), drawn).any()


def test_truth_is_dashed_and_shows_on_black_and_on_white():
    for ground in ("black", "white"):
        image = Image.new("RGB", (400, 400), ground)
        drawn = draw_detections(image, [], truths=[DrawnBox(Box(0.2, 0.2, 0.8, 0.8), "", "k")])
        top = np.asarray(drawn)[80, 80:319, 0]
        assert {0, 255} <= set(top.tolist())
        assert np.count_nonzero(np.diff(top.astype(int))) > 10
        assert changed(image, drawn).any()


def test_colours_belong_to_keys_and_captions_have_contrast():
    assert colour_of("n13879320") == colour_of("n13879320")
    assert len({colour_of(f"n{k:08}") for k in range(60)}) > 30
    for k in range(200):
        colour = colour_of(str(k))
        light, ink = _luminance(colour), _luminance(ink_on(colour))
        assert (max(light, ink) + 0.05) / (min(light, ink) + 0.05) >= 4.5


def test_best_detection_is_drawn_on_top():
    rows = [DrawnBox(Box(0.2, 0.2, 0.8, 0.8), "", "a"), DrawnBox(Box(0.2, 0.2, 0.8, 0.8), "", "b")]
    drawn = draw_detections(Image.new("RGB", (400, 400)), rows)
    assert drawn.getpixel((200, 82)) == colour_of("a") != colour_of("b")


def test_contact_sheet_has_a_cell_for_every_picture():
    sheet = contact_sheet([GREY] * 5, ["one", "two", "three", "four", "five" * 60], columns=3, cell=100)
    assert sheet.width == 3 * 108 + 8
    assert sheet.getpixel((58, 58)) == (128, 128, 128)
    two = contact_sheet([GREY] * 5, ["one\nfile", "two", "three", "four", "five"], columns=3, cell=100)
    assert two.width == sheet.width
    assert two.height > sheet.height
    below = np.asarray(two.crop((8, 8 + 100, 108, 8 + 100 + (two.height - sheet.height) // 2 + 20)))
    assert (below < 90).any(), "the first line is black"
    with pytest.raises(ValueError, match="found 1 pictures and 2 captions"):
        contact_sheet([GREY], ["a", "b"])
    with pytest.raises(ValueError, match="0 columns"):
        contact_sheet([GREY], ["a"], 0)


def test_a_mask_is_tinted_inside_and_has_an_outline():
    image = Image.new("RGB", (40, 30), (100, 100, 100))
    mask = np.zeros((30, 40), np.uint8)
    mask[10:20, 5:25] = 3
    tinted = np.asarray(tint_masks(image, [(mask, "k")]))
    assert (tinted[mask == 0] == 100).all()
    assert tuple(tinted[10, 5]) == tuple(tinted[19, 24]) == colour_of("k")
    inner = np.array([100 + (c - 100) * TINT for c in colour_of("k")])
    assert abs(tinted[15, 15] - inner).max() <= 1
    assert image.getcolors() == [(1200, (100, 100, 100))]


def test_a_mask_over_the_whole_picture_has_no_outline():
    tinted = tint_masks(Image.new("RGB", (9, 9)), [(np.ones((9, 9), np.uint8), "k")])
    assert len(tinted.getcolors() or ()) == 1


def test_points_are_dots_on_their_places():
    box = DrawnBox(Box(0.1, 0.1, 0.9, 0.9), "", "k", points=((0.5, 0.25), (2.0, 2.0)))
    drawn = draw_detections(Image.new("RGB", (400, 400)), [box])
    assert drawn.getpixel((100, 200)) == colour_of("k")
    assert drawn.getpixel((200, 200)) == (0, 0, 0)
