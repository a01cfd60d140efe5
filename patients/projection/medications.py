"""MedicationRequest with its Medication (FHIR R4 11.1, 11.3) → treatments ordered."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from patients.bindings import normalised
from patients.headaches import medications
from patients.headaches.coding import RXNORM, Coding
from patients.headaches.medications import EXCLUDED, Medication
from patients.models import Entry
from patients.projection import dosage, reasons
from patients.projection.chart import Chart
from patients.projection.facts import (
    NOT_NAMED,
    Fact,
    as_listed,
    first_date,
    modifier_note,
    stated,
)
from patients.projection.readers import (
    Body,
    all_words_of,
    best_coding,
    codings,
    contained,
    joined,
    keywords,
    named,
    node,
    nodes,
    notes_of,
    number,
    own_id,
    reference,
    status_words,
    text,
    words_of,
)

_NO_HEADACHE_ROLES = {"interaction", ""}


@dataclass(frozen=True, slots=True)
class Product:
    """What an order names: title as recorded, codings and wordings of the product and its ingredients."""

    title: str = ""
    codings: tuple[Coding, ...] = ()
    ingredient_codings: tuple[Coding, ...] = ()
    texts: tuple[str, ...] = ()
    form: str = ""
    problem: str = ""


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One treatment per order; none for an order entered in error."""
    if "entered-in-error" in keywords(body.get("status")):
        return
    product = _product(body, chart)
    lines = dosage.lines(body)
    drug = _classified(product, lines)
    bound = chart.bindings.get(normalised(product.title)) if drug.unclassified and product.title else None
    if bound:
        drug = _classified(Product(title=product.title, texts=bound, form=product.form), lines)
    best = best_coding(product.codings, RXNORM)
    forbidden = body.get("doNotPerform") is True
    # An order not to give a drug is shown, but is no treatment of anything.
    group, role = ("", "") if forbidden else (drug.product_class, drug.role)
    yield Fact(
        kind=Entry.Kind.TREATMENT,
        title=product.title or notes_of(body) or NOT_NAMED,
        dated=first_date((body.get("authoredOn"), "ordered")),
        end_date=dosage.end(body),
        code=best.code,
        system=best.system,
        status=joined([status_words(body.get("status")), "do not perform" if forbidden else ""]),
        group=group,
        role=role,
        about_headache=group not in {"", EXCLUDED} and role not in _NO_HEADACHE_ROLES,
        detail=_order(body) | _dosage(body, lines) | _reading(product, drug, best) | _binding(bound),
    )


def _binding(bound: tuple[str, ...] | None) -> dict[str, Any]:
    """A text the practice has bound is no longer unclassified, be it to drugs of the table or to none of them."""
    if bound is None:
        return {}
    said: dict[str, Any] = {"unclassified": None, "bound": list(bound)}
    return said | ({"confidence": "practice"} if bound else {})


def _product(order: Body, chart: Chart) -> Product:
    concept = order.get("medicationCodeableConcept") or order.get("medication")
    if concept:
        return _named(concept, Product())
    target = reference(order.get("medicationReference"))
    if target.contained:
        medication = contained(order, target.contained)
    else:
        own = own_id(order.get("medicationReference"), "Medication", chart.practice_code)
        medication = chart.medications.get(own, {})
    if not medication:
        texts = (target.display,) if target.display else ()
        return Product(target.display, texts=texts, problem="medication record not on file")
    in_error = "entered-in-error" in keywords(medication.get("status"))
    found = Product(
        title=target.display,
        ingredient_codings=_ingredient_codings(medication),
        texts=tuple(filter(None, (target.display, *_ingredients(medication)))),
        form=words_of(medication.get("form")),
        problem="medication record entered in error" if in_error else "",
    )
    return _named(medication.get("code"), found)


def _named(concept: Any, product: Product) -> Product:
    """The product with what a CodeableConcept says put first."""
    found = codings(concept)
    own = text(concept) or text(node(concept).get("text")) or best_coding(found, RXNORM).display
    return Product(
        title=own or next((each.display for each in found if each.display), "") or product.title
        or " / ".join(product.texts) or named(concept),
        codings=found,
        ingredient_codings=product.ingredient_codings,
        texts=tuple(dict.fromkeys(filter(None, (own, *product.texts)))),
        form=product.form,
        problem=product.problem,
    )  # fmt: skip


def _ingredient_concepts(medication: Body) -> Iterator[Any]:
    for ingredient in nodes(medication.get("ingredient")):
        if ingredient.get("isActive") is False:
            continue
        yield ingredient.get("itemCodeableConcept")
        target = reference(ingredient.get("itemReference"))
        yield contained(medication, target.contained).get("code") if target.contained else target.display


def _ingredients(medication: Body) -> list[str]:
    return [words for each in _ingredient_concepts(medication) if (words := words_of(each))]


def _ingredient_codings(medication: Body) -> tuple[Coding, ...]:
    return tuple(coding for each in _ingredient_concepts(medication) for coding in codings(each))


def _classified(product: Product, lines: list[dict[str, Any]]) -> Medication:
    as_needed = " as needed" if any(line.get("as_needed") for line in lines) else ""
    milligrams = {number(line.get("dose")) for line in lines if line.get("dose_unit") == "mg"}
    return medications.classify(
        product.codings + product.ingredient_codings,
        product.texts,
        route=dosage.routes(lines),
        form=product.form,
        dose_mg=_only(milligrams),
        sig=dosage.sig(lines) + as_needed,
    )


def _only(doses: set[Decimal | None]) -> Decimal | None:
    return next(iter(doses)) if len(doses) == 1 else None


def _order(body: Body) -> dict[str, Any]:
    reported = body.get("reportedBoolean") is True or bool(node(body.get("reportedReference")))
    reason = reasons.read(body)
    return stated(
        status=status_words(body.get("status")),
        status_reason=words_of(body.get("statusReason")),
        intent=text(body.get("intent")),
        category=all_words_of(body.get("category")),
        do_not_perform=body.get("doNotPerform") is True or None,
        reported=reported or None,
        reason=reason.words,
        reason_class=reason.headache_class,
        prescriber=reference(body.get("requester")).display,
        note=notes_of(body),
        modifier=modifier_note(body),
    )


def _dosage(body: Body, lines: list[dict[str, Any]]) -> dict[str, Any]:
    doses = joined([dosage.dose_words(line) for line in lines])
    as_needed = any(line.get("as_needed") for line in lines) or None
    return stated(sig=dosage.sig(lines), dose=doses, as_needed=as_needed, dosage=lines) | dosage.supply(body)


def _reading(product: Product, drug: Medication, best: Coding) -> dict[str, Any]:
    return stated(
        ingredients=list(drug.ingredients),
        drug_class=drug.product_class,
        class_words=drug.class_words,
        moh_days=drug.moh_days,
        confidence=drug.confidence if drug.confidence != "none" else None,
        excluded_reason=drug.excluded_reason,
        unclassified=drug.unclassified or None,
        assumptions=list(drug.assumptions),
        form=product.form,
        other_names=[each for each in product.texts if each != product.title],
        other_codes=as_listed(tuple(each for each in product.codings if each != best)),
        problem=product.problem,
    )
