"""What belongs to the practice and is referenced by its charts: staff, places, drug records."""

import datetime as dt
from collections.abc import Iterator

from sandbox.charts.catalogue import PRODUCTS, Product
from sandbox.charts.codings import LOCAL_OID, NDC, RXNORM, Json, coding, concept, hl7
from sandbox.charts.dates import instant
from sandbox.charts.ids import resource_id
from sandbox.charts.pen import shared

CODED = "coded"
NDC_ONLY = "ndc"
STAFF = (
    ("Okonkwo", "Adaeze", "MD"),
    ("Lindqvist", "Per", "DO"),
    ("Ferraro", "Giulia", "NP"),
    ("Whitehorse", "Dana", "PA-C"),
)
PLACES = ("Headache Center - Main St", "Headache Center - Infusion Suite")


def writings(product: Product) -> tuple[str, ...]:
    """The records under which this drug exists here: coded, by NDC alone, and one for each spelling."""
    return (CODED, NDC_ONLY, *(f"text{index}" for index in range(len(product.texts))))


def medication_reference(seed: int, product: Product, writing: str) -> Json:
    """Reference to the practice's Medication resource for a drug in one writing."""
    return shared(seed, "Medication", f"{product.key}/{writing}")


def ndc_number(key: str) -> str:
    """An 11-digit package number that was never assigned (labeler 99999)."""
    return f"99999{1000 + list(PRODUCTS).index(key):04d}{30:02d}"


def coded(product: Product) -> Json:
    """RxNorm (where a verified code exists) and NDC together, as the vendor's formulary sends them."""
    ndc = coding(NDC, ndc_number(product.key), product.texts[0])
    if not product.rxnorm:
        return concept(product.texts[0], ndc)
    return concept(product.texts[0], coding(RXNORM, product.rxnorm, product.rxnorm_display), ndc)


def ndc_only(product: Product) -> Json:
    """A package number with the name as display, no text and no RxNorm."""
    return concept("", coding(NDC, ndc_number(product.key), product.texts[0].upper()))


def name_only(product: Product, index: int) -> Json:
    """Free text: full name, brand, abbreviation or capitals."""
    return concept(product.texts[index])


def medication(seed: int, today: dt.date, product: Product, writing: str) -> Json:
    """The Medication resource of a drug in one writing."""
    if writing == CODED:
        code = coded(product)
    elif writing == NDC_ONLY:
        code = ndc_only(product)
    else:
        code = name_only(product, int(writing.removeprefix("text")))
    return {
        "resourceType": "Medication",
        "id": resource_id(seed, "Medication", "practice", f"{product.key}/{writing}"),
        "meta": {"lastUpdated": instant(today - dt.timedelta(days=400), 75)},
        "code": code,
        "status": "active",
    }


def medications(seed: int, today: dt.date) -> Iterator[Json]:
    """Every drug record of the practice."""
    for product in PRODUCTS.values():
        for writing in writings(product):
            yield medication(seed, today, product, writing)


def organization(seed: int) -> Json:
    """The clinic. The vendor sends Organization without `meta`."""
    return {
        "resourceType": "Organization",
        "id": resource_id(seed, "Organization", "practice", 0),
        "identifier": [{"system": LOCAL_OID + ".9", "value": "0001"}],
        "active": True,
        "type": [hl7("organization-type", "prov", "Healthcare Provider")],
        "name": "Quarry Street Headache Center (pretend)",
        "telecom": [{"system": "phone", "value": "413-555-0100"}],
        "address": [{"line": ["10 Quarry St"], "city": "Marlow Falls", "state": "MA", "postalCode": "00012"}],
    }


def staff(seed: int, today: dt.date) -> Iterator[Json]:
    """Practitioners and locations."""
    meta = {"lastUpdated": instant(today - dt.timedelta(days=700), 61)}
    for index, (family, given, suffix) in enumerate(STAFF):
        yield {
            "resourceType": "Practitioner",
            "id": resource_id(seed, "Practitioner", "practice", index),
            "meta": meta.copy(),
            "identifier": [{"system": LOCAL_OID + ".4", "value": str(70 + index)}],
            "active": True,
            "name": [{"family": family, "given": [given], "suffix": [suffix]}],
        }
    for index, name in enumerate(PLACES):
        yield {
            "resourceType": "Location",
            "id": resource_id(seed, "Location", "practice", index),
            "meta": meta.copy(),
            "status": "active",
            "name": name,
            "managingOrganization": shared(seed, "Organization", 0),
        }
