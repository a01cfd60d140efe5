"""Routes and forms that act where they are put: eye drops and skin gels are no headache treatment."""

from collections.abc import Iterable, Sequence

_EYE = frozenset({"ophthalmic", "ophth", "opht", "ophthal", "eye", "eyes", "intraocular", "ocular"})
_EAR = frozenset({"otic", "ear", "ears"})
_VAGINA = frozenset({"vaginal", "vag", "vaginally", "intravaginal"})
_MOUTH = frozenset({"dental", "gingival", "periodontal", "mouthwash"})
_SKIN = frozenset(
    {"topical", "topically", "cream", "crea", "ointment", "oint", "lotion", "shampoo", "foam", "cutaneous"}
)
_ROUTES = (
    ("ophthalmic form", _EYE),
    ("otic form", _EAR),
    ("vaginal form", _VAGINA),
    ("dental form", _MOUTH),
    ("topical form", _SKIN),
)
# A strength in percent means drops or a skin product; of these drugs it is the eye.
_EYE_DRUGS = frozenset({"timolol", "ketorolac", "flurbiprofen", "dexamethasone"})
_INFUSION_FLUIDS = frozenset({"nacl", "saline", "chloride", "dextrose", "d5w", "ns"})
_CAPSULE_GELS = frozenset({"liqui", "soft", "liquid"})
_ESTROGENS = frozenset({"estradiol", "estrogens, conjugated (USP)", "estrogens, esterified (USP)"})


def local_route(wordings: Sequence[Sequence[str]], ingredients: Iterable[str]) -> str:
    """The local form that token sequences of text, route and form describe, "" for a systemic or unknown one.

    Rings, patches and gels of estrogens act on the whole body: of those only vaginal estradiol and conjugated
    estrogens count as local, and combined contraceptives never.
    """
    found = set(ingredients)
    words = {word for wording in wordings for word in wording}
    reason = next((reason for reason, marks in _ROUTES if words & marks), "")
    reason = reason or _by_strength(wordings, words, found)
    if "ethinyl estradiol" in found or "mestranol" in found:
        return ""
    if found & _ESTROGENS and reason != "vaginal form":
        return ""
    return reason


def _by_strength(wordings: Sequence[Sequence[str]], words: set[str], found: set[str]) -> str:
    if any(_skin_gel(wording) for wording in wordings):
        return "topical form"
    if "%" not in words or "oxygen" in found or words & _INFUSION_FLUIDS:
        return ""
    return "ophthalmic form" if found & _EYE_DRUGS or "drops" in words else "topical form"


def _skin_gel(wording: Sequence[str]) -> bool:
    return any(
        word == "gel" and (place == 0 or wording[place - 1] not in _CAPSULE_GELS) for place, word in enumerate(wording)
    )
