"""The space of decisions: what a reader, a row and its records may be, one value a dimension.

A scenario is everything but the reader: the row and the records about it, with four grants alike, to
one organisation of each kind. Its number says what it is, so that any part can be dealt out.
"""

import random
from datetime import timedelta
from itertools import product

from tests.unit.sharing import worlds
from tests.unit.sharing.worlds import EVERYTHING, FUTURE, LONG_AGO, NOW, PAST

CUSTODIAN, OTHER, STRANGER = "org_custodian", "org_other", "org_stranger"
# keeps the rows that a grant for every case is about: a Part 2 program
PROGRAM = "org_program"
KINDS = ("clinic", "social-service", "payer", "coordinator")
PURPOSES = (
    *("TREAT", "COC", "ETREAT", "BTG", "ERTREAT"),
    *("HPAYMT", "HOPERAT", "CAREMGT", "HRESCH", "NONSENSE"),
)
READERS = [worlds.reader(f"org_{kind}", kind, code) for kind, code in product(KINDS, PURPOSES)] + [
    worlds.reader(CUSTODIAN, "clinic", "TREAT"),
    worlds.reader(CUSTODIAN, "payer", "NONSENSE"),
    worlds.reader(OTHER, "clinic", "TREAT"),
    worlds.reader("org_clinic", "no-such-kind", "TREAT"),
]

# relationship: what the row is to what the grant names
RELATIONS = {
    "the case": {"case_id": "case"},
    "every case": {},
    "another case": {"case_id": "case_other"},
    "another person": {"person_id": "person_other"},
    "another custodian": {"custodian_id": OTHER},
    "own record": {"case_id": "case"},
}
# basis of the grant, and whose referral the row is
BASES = {
    "consent, for coordination": ({"basis": "consent", "purposes": ["COC", "HOPERAT"]}, None),
    "its referral": ({"basis": "referral", "basis_id": "ref_1"}, "ref_1"),
    "another referral": ({"basis": "referral", "basis_id": "ref_1"}, "ref_2"),
    "a referral, row of none": ({"basis": "referral", "basis_id": "ref_1"}, None),
    "care team": ({"basis": "care-team"}, "ref_2"),
    "treatment, ended": ({"basis": "treatment", "valid_from": LONG_AGO, "valid_to": NOW}, None),
    "emergency": ({"basis": "emergency"}, None),
    "legal, narrow": ({"basis": "legal", "classes": ["coordination", "outcome"]}, None),
    "none": (None, None),
}
_TO_A_STRANGER = ("deny", {"recipient_id": STRANGER})
_LATER = PAST + timedelta(days=1)
_EXCEPTED = ["clinical", "identity", "coordination"]
# what they say, how deep it is nested, and up to which confidentiality of a row it reaches
CONSENTS = {
    "none": [],
    "permit": [("permit", {})],
    "deny": [("deny", {})],
    "permit, then deny": [
        ("permit", {"part2": True}),
        ("deny", {"decided_at": _LATER, "classes": ["needs", "substance-use"]}),
    ],
    "deny, then permit": [
        ("deny", {}),
        ("permit", {"decided_at": _LATER, "purposes": ["COC"], "case_id": "case", "part2": True}),
    ],
    "deny with an exception": [("deny", {}), ("permit", {"depth": 1, "classes": _EXCEPTED})],
    "permit with an exception": [("permit", {}), ("deny", {"depth": 1, "classes": _EXCEPTED})],
    "exception, then another word": [
        ("deny", {"depth": 2, "classes": _EXCEPTED}),
        ("permit", {"decided_at": _LATER}),
    ],
    "both at once, equally deep": [("permit", {"depth": 1}), ("deny", {"depth": 1})],
    "permit of substance-use": [("permit", {"classes": ["substance-use"], "part2": True})],
    "withdrawn permit": [("permit", {"active": False})],
    "permit that ends now": [("permit", {"valid_to": NOW})],
    "permit up to normal": [("permit", {"confidentiality": "N"}), _TO_A_STRANGER],
    "permit up to restricted": [("permit", {"confidentiality": "R"})],
    "deny up to normal": [("permit", {}), ("deny", {"decided_at": _LATER, "confidentiality": "N"})],
    "exception up to normal": [("deny", {}), ("permit", {"depth": 1, "confidentiality": "N"})],
}
AGREEMENTS = {
    "in force": {},
    "with the kind": {"by_kind": True},
    "of another custodian": {"custodian_id": OTHER},
    "with others": {"recipient_id": STRANGER},
    "with another kind": {"recipient_kind": "no-kind"},
    "ends now": {"valid_to": NOW},
    "narrow, for coordination": {"classes": EVERYTHING[:7], "purposes": ["COC", "HOPERAT"]},
    "by consent": {"consent_classes": ["identity", "clinical", "outcome"]},
    "lets restricted out": {"confidentiality": "R"},
    "lets little out": {"confidentiality": "L"},
}
# those that mixtures stand under beside them
MIXED = {
    "begins later": {"valid_from": FUTURE, "valid_to": None},
    "begins now": {"valid_from": NOW, "valid_to": None},
    "by consent, lets all out": {"consent_classes": EVERYTHING, "confidentiality": "V"},
}
CONFIDENTIALITY = ("N", "R")
# a seal on the row's case, and whether two readers are parties of the row
SEALS = {
    "none": (None, []),
    "sealed": ({}, []),
    "taken off": ({"valid_to": NOW}, []),
    "by a partner, with parties": ({"custodian_id": "org_clinic"}, ["org_payer", OTHER]),
}

