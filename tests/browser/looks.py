"""How a page looks, judged the same way everywhere: axe finds nothing, nothing is wider than the screen, and what is
filled in has an edge that can be seen.

Each look is kept as a picture in var/screenshots.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SCREENSHOTS = Path(__file__).resolve().parents[2] / "var" / "screenshots"
# Fields whose edge stands out less than 3 to 1 against what is behind it (WCAG 2.2, 1.4.11), which axe does not ask.
FAINT = """() => {
    const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
    const linear = part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    const light = colour => {
        const [red, green, blue] = numbers(colour).map(part => linear(part / 255));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue + 0.05;
    };
    const behind = each => {
        for (let box = each.parentElement; box; box = box.parentElement) {
            const colour = getComputedStyle(box).backgroundColor;
            if (numbers(colour)[3] !== 0) return colour;
        }
    };
    const contrast = each => {
        const [one, other] = [light(getComputedStyle(each).borderTopColor), light(behind(each))];
        return Math.max(one, other) / Math.min(one, other);
    };
    return [...document.querySelectorAll("main :is(input:not([type=hidden], [type=file]), select, textarea):enabled")]
        .filter(each => each.checkVisibility() && contrast(each) < 3).map(each => each.name || each.id);
}"""
DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)


# Colours on their way from one to another are not what anybody reads.
AT_REST = """async () => { await Promise.allSettled(document.getAnimations()
    .filter(each => each.effect.getComputedTiming().endTime !== Infinity).map(each => each.finished)) }"""


def violations(page: Page) -> str:
    """axe's report once all transitions are over; "" when it finds nothing."""
    page.evaluate(AT_REST)
    found = Axe().run(page)
    return found.generate_report() if found.violations_count else ""


def too_wide(page: Page) -> str:
    """By how many pixels the page is wider than the screen; "" when it fits."""
    wide = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
    return str(wide) if wide > 0 else ""


def faint(page: Page) -> str:
    """The fields that cannot be seen well; "" when all can."""
    return ", ".join(page.evaluate(FAINT))


def sheets(page: Page) -> int:
    """How many sheets of paper the page fills."""
    return len(re.findall(rb"/Type\s*/Page\b", page.pdf(prefer_css_page_size=True)))


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
        found = {
            name: violations(self.page),
            f"{name} is too wide": too_wide(self.page),
            f"{name} has faint fields": faint(self.page),
        }
        self.problems |= {about: said for about, said in found.items() if said}
        shoot(self.page, f"{name}-{self.scheme}-{self.size['width']}")
