"""How a file is written is read off its beginning; what is no CSV is refused in a sentence."""

import csv
import hashlib
import io
import time
import zipfile
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterward.errors import Discard
from csv_pipeline.layout import HEAD, MOST_COLUMNS, Layout, layout_of

BOM = b"\xef\xbb\xbf"


def layout(text: str | bytes, *, whole: bool = True, encoding: str = "utf-8") -> Layout:
    return layout_of(text.encode() if isinstance(text, str) else text, whole=whole, encoding=encoding)


def refused(head: bytes, *, whole: bool = True, encoding: str = "utf-8") -> str:
    with pytest.raises(Discard) as error:
        layout_of(head, whole=whole, encoding=encoding)
    return str(error.value)


def test_an_ordinary_file() -> None:
    """The rows begin behind the header's line end, and the first of them is row 2."""
    expected = Layout(delimiter=",", header=("id", "name"), start=8, first_row=2, encoding="utf-8")
    assert layout("id,name\n1,x\n") == expected


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n"])
def test_the_rows_begin_behind_any_line_end(end: str) -> None:
    """Of one byte or of two."""
    assert layout(f"a,b{end}1,2{end}").start == 3 + len(end)


@pytest.mark.parametrize("end", ["", "\n", "\r", "\r\n"])
def test_a_header_alone_has_no_rows(end: str) -> None:
    """It is no error, with a line end or without."""
    found = layout(f"a,b{end}")
    assert (found.header, found.start, found.first_row) == (("a", "b"), 3 + len(end), 2)


@pytest.mark.parametrize(
    ("text", "delimiter", "columns"),
    [
        ("a,b,c\n1,2,3\n", ",", 3),
        ("a;b;c\n1;2;3\n", ";", 3),
        ("a\tb\tc\n1\t2\t3\n", "\t", 3),
        ("a|b|c\n1|2|3\n", "|", 3),
        ("name\nx\ny\n", ",", 1),
        ("name", ",", 1),
        ("name\na;b\nc\nd,e\n", ",", 1),
        ("what|ever\nx\ny\n", ",", 1),
        ("preis;menge\n1,5;2,5\n3,5;4,5\n", ";", 2),
        ("Name, first;Price\nx, y;1,5\nz, a;2,5\n", ";", 2),
        ("Last, First, Title;Price\nx, y, z;15\nz, a, b;25\n", ";", 2),
        ("a;b\n\n\n", ";", 2),
        (";;;\na;b;c;d\n", ";", 4),
        ("a,b;c\n1;2\n3;4\n", ";", 2),
        ("a;b;c\n1;2;3;\n4;5;6;\n", ";", 3),
        ("id,tags|more\n1,a|b\n2,c\n", ",", 2),
        ("id,tags|more,x\n1,a|b,3\n2,c|d,4\n", ",", 3),
        ("a, b, c\n1, 2, 3\n", ",", 3),
        ('a;b\n"x;y;z";1\n"p\nq;r";2\n', ";", 2),
        ('"a;b",c\n"1;2",3\n', ",", 2),
        ("a,b\n\n\n1,2\n\n", ",", 2),
        ("id;text\n1;Well, this, is, prose\n2;None\n3;a, b\n", ";", 2),
        ("a\tb\n1,2,3\t4\n", "\t", 2),
    ],
)
def test_the_delimiter_is_the_one_that_divides_rows_as_the_header(text: str, delimiter: str, columns: int) -> None:
    """Not the most frequent one: numbers and prose hold commas."""
    found = layout(text)
    assert (found.delimiter, len(found.header)) == (delimiter, columns)


@given(
    st.sampled_from(",;\t|"),
    st.integers(2, 6),
    st.lists(st.lists(st.text('ab1.,;|\t\n" é', max_size=6), min_size=6, max_size=6), max_size=8),
)
def test_what_the_csv_module_writes_is_read_as_it_was_written(
    delimiter: str, columns: int, cells: list[list[str]]
) -> None:
    """Whatever its cells hold, since they are quoted where they must be."""
    header = [f"name {place}" for place in range(columns)]
    text = io.StringIO(newline="")
    rows = [[f"{number}", *row[1:columns]] for number, row in enumerate(cells)]
    csv.writer(text, delimiter=delimiter).writerows([header, *rows])
    found = layout(text.getvalue())
    assert (found.delimiter, found.header) == (delimiter, tuple(header))
    rest = text.getvalue().encode()[found.start :].decode()
    assert [*csv.reader(io.StringIO(rest, newline=""), delimiter=delimiter)] == rows


