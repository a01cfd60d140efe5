"""What pages and mails about accounts say in words, and in pieces, that people can read."""

import re

from django import template

register = template.Library()

# The first that fits: Edge and Opera name Chrome, Chrome names Safari.
_BROWSERS = (
    ("Edge", r"\bEdg(?:e|A|iOS)?/(\d+)"),
    ("Opera", r"\bOPR/(\d+)"),
    ("Firefox", r"\b(?:Firefox|FxiOS)/(\d+)"),
    ("Chrome", r"\b(?:HeadlessChrome|Chrome|CriOS)/(\d+)"),
    ("Safari", r"\bVersion/(\d+)[\d.]* (?:Mobile/\w+ )?Safari/"),
)
_SYSTEMS = (
    ("iPhone", r"\biPhone\b"),
    ("iPad", r"\biPad\b"),
    ("Android", r"\bAndroid\b"),
    ("Windows", r"\bWindows\b"),
    ("ChromeOS", r"\bCrOS\b"),
    ("Mac", r"\bMac(?:intosh| OS X)\b"),
    ("Linux", r"\bLinux\b"),
)


@register.filter
def agent(header: str) -> str:
    """Of a User-Agent header, as in "Firefox 131 on Windows"; what is known of it, or "unknown browser"."""
    found = ((name, re.search(sign, header)) for name, sign in _BROWSERS)
    browser = next((f"{name} {match[1]}" for name, match in found if match), "unknown browser")
    system = next((name for name, sign in _SYSTEMS if re.search(sign, header)), "")
    return f"{browser} on {system}" if system else browser


@register.filter
def fours(key: str) -> list[str]:
    """A key in pieces of four, which is how people type it."""
    return [key[start : start + 4] for start in range(0, len(key), 4)]
