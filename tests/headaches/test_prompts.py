"""The safety prompts: for each a chart that gives rise to it, and a near miss that does not."""

from dataclasses import replace
from typing import Any

import pytest

from patients.codes import table
from patients.headaches import signs
from patients.headaches.prompts import Prompt, prompts
from tests.headaches.facts import TODAY, ago, allergy, dx, happened, lab, person, pressure, record, rx

SUMATRIPTAN = rx("Sumatriptan 100 mg tablet")
DHE = rx("Dihydroergotamine 4 mg/mL nasal spray")
TOPIRAMATE = rx("Topiramate 50 mg tablet")
VALPROATE = rx("Divalproex ER 500 mg tablet")
ERENUMAB = rx("Aimovig 140 mg/mL autoinjector", ago(200))
PROPRANOLOL = rx("Propranolol ER 80 mg capsule")
PILL = rx("Sprintec 0.25 mg-35 mcg tablet")
NAPROXEN = rx("Naproxen 500 mg tablet")
AURA = dx("G43.109", title="Migraine with aura")
PREGNANT = dx("O26.892", ago(40), title="Pregnancy related condition, second trimester")
MAN = person("male")

# id, what a clinician would say, facts that give rise to it, near miss, facts that do not
TABLE: list[tuple[str, str, list[Any], str, list[Any]]] = [
    ("01", "triptan, old infarction", [SUMATRIPTAN, dx("I25.2", "2019", clinical="resolved")],
     "triptan that was stopped", [rx("Sumatriptan 100 mg tablet", status="stopped"), dx("I25.2")]),
    ("01", "ergot, TIA in the history", [DHE, dx("Z86.73", "")],
     "transient global amnesia is no TIA", [DHE, dx("G45.4")]),
    ("01", "triptan, claudication coded I70.213", [SUMATRIPTAN, dx("I70.213")],
     "atherosclerosis of the aorta is not in the list", [SUMATRIPTAN, dx("I70.0")]),
    ("01", "triptan, heart attack in words only", [SUMATRIPTAN, dx("", title="Heart attack 2014")],
     "family history in words", [SUMATRIPTAN, dx("", title="Family history of heart attack")]),
    ("01", "triptan, coronary disease by SNOMED", [SUMATRIPTAN, dx("53741008", snomed=True)],
     "refuted diagnosis", [SUMATRIPTAN, dx("I25.10", verification="refuted")]),
    ("02", "triptan, hemiplegic migraine", [SUMATRIPTAN, dx("G43.409")],
     "migraine with aura alone", [SUMATRIPTAN, AURA]),
    ("02", "ergot, basilar migraine by SNOMED", [DHE, dx("83351003", snomed=True)],
     "hemiplegic migraine without triptan or ergot", [NAPROXEN, dx("G43.409")]),
    ("03", "triptan, 2 of the last 3 readings high",
     [SUMATRIPTAN, pressure(ago(3), 164, 90), pressure(ago(40), 138, 84), pressure(ago(70), 150, 102)],
     "only 1 of the last 3", [SUMATRIPTAN, pressure(ago(3), 164, 90), pressure(ago(40), 138, 84),
                              pressure(ago(70), 150, 92), pressure(ago(90), 180, 110)]),
    ("03", "ergot, hypertensive urgency", [DHE, dx("I16.0")],
     "high readings a year ago", [DHE, pressure(ago(360), 190, 110), pressure(ago(370), 190, 110)]),
    ("04", "triptan, WPW", [SUMATRIPTAN, dx("I45.6")], "triptan, bundle branch block", [SUMATRIPTAN, dx("I45.10")]),
    ("05", "sumatriptan, phenelzine", [SUMATRIPTAN, rx("Nardil 15 mg tablet")],
     "naratriptan is not in the list", [rx("Naratriptan 2.5 mg tablet"), rx("Nardil 15 mg tablet")]),
    ("05", "sumatriptan, phenelzine ended 10 days ago",
     [SUMATRIPTAN, rx("Nardil 15 mg tablet", ago(40), "completed", supply_days=31)],
     "ended 30 days ago", [SUMATRIPTAN, rx("Nardil 15 mg tablet", ago(60), "completed", supply_days=31)]),
    ("05b", "rizatriptan, rasagiline", [rx("Maxalt 10 mg tablet"), rx("Azilect 1 mg tablet")],
     "rizatriptan, sertraline", [rx("Maxalt 10 mg tablet"), rx("Sertraline 50 mg tablet")]),
    ("06", "triptan and ergot", [SUMATRIPTAN, DHE], "two triptans", [SUMATRIPTAN, rx("Maxalt 10 mg tablet")]),
    ("07", "ergot, clarithromycin", [DHE, rx("Clarithromycin 500 mg tablet")],
     "ergot, azithromycin", [DHE, rx("Azithromycin 250 mg tablet")]),
    ("07", "ergot, erythromycin", [DHE, rx("Erythromycin 250 mg tablet")],
     "erythromycin eye ointment", [DHE, rx("Erythromycin 0.5 % ophthalmic ointment")]),
    ("07b", "ergot, fluconazole", [DHE, rx("Fluconazole 150 mg tablet")],
     "ergot, erythromycin is prompt 07", [DHE, rx("Erythromycin 250 mg tablet")]),
    ("08", "ubrogepant, itraconazole", [rx("Ubrelvy 100 mg tablet"), rx("Itraconazole 100 mg capsule")],
     "ubrogepant, fluconazole", [rx("Ubrelvy 100 mg tablet"), rx("Fluconazole 150 mg tablet")]),
    ("08b", "rimegepant, ketoconazole", [rx("Nurtec ODT 75 mg"), rx("Ketoconazole 200 mg tablet")],
     "ketoconazole shampoo", [rx("Nurtec ODT 75 mg"), rx("Ketoconazole 2 % shampoo")]),
    ("09", "woman with aura and the pill", [AURA, PILL], "a man", [MAN, AURA, PILL]),
    ("09", "chronic migraine with aura and the ring", [dx("G43.E09"), rx("NuvaRing vaginal ring")],
     "progestin only", [AURA, rx("Norethindrone 0.35 mg tablet")]),
    ("09b", "aura, Z79.3, product not on file", [AURA, dx("Z79.3")],
     "the product is a progestin", [AURA, dx("Z79.3"), rx("Slynd 4 mg tablet")]),
    ("10", "aura, estradiol patch", [AURA, rx("Estradiol 0.05 mg/24 hr patch")],
     "vaginal estradiol", [AURA, rx("Vagifem 10 mcg")]),
    ("11", "valproate, pregnancy", [VALPROATE, PREGNANT],
     "delivered since", [VALPROATE, PREGNANT, dx("Z37.0", ago(5))]),
    ("11", "valproate, positive hCG", [VALPROATE, lab("hCG urine", "2106-3", ago(9), "Positive")],
     "negative hCG", [VALPROATE, lab("hCG urine", "2106-3", ago(9), "Negative")]),
    ("11", "valproate, Z34 of last month", [VALPROATE, dx("Z34.91", ago(30))],
     "pregnancy code of three years ago", [VALPROATE, dx("Z34.91", ago(1100))]),
    ("12", "valproate, woman of 34", [VALPROATE], "woman of 62", [person(age=62), VALPROATE]),
    ("12", "valproate, girl of 12", [person(age=12), VALPROATE], "pregnant: prompt 11", [VALPROATE, PREGNANT]),
    ("13", "topiramate, pregnancy", [TOPIRAMATE, PREGNANT], "topiramate stopped", [
        rx("Topiramate 50 mg tablet", status="stopped"), PREGNANT]),
    ("13", "Qsymia, pregnancy", [rx("Qsymia 7.5 mg-46 mg capsule"), PREGNANT],
     "pregnancy, levetiracetam", [rx("Keppra 500 mg tablet"), PREGNANT]),
    ("13b", "topiramate, woman of 34", [TOPIRAMATE], "birth date not on file", [person(age=None), TOPIRAMATE]),
    ("13c", "topiramate and the pill", [TOPIRAMATE, PILL], "pill planned only", [TOPIRAMATE, rx(
        "Sprintec 0.25 mg-35 mcg tablet", intent="proposal")]),
    ("14", "zonisamide, kidney stone", [rx("Zonisamide 100 mg capsule"), dx("N20.0")],
     "gallstone", [rx("Zonisamide 100 mg capsule"), dx("K80.20")]),
    ("14b", "topiramate and acetazolamide", [TOPIRAMATE, rx("Acetazolamide 250 mg tablet")],
     "topiramate twice", [TOPIRAMATE, rx("Topamax 25 mg tablet")]),
    ("15", "topiramate, narrow angles", [TOPIRAMATE, dx("H40.033")], "open angle", [TOPIRAMATE, dx("H40.1130")]),
    ("15b", "topiramate, bicarbonate 16", [TOPIRAMATE, lab("CO2", "1963-8", ago(20), "16", "mmol/L")],
     "newer bicarbonate 22", [TOPIRAMATE, lab("CO2", "1963-8", ago(20), "16", "mmol/L"),
                              lab("CO2", "1963-8", ago(5), "22", "mmol/L")]),
    ("16", "valproate, cirrhosis", [VALPROATE, dx("K74.60")], "fatty liver", [VALPROATE, dx("K76.0")]),
    ("16", "valproate, POLG disease", [VALPROATE, dx("E88.49")], "other metabolic", [VALPROATE, dx("E88.9")]),
    ("17", "candesartan, pregnancy", [rx("Candesartan 16 mg tablet"), PREGNANT],
     "miscarriage on file", [rx("Candesartan 16 mg tablet"), dx("O03.9", ago(20))]),
    ("18", "propranolol, asthma", [PROPRANOLOL, dx("J45.909")], "propranolol, COPD", [PROPRANOLOL, dx("J44.9")]),
    ("18", "timolol tablet, asthma", [rx("Timolol 10 mg tablet"), dx("J45.20")],
     "timolol eye drops", [rx("Timolol 0.5 % ophthalmic solution"), dx("J45.20")]),
    ("18b", "metoprolol, asthma", [rx("Metoprolol ER 50 mg tablet"), dx("J45.20")],
     "metoprolol, bronchitis", [rx("Metoprolol ER 50 mg tablet"), dx("J40")]),
    ("19", "verapamil, second-degree block", [rx("Verapamil 120 mg tablet"), dx("I44.1")],
     "first-degree block", [rx("Verapamil 120 mg tablet"), dx("I44.0")]),
    ("19", "propranolol, last heart rate 46", [PROPRANOLOL, lab("Heart rate", "8867-4", ago(8), "46", "/min")],
     "heart rate 50", [PROPRANOLOL, lab("Heart rate", "8867-4", ago(8), "50", "/min")]),
    ("20", "propranolol and diltiazem", [PROPRANOLOL, rx("Diltiazem 120 mg tablet")],
     "propranolol and amlodipine", [PROPRANOLOL, rx("Amlodipine 5 mg tablet")]),
    ("21", "rizatriptan and propranolol", [rx("Maxalt 10 mg tablet"), PROPRANOLOL],
     "rizatriptan and metoprolol", [rx("Maxalt 10 mg tablet"), rx("Metoprolol ER 50 mg tablet")]),
    ("22", "erenumab, constipation", [ERENUMAB, dx("K59.00")], "fremanezumab", [rx("Ajovy 225 mg"), dx("K59.00")]),
    ("22", "erenumab, oxybutynin", [ERENUMAB, rx("Oxybutynin 5 mg tablet")],
     "erenumab, amitriptyline", [ERENUMAB, rx("Amitriptyline 25 mg tablet")]),
    ("23", "erenumab, hypertension", [ERENUMAB, dx("I10")], "erenumab, hypotension", [ERENUMAB, dx("I95.9")]),
    ("23", "twice 140/90 after the start", [ERENUMAB, pressure(ago(20), 142, 80), pressure(ago(60), 130, 92)],
     "once before the start", [ERENUMAB, pressure(ago(20), 142, 80), pressure(ago(260), 150, 92)]),
    ("24", "atogepant, Raynaud", [rx("Qulipta 60 mg tablet"), dx("I73.00")],
     "atogepant, peripheral disease", [rx("Qulipta 60 mg tablet"), dx("I73.9")]),
    ("25", "headache, two opioid orders within a year",
     [dx("G43.009"), rx("Tramadol 50 mg tablet", ago(30), "completed"), rx("Fioricet capsule", ago(90), "completed")],
     "the last 13 months ago", [dx("G43.009"), rx("Tramadol 50 mg tablet", ago(395), "completed")]),
    ("26", "butalbital, opioid dependence", [rx("Fioricet capsule"), dx("F11.20")],
     "butalbital, alcohol dependence", [rx("Fioricet capsule"), dx("F10.20")]),
    ("27", "naproxen, kidney disease stage 3", [NAPROXEN, dx("N18.31")], "stage 2", [NAPROXEN, dx("N18.2")]),
    ("27", "naproxen, eGFR 51", [NAPROXEN, lab("eGFR", "98979-8", ago(30), "51")],
     "eGFR 75", [NAPROXEN, lab("eGFR", "98979-8", ago(30), "75")]),
    ("27", "naproxen, apixaban", [NAPROXEN, rx("Eliquis 5 mg tablet")],
     "diclofenac gel", [rx("Voltaren 1 % gel"), rx("Eliquis 5 mg tablet")]),
    ("27", "naproxen, 30 weeks", [NAPROXEN, dx("Z3A.30", ago(7))], "8 weeks", [NAPROXEN, dx("Z3A.08", ago(7))]),
    ("28", "erenumab and atogepant", [ERENUMAB, rx("Qulipta 60 mg tablet")],
     "erenumab and ubrogepant", [ERENUMAB, rx("Ubrelvy 100 mg tablet")]),
    ("28", "erenumab and rimegepant every other day",
     [ERENUMAB, rx("Nurtec ODT 75 mg", sig="1 tablet every other day")],
     "rimegepant as needed", [ERENUMAB, rx("Nurtec ODT 75 mg", sig="1 tablet as needed")]),
    ("29", "lithium, losartan", [rx("Lithium carbonate 300 mg"), rx("Losartan 50 mg tablet")],
     "lithium, acetaminophen", [rx("Lithium carbonate 300 mg"), rx("Tylenol 500 mg tablet")]),
    ("30", "naproxen, allergy to NSAIDs", [NAPROXEN, allergy("NSAIDs")],
     "sumatriptan", [SUMATRIPTAN, allergy("NSAIDs")]),
    ("30", "topiramate, intolerance of it", [TOPIRAMATE, allergy("Topamax", type="intolerance")],
     "sulfonamide allergy", [TOPIRAMATE, allergy("Sulfonamide antibiotics")]),
    ("30", "sumatriptan, its allergy", [SUMATRIPTAN, allergy("sumatriptan")],
     "refuted allergy", [SUMATRIPTAN, allergy("sumatriptan", verification="refuted")]),
    ("31", "metoclopramide monthly for 120 days",
     [rx("Metoclopramide 10 mg tablet", ago(days), quantity=90, sig="1 tab tid") for days in (120, 90, 60, 30)],
     "84 days", [rx("Metoclopramide 10 mg tablet", ago(83), quantity=90, sig="1 tab tid"),
                 rx("Metoclopramide 10 mg tablet", ago(30), quantity=90, sig="1 tab tid")]),
    ("32", "Tylenol and Norco", [rx("Tylenol 500 mg tablet"), rx("Norco 5-325 mg tablet")],
     "the same tablet ordered twice", [rx("Tylenol 500 mg tablet"), rx("Tylenol 500 mg tablet", "2026-01-05")]),
]  # fmt: skip


