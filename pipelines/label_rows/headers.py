"""What a table says of itself before its rows are read: columns and their types, names of labels, images in it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.files import storage
from pipelines.label_rows.dialect import check_tencent, read_dialect
from pipelines.label_rows.embedded import image_column, is_binary, is_image_struct, label_names
from pipelines.label_rows.layout import Columns, Layout, find_columns, format_of
from schemas.errors import FormatError, InputError
from wordtree.text_files import GLANCE, what_it_is


def file_columns(path: str, layout: Layout) -> Columns:
    """The columns of a file by what they mean.

    Raises:
        InputError: if it cannot be read.
        FormatError: if a column is missing.
    """
    kind = format_of(path, layout)
    if layout.columns and kind not in ("csv", "tsv"):
        raise FormatError(f"{path}: --columns names those of text tables without header; this is {kind}")
    if kind == "tencent":
        check_tencent(path)
        return Columns(image="image", id="image", label="label", confidence="confidence", people=layout.people)
    if kind == "parquet":
        with opened_parquet(path) as file:
            schema = file.schema_arrow
        found = find_columns(path, _names(schema), layout)
        for name in found.names():
            _check_type(path, name, _type_of(schema, name))
        return found
    return read_dialect(path, kind, layout).columns


def _names(schema: pa.Schema) -> list[str]:
    """The columns, those that are structures followed by their fields."""
    fields = {field.name: [f"{field.name}.{name}" for name in _fields(field)] for field in schema}
    return [name for column in schema.names for name in (column, *fields.get(column, ()))]


def _type_of(schema: pa.Schema, name: str) -> pa.DataType:
    head, _, inner = name.partition(".")
    whole = schema.field(name if name in schema.names else head).type
    return whole if name in schema.names else whole.field(inner).type if pa.types.is_struct(whole) else whole


def _check_type(path: str, name: str, kind: pa.DataType) -> None:
    """See that a column has one value a row, or a list of them.

    Raises:
        FormatError: if it holds structures or maps.
    """
    inner = kind.value_type if is_list(kind) or pa.types.is_fixed_size_list(kind) else kind
    if pa.types.is_nested(inner):
        way = f"; its images are taken with --bytes-column {name}.bytes" if is_image_struct(kind) else ""
        raise FormatError(f"{path}: column {name!r} holds {kind}; expected text or numbers: name another column{way}")


def images_inside(paths: Sequence[str], layout: Layout) -> str:
    """The column in which Parquet tables hold their images; "" if there is none, or not the same in each.

    What cannot be read is left for `file_columns` to tell.
    """
    found: set[str] = set()
    for path in paths:
        with contextlib.suppress(FormatError, InputError, pa.ArrowException, OSError, ValueError):
            if format_of(path, layout) == "parquet":
                with opened_parquet(path) as file:
                    found.add(image_column(file))
                continue
        found.add("")
    return found.pop() if len(found) == 1 else ""


def table_names(path: str, layout: Layout) -> tuple[str, ...]:
    """The names of numbered labels in a table's own metadata, in the order of their numbers; () for none."""
    if format_of(path, layout) != "parquet" or layout.numbers:
        return ()
    with opened_parquet(path) as file:
        return label_names(file.schema_arrow, file_columns(path, layout).label)


def table_notes(path: str, layout: Layout) -> Iterator[str]:
    """What the plan says of a table: columns that are not used, and what was found in its form."""
    kind, name = format_of(path, layout), storage.name_of(path)
    if kind == "tencent":
        return
    columns = file_columns(path, layout)
    if columns.unused:
        one = len(columns.unused) == 1
        listed = ", ".join(repr(column) for column in columns.unused[:20])
        more = f" and {len(columns.unused) - 20} more" if len(columns.unused) > 20 else ""
        yield f"{name}: column{'s' * (not one)} {listed}{more} {'is' if one else 'are'} not used"
    if kind == "parquet":
        if layout.bytes:
            yield f"{name}: images in the column {layout.bytes!r}"
        if names := table_names(path, layout):
            yield f"{name}: its metadata names {len(names)} labels"
        return
    dialect = read_dialect(path, kind, layout)
    if not dialect.usual:
        yield f"{name}: cells parted by {dialect.separator!r}{'' if dialect.header else ', no header'}"


def check_bytes_column(path: str, name: str) -> None:
    """See that a Parquet file has the column of images, or the field of one (`image.bytes`).

    Raises:
        FormatError: if there is none, with those that are there; or if it holds no bytes.
    """
    with opened_parquet(path) as file:
        schema = file.schema_arrow
    there = sorted(_names(schema), key=lambda column: column not in schema.names)
    if name not in there:
        raise FormatError(f"{path}: no column {name!r} (--bytes-column); found {', '.join(there)[:200]}")
    kind = _type_of(schema, name)
    if not is_binary(kind):
        found = ", ".join(there)[:200]
        raise FormatError(f"{path}: --bytes-column {name!r} holds {kind}; expected bytes. Found {found}")


def _fields(field: pa.Field) -> list[str]:
    """Names of the fields of a structure, or of a list of them."""
    kind = field.type.value_type if is_list(field.type) else field.type
    return [inner.name for inner in kind] if pa.types.is_struct(kind) else []


@contextlib.contextmanager
def opened_parquet(path: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file.

    Raises:
        InputError, FormatError: if it is none.
    """
    try:
        with storage.opened(path) as stream, pq.ParquetFile(stream) as file:
            yield file
    except FileNotFoundError:
        raise InputError(f"label rows {path!r} do not exist") from None
    except pa.ArrowInvalid as error:
        with storage.opened(path) as stream:
            told = what_it_is(stream.read(GLANCE))
        raise FormatError(f"{path}: {told or ' '.join(str(error).split())}; expected a Parquet file") from error


def is_list(kind: pa.DataType) -> bool:
    """Whether a column of this type holds lists, of any length."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)
