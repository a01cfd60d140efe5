"""Lists as spreadsheets write them: bytes to rows, whatever the delimiter, the encoding and the spelling of columns.

RFC 4180, read strictly: what cannot be told is refused with a sentence for the person who brought it, which quotes
nothing of the file.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterator

from emr.demographics import folded

MOST_ROWS = 5000
MOST_BYTES = 1_000_000
MOST_COLUMNS = 200
_COLUMNS = {
    "fhir_id": ("fhirid", "patientid", "resourceid"),
    "account_no": ("accountno", "account", "accountnumber", "acctno", "acct", "mrn"),
    "family": ("family", "lastname", "last", "surname", "familyname"),
    "given": ("given", "firstname", "first", "givenname"),
    "birth_date": ("birthdate", "dob", "dateofbirth", "born"),
    "date": ("date", "appointmentdate", "apptdate", "visitdate"),
    "time": ("time", "appointmenttime", "appttime", "visittime", "starttime"),
}


class Unreadable(ValueError):
    """The file is no such list; the text says why, for the person who brought it."""


def text_of(raw: bytes) -> str:
    """The file's text: UTF-8, or what spreadsheets on Windows write (cp1252). Raises Unreadable."""
    if len(raw) > MOST_BYTES:
        raise Unreadable(f"The file is larger than {MOST_BYTES // 1_000_000} MB. Bring the list in parts.")
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise Unreadable("This is Unicode text (UTF-16). Save the list as CSV UTF-8.")
    if b"\x00" in raw:
        raise Unreadable("This is no text file, perhaps a workbook. Save the list as CSV.")
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Unreadable("The file's characters cannot be told. Save the list as CSV UTF-8.")


def rows_of(text: str, needed: Callable[[set[str]], str]) -> Iterator[tuple[int, dict[str, str]]]:
    """(line, values by our column names) of each row that holds anything. Raises Unreadable.

    line: on which the row begins, as a text editor counts, the header being 1. Runs of blanks and line ends in a cell
    are one blank.
    `needed`: what is missing among the columns found, "" when nothing is.
    """
    head = text[:4096].splitlines()[0] if text.strip() else ""
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        header = _header(next(reader, []))
        if missing := needed(set(header)):
            raise Unreadable(missing)
        line = reader.line_num + 1
        for count, cells in enumerate(reader, 1):
            if count > MOST_ROWS:
                raise Unreadable(f"The list has more than {MOST_ROWS} rows. Bring it in parts.")
            values = {name: " ".join(cell.split()) for name, cell in zip(header, cells, strict=False) if name}
            if any(cell.strip() for cell in cells):
                yield line, values
            line = reader.line_num + 1
    except csv.Error as error:
        raise Unreadable(f"Line {reader.line_num} cannot be read as CSV: {error}.") from None


def _header(names: list[str]) -> list[str]:
    """Our name of each column, "" for one that is not asked for. Raises Unreadable."""
    if len(names) > MOST_COLUMNS:
        raise Unreadable(f"The first line has more than {MOST_COLUMNS} columns.")
    found = [_column(name) for name in names]
    for name in filter(None, found):
        # Which of the two says who the patient is, is not for a program to guess.
        if found.count(name) > 1:
            raise Unreadable(f"More than one column is taken for {name}. Leave one of them in the file.")
    return found


def _column(name: str) -> str:
    plain = folded(name)
    return next((ours for ours, spellings in _COLUMNS.items() if plain in spellings), "")