DIMENSIONS = (RELATIONS, BASES, CONSENTS, AGREEMENTS, CONFIDENTIALITY, SEALS)
SCENARIOS = 1
for _dimension in DIMENSIONS:
    SCENARIOS *= len(_dimension)


def values(number):
    """The names of a scenario's values, by its number."""
    found = []
    for dimension in DIMENSIONS:
        number, place = divmod(number, len(dimension))
        found.append(list(dimension)[place])
    return found


def row(key, number):
    relation, basis, _, _, confidentiality, seal = values(number)
    own = relation == "own record"
    return worlds.row(
        key,
        _owner(relation),
        f"person_{key}",
        None if own else f"case_{key}",
        about_person=own,
        referral_id=BASES[basis][1],
        confidentiality=confidentiality,
        parties=SEALS[seal][1],
    )


def _owner(relation):
    return PROGRAM if relation == "every case" else CUSTODIAN


def agreements():
    """One of each sort with each of the four kinds' organisations, by sort, kind and custodian."""
    found = {}
    sorts = {**AGREEMENTS, **MIXED}.items()
    for (sort, more), kind, keeps in product(sorts, KINDS, (CUSTODIAN, PROGRAM)):
        said = dict(more)
        if said.pop("by_kind", False):
            said["recipient_kind"] = kind
        elif not {"recipient_id", "recipient_kind"} & set(said):
            said["recipient_id"] = f"org_{kind}"
        owner = said.pop("custodian_id", keeps)
        name = f"agr_{sort}_{kind}_{keeps}"
        found[sort, kind, keeps] = worlds.agreement(name, owner, **said)
    return found


def grant(key, number, kind, under=None):
    """The grant to the kind's organisation, None where the scenario has none.

    It stands under the scenario's agreement, or under one of the sort `under`.
    """
    relation, basis, _, sort, _, _ = values(number)
    sort = under or sort
    said = BASES[basis][0]
    if said is None:
        return None
    keeps = _owner(relation)
    more = {"custodian_id": keeps, **RELATIONS[relation], **said}
    if more.get("case_id") == "case":
        more["case_id"] = f"case_{key}"
    person = more.pop("person_id", f"person_{key}")
    name = f"{key}/grt_{kind}"
    owner = more.pop("custodian_id")
    return worlds.grant(name, owner, f"org_{kind}", person, f"agr_{sort}_{kind}_{keeps}", **more)


