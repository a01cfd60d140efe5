"""How a page looks, judged the same way everywhere: axe finds nothing, and nothing is wider than the screen.

Each look is kept as a picture in var/screenshots.
"""

from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SCREENSHOTS = Path(__file__).resolve().parents[2] / "var" / "screenshots"
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


def violations(page: Page) -> str:
    """axe's report; "" when it finds nothing."""
    found = Axe().run(page)
    return found.generate_report() if found.violations_count else ""


def too_wide(page: Page) -> str:
    """By how many pixels the page is wider than the screen; "" when it fits."""
    wide = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
    return str(wide) if wide > 0 else ""


@dataclass
class Looks:
    """A page at one size and in one scheme. problems: what was found of each look, by its name."""

    page: Page
    scheme: str
    size: dict[str, int]
    problems: dict[str, str] = field(default_factory=dict)

    def wear(self, page: Page) -> Page:
        """Give another page this size and scheme, and look at that one from now on."""
        page.emulate_media(color_scheme=self.scheme)  # type: ignore[arg-type]
        page.set_viewport_size(self.size)  # type: ignore[arg-type]
        self.page = page
        return page

    def at(self, name: str, address: str = "") -> None:
        """Look at the page as it is, or at what stands at the address."""
        if address:
            self.page.goto(address)
        found = {name: violations(self.page), f"{name} is too wide": too_wide(self.page)}
        self.problems |= {about: said for about, said in found.items() if said}
        shoot(self.page, f"{name}-{self.scheme}-{self.size['width']}")
