"""The few steps that look at pixels or change them; none is taken unless a run asks for it (rule R8).

JPEGs are decoded with simplejpeg, which reports what libjpeg only warns of, such as damage in the middle of a scan;
everything else with Pillow.
"""

from __future__ import annotations

import io
import warnings

from PIL import Image, ImageFile, UnidentifiedImageError

from pipelines.images.header import ImageHeader
from schemas.errors import RecordError

JPEG_QUALITY = 95
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION = 0x0112  # EXIF's tag
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, UnidentifiedImageError, Image.DecompressionBombError)


def verify(data: bytes, header: ImageHeader) -> None:
    """Decode every pixel of every frame.

    Raises:
        RecordError: reason `image:undecodable`, with what the decoder says.
    """
    try:
        if header.format == "jpeg":
            import simplejpeg

            # All that can be damaged is read for the grey channel too; it saves turning colours.
            simplejpeg.decode_jpeg(data, colorspace="CMYK" if header.channels == 4 else "GRAY")
            return
        with _opened(data) as image:
            for frame in range(getattr(image, "n_frames", 1)):
                image.seek(frame)
                image.load()
    except _DAMAGE as error:
        raise RecordError("image:undecodable", "its pixels cannot be decoded", found=str(error)[:200]) from None


def rewrite(data: bytes, header: ImageHeader, *, orientation: int = 1, upright: bool = True) -> bytes:
    """The first frame in 8 bits a channel and, if it had four inks, in RGB; turned upright as the orientation says.

    A JPEG stays a JPEG, of quality 95; everything else becomes a PNG. Metadata is left out, but for the orientation of
    a picture that is not to be `upright`.

    Raises:
        RecordError: reason `image:undecodable`.
    """
    out = io.BytesIO()
    try:
        with _opened(data) as image:
            image.load()
            picture = _eight_bit(image)
            if orientation != 1:
                picture = picture.transpose(_TRANSPOSE[orientation])
            exif = Image.Exif()
            if header.orientation != 1 and not upright:
                exif[_ORIENTATION] = header.orientation
            if header.format == "jpeg":
                subsampling = 0 if picture.mode == "RGB" else -1
                picture.save(out, "JPEG", quality=JPEG_QUALITY, subsampling=subsampling, exif=exif)
            else:
                picture.save(out, "PNG", exif=exif)
    except _DAMAGE as error:
        raise RecordError("image:undecodable", "its pixels cannot be decoded", found=str(error)[:200]) from None
    return out.getvalue()


def _opened(data: bytes) -> ImageFile.ImageFile:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # broken EXIF, odd palettes, many pixels: the checks decide about those
        return Image.open(io.BytesIO(data))


def _eight_bit(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits of grey
        return image.point(lambda value: value / 257 if image.mode != "F" else value).convert("L")
    return image.convert("RGB") if image.mode in ("CMYK", "YCbCr", "LAB", "HSV") else image