def consents(key, number):
    said = CONSENTS[values(number)[2]]
    return [
        worlds.consent(f"{key}/con_{place}", f"person_{key}", decision, **_in_case(more, key))
        for place, (decision, more) in enumerate(said)
    ]


def _in_case(more, key):
    return {**more, "case_id": f"case_{key}"} if more.get("case_id") == "case" else more


def seals(key, number):
    relation, *_, seal = values(number)
    said = SEALS[seal][0]
    if said is None:
        return []
    return [worlds.seal(f"case_{key}", said.get("custodian_id", _owner(relation)), **_rest(said))]


def _rest(said):
    return {name: value for name, value in said.items() if name != "custodian_id"}


def drawn(seed, count):
    """Scenario numbers drawn with the seed, each at most once.

    Every other one is told apart by its consents, agreement and confidentiality alone: there the
    grant is on the row, and no seal in the way.
    """
    draw = random.Random(seed)
    found = dict.fromkeys(draw.sample(range(SCENARIOS), min(count - count // 2, SCENARIOS)))
    open_to = [
        ("the case", "every case", "own record"),
        ("its referral", "a referral, row of none", "care team"),
        tuple(CONSENTS),
        tuple(AGREEMENTS),
        CONFIDENTIALITY,
        ("none",),
    ]
    while len(found) < min(count, SCENARIOS):
        found[_number([draw.choice(names) for names in open_to])] = None
    return list(found)


def _number(names):
    """The number of the scenario that has these values: the reverse of `values`."""
    number = 0
    for dimension, name in reversed(list(zip(DIMENSIONS, names, strict=True))):
        number = number * len(dimension) + list(dimension).index(name)
    return number


def mixed(seed, number):
    """A scenario of several grants and directives, drawn freely: (row, grants, consents, seals)."""
    draw = random.Random(f"{seed}/{number}")
    first = draw.randrange(SCENARIOS)
    key = f"row_{SCENARIOS + number}"
    numbers = [first, *(draw.randrange(SCENARIOS) for _ in range(draw.randint(0, 2)))]
    kind = draw.choice(KINDS)
    sorts = [None, *AGREEMENTS, *MIXED]
    given = [
        grant(key, one, draw.choice([kind, kind, *KINDS]), draw.choice(sorts)) for one in numbers
    ]
    grants = [
        {**one, "id": f"{key}/grt_{place}", "valid_from": _begin(draw, one["valid_from"])}
        for place, one in enumerate(given)
        if one is not None
    ]
    said = [
        worlds.consent(
            f"{key}/con_{place}",
            f"person_{key}",
            draw.choice(["permit", "deny"]),
            classes=draw.sample(EVERYTHING, draw.randint(1, 8)),
            purposes=draw.sample([*worlds.ROOTS, "COC", "HRESCH"], draw.randint(1, 2)),
            decided_at=PAST + timedelta(days=draw.randint(0, 2)),
            recipient_id=draw.choice([None, None, "org_clinic", "org_payer"]),
            active=draw.random() < 0.8,
            valid_from=_begin(draw, LONG_AGO),
            valid_to=draw.choice([None, None, NOW, FUTURE]),
            depth=draw.randint(0, 2),
            confidentiality=draw.choice("ULMNRVV"),
            case_id=draw.choice([None, None, f"case_{key}", "case_other"]),
            part2=draw.random() < 0.5,
        )
        for place in range(draw.randint(0, 4))
    ]
    drawn_row = row(key, first) | {
        "confidentiality": draw.choice("ULMNRV"),
        "parties": draw.choice([[], [], ["org_payer", OTHER]]),
        "referral_id": draw.choice([None, "ref_1", "ref_2"]),
    }
    on_it = [{**one, "valid_from": _begin(draw, one["valid_from"])} for one in seals(key, first)]
    return drawn_row, grants, said, on_it


def _begin(draw, usual):
    """Mostly as usual; else what begins at this instant, or has not begun."""
    return draw.choice([usual, usual, usual, NOW, FUTURE])