@pytest.mark.parametrize(
    ("text", "delimiter", "start"),
    [
        ("sep=;\na;b\n1;2\n", ";", 10),
        ("sep=^\r\na^b\r\n", "^", 12),
        ("SEP=\t\ra\tb\r", "\t", 10),
        ("sep=,\na,b;c;d\n1,2;3;4\n", ",", 14),
        ("sep=x\n1\n", ",", 6),
        ('sep="\n', None, 0),
    ],
)
def test_a_line_for_excel_names_the_delimiter(text: str, delimiter: str | None, start: int) -> None:
    """It is no row and no header; what is no such line is a header like any other."""
    if delimiter is None:
        assert layout(text).header == ('sep="',)
        return
    found = layout(text)
    assert (found.delimiter, found.start, found.first_row) == (delimiter, start, 2)


def test_a_bom_is_skipped() -> None:
    """Before the header, and before the line for Excel."""
    assert layout(BOM + b"a,b\n1,2\n").header == ("a", "b")
    found = layout(BOM + b"sep=|\na|b\n1|2\n")
    assert (found.header, found.start) == (("a", "b"), 13)


@pytest.mark.parametrize(
    ("text", "first_row", "start"),
    [
        ("\n\r\n\ra,b\n1,2\n", 5, 8),
        ("  \n,,\na,b,c\n1,2,3\n", 4, 12),
        ('"\n "\na,b\n1,2\n', 3, 9),
        ("sep=,\n\na,b\n", 3, 11),
    ],
)
def test_blank_records_before_the_header_are_numbered(text: str, first_row: int, start: int) -> None:
    """The numbers are those that a spreadsheet shows."""
    found = layout(text)
    assert (found.first_row, found.start, found.header[:2]) == (first_row, start, ("a", "b"))


@pytest.mark.parametrize(
    ("line", "names"),
    [
        (" a , b\u00a0", ("a", "b")),
        ("a,, ,d", ("a", "column_2", "column_3", "d")),
        ("a,a,a", ("a", "a_2", "a_3")),
        ("a,a,a_2,a", ("a", "a_3", "a_2", "a_4")),
        ("a,a_2,a_2,a", ("a", "a_2", "a_2_2", "a_3")),
        ("column_2,,x", ("column_2", "column_2_2", "x")),
        ("a,A", ("a", "A")),
        ('"a ""b""",5" pipe,"c\nd"', ('a "b"', '5" pipe', "c\nd")),
        (",,x", ("column_1", "column_2", "x")),
    ],
)
def test_each_column_has_a_name_of_its_own(line: str, names: tuple[str, ...]) -> None:
    """Blanks around it are dropped, empty ones are named for their place, doubled ones are numbered."""
    assert layout(f"{line}\n").header == names


def test_a_header_may_be_quoted_over_several_lines() -> None:
    """It ends where its record does."""
    found = layout('"a\nb",c\n1,2\n')
    assert (found.header, found.start, found.first_row) == (("a\nb", "c"), 8, 2)


def test_many_columns_of_one_name_are_named_at_once() -> None:
    """The time does not grow with the square of their number."""
    names = layout(",".join(["a"] * MOST_COLUMNS)).header
    assert (len(set(names)), names[-1]) == (MOST_COLUMNS, "a_10000")


def test_more_columns_than_can_be_read_are_refused() -> None:
    """With their number."""
    assert refused(b"a," * MOST_COLUMNS) == "The file has 10,001 columns; at most 10,000 can be read."


def test_the_last_record_of_a_beginning_is_not_used() -> None:
    """It may be cut: here it would speak for semicolons."""
    head = "a,b;c;d\n1,2;3;"
    assert layout(head, whole=False).delimiter == ";"
    assert layout(head + "x\n5,6;", whole=False).delimiter == ";"
    # Only with its rest is the first row known to have as many fields as the header.
    assert layout("a;b,c\n1;2;3\n", whole=True).delimiter == ";"
    assert layout("a;b,c\n1;2,3;4;5", whole=False).header == ("a", "b,c")


