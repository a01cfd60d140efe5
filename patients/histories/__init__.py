"""The read side: one patient's history, ready to show, and the complete lists behind it."""

from patients.histories.heading import Banner, Heading, heading
from patients.histories.history import SHOW_ALL, History, history, refresh
from patients.histories.lists import Group, Listing, listing
from patients.histories.page import Page, page

__all__ = [
    "SHOW_ALL", "Banner", "Group", "Heading", "History", "Listing", "Page", "heading", "history", "listing", "page",
    "refresh",
]  # fmt: skip
