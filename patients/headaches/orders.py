"""An order for a medication, as far as supply and exposure can be read from it."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from patients.headaches.dates import PartialDate

EvidenceLevel = Literal["A", "B", "C", "D"]

# FHIR R4 medicationrequest-status and -intent. Cancelled means withdrawn before any use; plan and proposal
# are no authorisation.
_VOID_STATUSES = frozenset({"entered-in-error", "cancelled", "draft"})
_ORDER_INTENTS = frozenset({"", "order", "original-order", "reflex-order", "filler-order", "instance-order"})


@dataclass(frozen=True, slots=True)
class Timing:
    """FHIR Timing.repeat: frequency times per period; period_unit a UCUM code (h, d, wk, mo …)."""

    frequency: Decimal | None = None
    frequency_max: Decimal | None = None
    period: Decimal | None = None
    period_max: Decimal | None = None
    period_unit: str = ""
    count: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One MedicationRequest.

    ingredients, product_class: as classified; authored: when ordered; quantity: of one fill; repeats: further
    fills, None when not stated; supply_days: expected days of one fill; dose_*: amount of one administration;
    strength_mg: milligrams in one unit, for daily doses; bounds_*: the span the timing is limited to;
    reported: somebody else's order that was told to the clinic; key: the caller's own handle.
    """

    ingredients: tuple[str, ...]
    product_class: str = ""
    authored: PartialDate | None = None
    status: str = ""
    intent: str = ""
    quantity: Decimal | None = None
    quantity_unit: str = ""
    repeats: int | None = None
    supply_days: Decimal | None = None
    dose_low: Decimal | None = None
    dose_high: Decimal | None = None
    dose_unit: str = ""
    timing: Timing = Timing()
    as_needed: bool | None = None
    sig: str = ""
    strength_mg: Decimal | None = None
    bounds_start: PartialDate | None = None
    bounds_end: PartialDate | None = None
    bounds_days: Decimal | None = None
    reported: bool = False
    key: str = ""

    @property
    def authorises(self) -> bool:
        """Whether the order stands and authorises supply (reported ones do not: nobody here authorised
        it)."""
        return self.stands and not self.reported and self.intent.strip().lower() in _ORDER_INTENTS

    @property
    def stands(self) -> bool:
        """Whether the record still holds the order at all."""
        intent = self.intent.strip().lower()
        return self.status.strip().lower() not in _VOID_STATUSES and intent not in (
            "plan",
            "proposal",
            "option",
        )
