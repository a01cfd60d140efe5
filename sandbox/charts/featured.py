"""Patients 13 to 20: one of each kind that the cast has not. Days are before today."""

from sandbox.charts.story import Course, Diagnosis, Done, Person, Story, Study, Trend

CLUSTER = (
    Person("Darnell", "Kowalczyk", "male", 41, (2, 11)),
    Story(
        "episodic cluster headache: oxygen, injections, verapamil with ECGs, steroid bridges",
        diagnoses=(
            Diagnosis("G44.019", since=860, onset="2017-10"),
            Diagnosis("G44.009", since=900, until=861, listed=False),
            Diagnosis("F17.210", since=900, at_visits=False),
        ),
        courses=(
            Course("oxygen", 850, every=180),
            Course("sumatriptan-injection", 860, every=100),
            Course("verapamil", 850, 700, ending="completed"),
            Course("verapamil-240", 690, every=120),
            Course("prednisone", 848, 840, ending="completed"),
            Course("prednisone", 180, 172, ending="completed"),
            Course("galcanezumab", 160),
        ),
        trend=Trend(hit6=(74, 56), share=0.6),
        studies=(Study("mri-normal", 840), Study("bmp", 690)),
        allergies=("nkda",),
        done=(Done("ecg", 848), Done("ecg", 688), Done("ecg", 420), Done("spg", 178)),
        first_visit=900,
        interval=110,
        emergencies=(182,),
        smoking="daily",
        papers=2,
        weight_kg=83,
        height_cm=181,
    ),
)
POST_TRAUMATIC = (
    Person("Ethan", "Rasmussen", "male", 24, (9, 3)),
    Story(
        "headache after a head injury, CT head in the emergency department",
        diagnoses=(
            Diagnosis("S06.0X0A", since=240, until=236, listed=False),
            Diagnosis("G44.319", since=225, until=150, sudden=True),
            Diagnosis("G44.329", since=149),
            Diagnosis("F07.81", since=225, at_visits=False, sudden=True),
            Diagnosis("M54.2", since=225, at_visits=False),
            Diagnosis("G47.00", since=200, at_visits=False),
        ),
        courses=(
            Course("naproxen", 225, 120, ending="completed"),
            Course("amitriptyline", 200, every=70),
            Course("rizatriptan", 120, every=90),
            Course("ibuprofen", 238, reported=True),
        ),
        trend=Trend((48, 19), (66, 57), (24, 10), (9, 5), share=0.9),
        studies=(Study("ct-ed", 240), Study("mri-normal", 210)),
        allergies=("none-known",),
        first_visit=225,
        interval=45,
        injury=240,
        blocks=(90,),
        forms=("hit6", "intake"),
        papers=2,
        weight_kg=77,
        height_cm=180,
    ),
)
TENSION_TYPE = (
    Person("Patricia", "Underhill", "female", 48, (12, 5)),
    Story(
        "tension-type headache, from episodic to chronic",
        diagnoses=(
            Diagnosis("G44.229", since=300),
            Diagnosis("G44.219", since=760, until=301),
            Diagnosis("M54.2", since=700, at_visits=False),
            Diagnosis("F41.9", since=500, at_visits=False),
        ),
        courses=(
            Course("amitriptyline", 290, every=90),
            Course("ibuprofen", 760, reported=True),
            Course("acetaminophen", 760, reported=True),
            Course("tizanidine", 400, 250, ending="completed"),
            Course("sertraline", 480, reported=True),
        ),
        trend=Trend(hit6=(61, 53), headache_days=(20, 14), gad7=(12, 6), share=0.7),
        allergies=("sulfa",),
        first_visit=760,
        interval=120,
        forms=("hit6",),
        weight_kg=70,
        height_cm=162,
    ),
)
GEPANTS = (
    Person("Olivia", "Thibodeaux", "female", 35, (4, 27)),
    Story(
        "chronic migraine on gepants, acute and preventive; incidental finding on MRI",
        diagnoses=(
            Diagnosis("G43.709", since=620, onset="2016"),
            Diagnosis("G43.009", since=1000, until=621),
            Diagnosis("J45.909", since=1000, at_visits=False),
        ),
        courses=(
            Course("topiramate", 980, 900),
            Course("amitriptyline", 880, 760),
            Course("sumatriptan", 980, 640, every=120),
            Course("rimegepant", 600, 330, every=90),
            Course("ubrogepant", 320, every=80),
            Course("zavegepant", 150, every=90),
            Course("atogepant", 560),
        ),
        trend=Trend((58, 14), (69, 53), (21, 8), (11, 4), since=1000, share=0.5),
        studies=(Study("mri-incidental", 950), Study("bmp", 970)),
        allergies=("sumatriptan", "topiramate-text"),
        first_visit=1000,
        interval=95,
        emergencies=(655,),
        forms=("midas", "hit6", "phq9"),
        papers=3,
        weight_kg=64,
    ),
)
PREGNANCY = (
    Person("Lucía", "Vásquez", "female", 31, (8, 14), speaks="es"),
    Story(
        "migraine and a new pregnancy, topiramate and valproate stopped",
        diagnoses=(
            Diagnosis("G43.009", since=820),
            Diagnosis("O99.351", since=56, at_visits=False, sudden=True),
            Diagnosis("Z34.01", since=54, at_visits=False, sudden=True),
            Diagnosis("Z33.1", since=62, at_visits=False, sudden=True),
        ),
        courses=(
            Course("divalproex", 800, 520),
            Course("topiramate", 500, 62),
            Course("sumatriptan", 820, 63, every=120),
            Course("prenatal", 58, reported=True),
            Course("acetaminophen", 58, reported=True),
            Course("metoclopramide", 52),
        ),
        trend=Trend((31, 22), (65, 60), (12, 9), share=0.8),
        studies=(Study("hcg", 62), Study("mri-normal", 800)),
        allergies=("none-known",),
        first_visit=820,
        interval=95,
        blocks=(30,),
        forms=("midas",),
        papers=1,
        weight_kg=66,
        height_cm=160,
    ),
)
_MERGED = Person("Renée", "Saint-Cyr", "female", 44, (5, 30))
MERGED_KEPT = (
    _MERGED,
    Story(
        "two charts of one person: the one kept",
        diagnoses=(Diagnosis("G43.709", since=390), Diagnosis("E66.9", since=390, at_visits=False)),
        courses=(
            Course("fremanezumab", 360),
            Course("rizatriptan", 390, every=110),
            Course("zonisamide", 385, 370),
        ),
        trend=Trend((39, 16), (65, 55), (17, 8), share=0.8),
        allergies=("codeine",),
        first_visit=395,
        interval=85,
        papers=1,
        replaces=19,
        weight_kg=92,
    ),
)
MERGED_CLOSED = (
    Person("Renee", "St Cyr", "female", 44, (5, 30)),
    Story(
        "two charts of one person: the one closed",
        diagnoses=(Diagnosis("G43.009", since=1500, onset="2008"), Diagnosis("G43.709", since=700)),
        courses=(
            Course("topiramate", 1480, 1300),
            Course("propranolol", 1290, 1050),
            Course("venlafaxine", 1000, 700, ending="active"),
            Course("sumatriptan", 1500, 450, every=130, ending="active"),
        ),
        trend=Trend((52, 44), (67, 64), (18, 16), share=0.5),
        studies=(Study("mri", 1450),),
        allergies=("penicillin",),
        first_visit=1500,
        interval=140,
        last_visit=420,
        replaced_by=18,
        weight_kg=90,
    ),
)
DECEASED = (
    Person("Walter", "Leatherwood", "male", 66, (10, 20)),
    Story(
        "new headache at 65, frontal mass on MRI, deceased",
        diagnoses=(
            Diagnosis("R51.9", since=520, until=500),
            Diagnosis("C71.1", since=498, sudden=True),
            Diagnosis("I10", since=520, at_visits=False, onset="2004"),
        ),
        courses=(
            Course("acetaminophen", 520, 400, reported=True, ending="completed"),
            Course("dexamethasone", 498, 260, every=60, ending="active"),
            Course("levetiracetam", 498, 260, every=90, ending="active"),
            Course("amlodipine", 520, 260, every=150, ending="active"),
        ),
        studies=(Study("ct-ed", 500), Study("mri-mass", 499), Study("bmp", 495)),
        allergies=("aspirin",),
        first_visit=520,
        interval=60,
        emergencies=(500,),
        papers=3,
        last_visit=260,
        died=233,
        pressure=(142, 86),
        smoking="former",
        weight_kg=79,
        height_cm=175,
    ),
)

FEATURED: tuple[tuple[Person, Story], ...] = (
    CLUSTER,
    POST_TRAUMATIC,
    TENSION_TYPE,
    GEPANTS,
    PREGNANCY,
    MERGED_KEPT,
    MERGED_CLOSED,
    DECEASED,
)