def _prompts(facts: list[Any]) -> dict[str, Prompt]:
    return {prompt.id: prompt for prompt in prompts(signs.chart(record(*facts), TODAY))}


@pytest.mark.parametrize(("wanted", "facts"), [pytest.param(row[0], row[2], id=f"{row[0]}: {row[1]}") for row in TABLE])
def test_prompt_appears(wanted: str, facts: list[Any]) -> None:
    prompt = _prompts(facts)[wanted]
    assert prompt.text.startswith("Record shows ")
    assert prompt.text.endswith(" For clinician review.")
    known = {getattr(fact, "source", "") for fact in facts}
    assert set(prompt.evidence) <= known
    assert prompt.evidence


@pytest.mark.parametrize(
    ("unwanted", "facts"), [pytest.param(row[0], row[4], id=f"{row[0]}: {row[3]}") for row in TABLE]
)
def test_near_miss_does_not_appear(unwanted: str, facts: list[Any]) -> None:
    assert unwanted not in _prompts(facts)


def test_every_prompt_of_the_table_is_tried() -> None:
    ids = [row["id"] for row in table("prompts")]
    assert len(ids) == len(set(ids))
    assert {each[:2] for each in ids} == {f"{number:02}" for number in range(1, 33)}
    assert {row[0] for row in TABLE} == set(ids)