@pytest.mark.parametrize(
    ("data", "encoding", "header"),
    [
        ("größe,€\n1,2\n".encode(), "utf-8", ("größe", "€")),
        ("größe,€\n1,2\n".encode("cp1252"), "cp1252", ("größe", "€")),
        ("größe,€\n1,2\n".encode("cp1252"), "utf-8", ("größe", "€")),
        ("größe,naïve,\n".encode() + b"\n", "utf-8", ("größe", "naïve", "column_3")),
        ("ä,ö,".encode() + b"\xff\n", "utf-8", ("ä", "ö", "�")),
        ("ä,".encode() + b"\xff\n", "utf-8", ("ä", "�")),
        (b"a\x81,b\n", "cp1252", ("a�", "b")),
    ],
)
def test_names_are_decoded_by_what_the_header_is_in(data: bytes, encoding: str, header: tuple[str, ...]) -> None:
    """The encoding of the rows is what the caller says: only all of them tell."""
    found = layout(data, encoding=encoding)
    assert (found.header, found.encoding) == (header, encoding)


def test_a_bom_says_that_the_rows_are_utf_8() -> None:
    """Whatever has been counted in them."""
    found = layout(BOM + "ä\n".encode() + b"\xff\xff\xff\n", encoding="cp1252")
    assert (found.header, found.encoding) == (("ä",), "utf-8")


@pytest.mark.parametrize("head", [b"", BOM, b" \r\n\t\n", BOM + b"\n", b"sep=;\n"])
def test_a_file_without_anything_is_refused(head: bytes) -> None:
    """Blanks are nothing."""
    assert refused(head) == "The file is empty."


@pytest.mark.parametrize("head", [b",,\n,,\n", b";;\n;;\n", b" | \n", b'"";""\n'])
def test_a_file_of_blank_cells_has_no_header(head: bytes) -> None:
    """Delimiters alone are no rows."""
    assert refused(head) == "The file has no header: there is no cell with text in it."


def test_a_header_must_end_in_the_beginning() -> None:
    """Where there is more of the file, what is there may be cut."""
    sentence = "The header does not end in the first 4 MiB of the file"
    assert refused(b"a,b", whole=False) == sentence + "."
    assert refused(b"\n\n\n", whole=False) == sentence + "."
    assert refused(b'a,"b\n1,2\n', whole=False) == sentence + ": a quote in it is not closed."


@pytest.mark.parametrize(("head", "row"), [(b'"a,b\n1,2\n', 1), (b'\n\na,"b\n1,2\n', 3), (b'"a;b""\n', 1)])
def test_a_quote_in_the_header_must_be_closed(head: bytes, row: int) -> None:
    """Otherwise all of the file would be its header."""
    assert refused(head) == f"The quote that opens in the header (row {row}) is never closed."


def zipped(*names: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, "application/vnd.oasis.opendocument.spreadsheet" if name == "mimetype" else "x")
    return packed.getvalue()


def open_document() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    return packed.getvalue()


IMAGE = "The file is an image; it holds no rows."
HTML = "The file is a web page (HTML) and no CSV file."
XML = "The file is XML and no CSV file."
JSON = "The file is JSON and no CSV file."
BINARY = "The file is binary and no text."
PACKED = "The file is compressed, but not with gzip; upload it unpacked or as gzip."
ZIP = "The file is a ZIP archive; upload the CSV file that is in it."

