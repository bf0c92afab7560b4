"""What is no CSV file: told by its beginning, in a sentence for the person who uploaded it."""

import re

_SAMPLE = 65_536

_MAGIC = (
    (rb"\x89PNG|\xff\xd8\xff|GIF8[79]a|RIFF(?s:....)WEBP", "The file is an image; it holds no rows."),
    (rb"%PDF-\d", "The file is a PDF document; export the table as CSV."),
    (
        rb"PK\x03\x04(?s:.{26}(?:\[Content_Types\]\.xml|_rels/|docProps/|xl/))",
        "The file is an Excel workbook (XLSX); save it as CSV and upload that.",
    ),
    (
        rb"PK\x03\x04(?s:.{26}mimetypeapplication/vnd\.oasis)",
        "The file is an OpenDocument file; save the table as CSV and upload that.",
    ),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", "The file is a ZIP archive; upload the CSV file that is in it."),
    (
        rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
        "The file is an old Excel workbook (XLS); save it as CSV and upload that.",
    ),
    (rb"\x1f\x8b", "The file was compressed with gzip more than once; compress it once only."),
    (
        rb"BZh[1-9]1AY|\xfd7zXZ\x00|\x28\xb5\x2f\xfd|7z\xbc\xaf\x27\x1c|Rar!\x1a\x07",
        "The file is compressed, but not with gzip; upload it unpacked or as gzip.",
    ),
    (rb"PAR1[\x00-\x08\x0e-\x1f]", "The file is a Parquet file; export it as CSV."),
    (rb"SQLite format 3\x00", "The file is an SQLite database; export the table as CSV."),
    (rb"\x7fELF", "The file is a program; it holds no rows."),
    (rb"\{\\rtf1", "The file is a formatted document (RTF); save it as plain text."),
    (
        rb"(?i)\s*+(?:<!--(?s:.*?)-->\s*+)?(?:<\?xml[^>]*+>\s*+)?<(?:!doctype html|html|head|body|table)\b",
        "The file is a web page (HTML) and no CSV file.",
    ),
    (
        rb"(?i)\s*+<(?:\?xml\s|!doctype\s|!--|[a-z_][\w:.-]*+(?:\s++[\w:.-]++\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'))*+\s*+>\s*+<)",
        "The file is XML and no CSV file.",
    ),
    (
        rb'\s*+(?:\[\s*+)?\{\s*+"(?:[^"\\\r\n]|\\.)*+"\s*+:|\s*+(?:\[\s*+(?:\{\s*+\}\s*+)?\]|\{\s*+\})\s*+\Z',
        "The file is JSON and no CSV file.",
    ),
)
"""Patterns of beginnings. Text that could be the first cell of a table is left to be one."""

_KNOWN = tuple((re.compile(pattern), sentence) for pattern, sentence in _MAGIC)

_CONTROL = bytes({*range(32), 127} - {*b"\t\n\v\f\r"})


def refusal(head: bytes) -> str | None:
    """Say what a file that begins so is instead of CSV; None where it may be one."""
    sample = head[:_SAMPLE]
    for pattern, sentence in _KNOWN:
        if pattern.match(sample):
            return sentence
    control = len(sample) - len(sample.translate(None, _CONTROL))
    # A twentieth: slips in a text are fewer, and what is compressed has a tenth.
    if control > max(4, len(sample) // 20):
        return "The file is binary and no text."
    return None