@pytest.mark.parametrize(
    "facts",
    [
        pytest.param([MAN, SUMATRIPTAN, rx("Sertraline 50 mg tablet")], id="triptan beside an SSRI"),
        pytest.param([MAN, SUMATRIPTAN, rx("Venlafaxine ER 75 mg capsule")], id="triptan beside an SNRI"),
        pytest.param([MAN, TOPIRAMATE, allergy("Sulfa drugs")], id="topiramate beside a sulfonamide allergy"),
        pytest.param([], id="empty record"),
    ],
)
def test_deliberately_no_prompt(facts: list[Any]) -> None:
    assert _prompts(facts) == {}


def test_text_names_both_facts_with_date_and_source() -> None:
    prompt = _prompts([SUMATRIPTAN, dx("I25.2", "2019", title="Old myocardial infarction")])["01"]
    assert prompt.text == (
        "Record shows Sumatriptan 100 mg tablet (05-Oct-2026, medication order) and Old myocardial infarction "
        "(2019, diagnosis). Labelling for triptans and ergots mentions coronary, cerebral and peripheral vascular "
        "disease. For clinician review."
    )
    assert prompt.evidence == ("rx Sumatriptan 100 mg tablet 2026-10-05", "dx I25.2 2019")
    assert (prompt.severity, prompt.version) == ("H", "1")