OTHERS = {
    "png": (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", IMAGE),
    "jpeg": (b"\xff\xd8\xff\xe0\0\x10JFIF", IMAGE),
    "gif": (b"GIF89a\x01\0", IMAGE),
    "webp": (b"RIFF\x01\n\0\0WEBPVP8 ", IMAGE),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "The file is a PDF document; export the table as CSV."),
    "xlsx": (
        zipped("[Content_Types].xml", "xl/workbook.xml"),
        "The file is an Excel workbook (XLSX); save it as CSV and upload that.",
    ),
    "xlsx in another order": (
        zipped("xl/workbook.xml"),
        "The file is an Excel workbook (XLSX); save it as CSV and upload that.",
    ),
    "ods": (open_document(), "The file is an OpenDocument file; save the table as CSV and upload that."),
    "zip": (zipped("table.csv"), ZIP),
    "empty zip": (zipped(), ZIP),
    "xls": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 16,
        "The file is an old Excel workbook (XLS); save it as CSV and upload that.",
    ),
    "gzip in gzip": (b"\x1f\x8b\x08\0", "The file was compressed with gzip more than once; compress it once only."),
    "bzip2": (b"BZh91AY&SY", PACKED),
    "xz": (b"\xfd7zXZ\0\0", PACKED),
    "zstd": (b"\x28\xb5\x2f\xfd\x04", PACKED),
    "7z": (b"7z\xbc\xaf\x27\x1c\0", PACKED),
    "rar": (b"Rar!\x1a\x07\x01", PACKED),
    "parquet": (b"PAR1\x15\x04\x15", "The file is a Parquet file; export it as CSV."),
    "sqlite": (b"SQLite format 3\0\x10\0", "The file is an SQLite database; export the table as CSV."),
    "elf": (b"\x7fELF\x02\x01\x01", "The file is a program; it holds no rows."),
    "rtf": (rb"{\rtf1\ansi a,b\par", "The file is a formatted document (RTF); save it as plain text."),
    "html": (b"\n<!DOCTYPE html>\n<html>", HTML),
    "html with a comment": (b"<!-- saved --><HTML lang=en>", HTML),
    "xhtml": (b'<?xml version="1.0"?>\n<!DOCTYPE html PUBLIC>', HTML),
    "table": (b"<table border=1><tr><td>a</td>", HTML),
    "xml": (b'<?xml version="1.0"?>\n<rows><row/></rows>', XML),
    "xml without a declaration": (b'<rows xmlns="urn:x" n=\'1\'>\n  <row a="1"/>\n</rows>', XML),
    "an error of S3": (b"<Error><Code>NoSuchKey</Code></Error>", XML),
    "json object": (b'{"a": 1, "b": 2}', JSON),
    "json array": (b'\n[\n  {\n    "a\\"b": 1\n  }\n]', JSON),
    "json lines": (b'{"a":1}\n{"a":2}\n', JSON),
    "json with a bom": (BOM + b'[{"a":1}]', JSON),
    "empty array": (b"[ ]\n", JSON),
    "empty object": (b"{}", JSON),
    "array of an empty object": (b"[{}]", JSON),
    "zeros": (b"\0" * 100, BINARY),
    "random bytes": (b"a" + hashlib.shake_128(b"").digest(1000), BINARY),
}


@pytest.mark.parametrize(("head", "sentence"), OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("whole", [True, False])
def test_what_is_no_csv_is_refused_by_its_beginning(head: bytes, sentence: str, *, whole: bool) -> None:
    """With what to do instead, where there is something."""
    if not whole and head in {b"[ ]\n", b"{}", b"[{}]"}:
        head += b" "
    assert refused(head, whole=whole) == sentence


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("[id],[name]", ("[id]", "[name]")),
        ("{id},{name}", ("{id}", "{name}")),
        ('"[{""a"":1}]",b', ('[{"a":1}]', "b")),
        ("[],x", ("[]", "x")),
        ("<id>,<name>", ("<id>", "<name>")),
        ("<b>id</b>,name", ("<b>id</b>", "name")),
        ("PAR1,b", ("PAR1", "b")),
        ("PK,b", ("PK", "b")),
        ("%PDF,b", ("%PDF", "b")),
        ("GIF89,b", ("GIF89", "b")),
        ("{rtf},b", ("{rtf}", "b")),
        ("SQLite format 3,b", ("SQLite format 3", "b")),
    ],
)
def test_what_only_looks_like_something_else_is_read(line: str, names: tuple[str, ...]) -> None:
    """A first cell may begin with anything."""
    assert layout(f"{line}\n1,2\n").header == names


def test_some_control_characters_do_not_make_a_text_binary() -> None:
    """What is wrong with a few rows is told of those rows."""
    assert layout(b"a,b\n1,\0\n2,\x02\n").header == ("a", "b")
    assert layout(b"a,b\n" + b"some more text,\x1b[0mplain\n" * 100).header == ("a", "b")


@pytest.mark.parametrize(
    "pattern",
    [b"\n", b",\n", b" \n", b",", b'"', b'""', b"<a ", b"[", b'{"', b"<!--", b"\r", b'a,"\n', b" ", b"\\", b"<a b='"],
)
def test_no_beginning_takes_long(pattern: bytes) -> None:
    """However much of the same it is: four times as much takes twelve times as long at most, which no square does."""
    head = (b"<a" + pattern * HEAD)[2 if pattern[:1] != b" " else 0 :][: HEAD // 4]

    def seconds(of: bytes) -> float:
        began = time.process_time()
        with suppress(Discard):
            layout_of(of, whole=False)
        return time.process_time() - began

    small = seconds(head[: HEAD // 16])
    assert min(seconds(head) for _ in range(3)) <= max(12 * small, 0.5)
