"""The printed sheet as PDF, where WeasyPrint and its libraries (Pango) are installed: the extra "pdf"."""

import importlib
from functools import cache
from pathlib import Path
from types import ModuleType

from django.contrib.staticfiles import finders


@cache
def _weasyprint() -> ModuleType | None:
    # Loaded on first use: it costs memory that no other page needs, and its C libraries may be missing (OSError).
    try:
        return importlib.import_module("weasyprint")
    except (ImportError, OSError):
        return None


def available() -> bool:
    """Whether this installation can make a PDF."""
    return _weasyprint() is not None


def rendered(page: str) -> bytes:
    """The HTML text `page` as PDF, styled with print.css alone. Nothing is fetched: no address in it is followed.

    Raises RuntimeError when available() is False.
    """
    weasyprint = _weasyprint()
    if weasyprint is None:
        raise RuntimeError("WeasyPrint or its libraries are not installed (extra: pdf).")
    refusing = weasyprint.urls.URLFetcher(allowed_protocols=())
    sheet = weasyprint.CSS(string=_stylesheet(), url_fetcher=refusing)
    return bytes(weasyprint.HTML(string=page, url_fetcher=refusing).write_pdf(stylesheets=[sheet]))


def _stylesheet() -> str:
    found = finders.find("print.css")
    if not isinstance(found, str):
        raise RuntimeError("static/print.css is missing.")
    return Path(found).read_text("utf-8")