def test_opioid_prompt_gives_count_and_last_date() -> None:
    orders = [rx("Tramadol 50 mg tablet", day, "completed") for day in ("2026-09-01", "2026-10-01")]
    text = _prompts([dx("G43.009"), *orders])["25"].text
    assert "2 orders with an opioid or butalbital in the last 12 months, the latest Tramadol 50 mg tablet" in text
    assert "01-Oct-2026" in text


def test_severe_prompts_come_first() -> None:
    facts = [SUMATRIPTAN, DHE, dx("I25.2"), VALPROATE, PREGNANT]
    found = [prompt.severity for prompt in prompts(signs.chart(record(*facts), TODAY))]
    assert found == sorted(found, key="HML".index)
    assert {"H", "L"} <= set(found)


HEART = dx("I25.2", "2019")


@pytest.mark.parametrize(
    ("after", "same"),
    [
        pytest.param([SUMATRIPTAN, HEART], True, id="nothing changed"),
        pytest.param([rx("Sumatriptan 100 mg tablet", "2026-11-20"), HEART], True, id="renewed in the same words"),
        pytest.param([SUMATRIPTAN, HEART, dx("I10")], True, id="another fact that is no evidence"),
        pytest.param([rx("Sumatriptan 50 mg tablet"), HEART], False, id="another strength"),
        pytest.param([SUMATRIPTAN, rx("Maxalt 10 mg tablet"), HEART], False, id="another triptan"),
        pytest.param([SUMATRIPTAN, HEART, dx("I63.9")], False, id="another vascular diagnosis"),
        pytest.param([SUMATRIPTAN, replace(HEART, clinical="resolved")], False, id="the diagnosis is resolved"),
    ],
)
def test_fingerprint_follows_what_the_evidence_says(after: list[Any], same: bool) -> None:
    before = _prompts([SUMATRIPTAN, HEART])["01"].fingerprint
    assert len(before) == 64
    assert (_prompts(after)["01"].fingerprint == before) is same


