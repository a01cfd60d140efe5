"""A QR code (ISO/IEC 18004) as SVG with presentation attributes only: the CSP allows no inline style."""

from dataclasses import dataclass
from itertools import groupby

import qrcode
from qrcode.constants import ERROR_CORRECT_M

QUIET_ZONE = 4  # modules of white around the code, as the standard asks


@dataclass(frozen=True)
class QrCode:
    """side: modules of the picture, quiet zone included. path: the dark modules as data of an SVG path."""

    side: int
    path: str


def code(text: str) -> QrCode:
    """The QR code of a text (an address). Medium error correction: a creased sheet of paper is still read."""
    made = qrcode.QRCode(error_correction=ERROR_CORRECT_M, border=QUIET_ZONE)
    made.add_data(text)
    made.make(fit=True)
    rows = made.get_matrix()
    return QrCode(side=len(rows), path="".join(_row(row, y) for y, row in enumerate(rows)))


def _row(row: list[bool], y: int) -> str:
    """One rectangle for each run of dark modules."""
    drawn, x = "", 0
    for dark, run in groupby(row):
        width = len(list(run))
        drawn += f"M{x} {y}h{width}v1h-{width}z" if dark else ""
        x += width
    return drawn