def test_new_reading_is_new_evidence() -> None:
    old = [pressure(ago(10), 170, 90), pressure(ago(30), 170, 90)]
    before = _prompts([SUMATRIPTAN, *old])["03"].fingerprint
    assert _prompts([SUMATRIPTAN, *old, pressure(ago(1), 165, 90)])["03"].fingerprint != before


def test_fingerprint_does_not_depend_on_order() -> None:
    facts = [SUMATRIPTAN, rx("Maxalt 10 mg tablet"), HEART, dx("I63.9")]
    assert _prompts(facts)["01"].fingerprint == _prompts(facts[::-1])["01"].fingerprint


@pytest.mark.parametrize(
    ("status", "intent", "more", "active"),
    [
        ("active", "order", {}, True),
        ("on-hold", "order", {}, True),
        ("", "", {}, True),
        ("active", "plan", {}, True),
        ("active", "proposal", {}, False),
        ("active", "option", {}, False),
        ("stopped", "order", {"supply_days": 900}, False),
        ("cancelled", "order", {}, False),
        ("completed", "order", {"supply_days": 90}, True),
        ("completed", "order", {"supply_days": 30}, False),
        ("completed", "order", {}, False),
        ("active", "order", {"forbidden": True}, False),
    ],
)
def test_active_is_status_or_a_span_that_reaches_today(
    status: str, intent: str, more: dict[str, Any], active: bool
) -> None:
    assert signs.is_active(rx("Topiramate 50 mg tablet", ago(60), status, intent=intent, **more), TODAY) is active


def test_delivery_among_procedures_ends_a_pregnancy() -> None:
    facts = [VALPROATE, PREGNANT, happened("procedure", "Vaginal delivery", ago(3))]
    assert "11" not in _prompts(facts)
