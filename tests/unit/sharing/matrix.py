"""The decision matrix: every relation, agreement, grant and consent, asked by every kind of reader.

Each scenario has a person of its own; the four readers are granted alike, each under agreements
of its own, so that one set of facts answers for all of them.
"""

import random
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice, product

from tests.unit.sharing import worlds
from tests.unit.sharing.worlds import EVERYTHING, FUTURE, LONG_AGO, NOW, PAST

CUSTODIAN, OTHER = "org_custodian", "org_other"
KINDS = ("clinic", "social-service", "payer", "coordinator")
PURPOSES = ("TREAT", "COC", "BTG", "ERTREAT", "HPAYMT", "HOPERAT", "CAREMGT", "NONSENSE")
READERS = [worlds.reader(f"org_{kind}", kind, code) for kind, code in product(KINDS, PURPOSES)] + [
    worlds.reader(CUSTODIAN, "clinic", "TREAT"),
    worlds.reader(CUSTODIAN, "payer", "NONSENSE"),
    worlds.reader(OTHER, "clinic", "TREAT"),
    worlds.reader("org_clinic", "no-such-kind", "TREAT"),
]
REQUIRED = [
    [],
    ["coordination"],
    ["notes"],
    ["notes", "clinical"],
    ["notes", "substance-use"],
    ["clinical", "behavioral"],
    ["safety"],
    ["outcome"],
]

AGREEMENTS = {
    "in force": {},
    "with the kind": {"by_kind": True},
    "with another kind": {"recipient_kind": "no-kind"},
    "with another recipient": {"recipient_id": "org_stranger"},
    "of another custodian": {"custodian_id": OTHER},
    "ended": {"valid_from": LONG_AGO, "valid_to": PAST},
    "ends now": {"valid_to": NOW},
    "starts later": {"valid_from": FUTURE, "valid_to": None},
    "starts now, no end": {"valid_from": NOW, "valid_to": None},
    "narrow": {"classes": ["identity", "outcome", "substance-use"]},
    "all by consent": {"consent_classes": EVERYTHING},
    "clinical by consent": {"consent_classes": ["clinical", "identity"]},
    "for research": {"purposes": ["HRESCH"]},
    "for coordination": {"purposes": ["COC"]},
    "lets restricted out": {"confidentiality": "R"},
    "lets little out": {"confidentiality": "L"},
}
GRANTS = {
    "full": {},
    "ended": {"valid_from": LONG_AGO, "valid_to": PAST},
    "ends now": {"valid_to": NOW},
    "starts later": {"valid_from": FUTURE},
    "narrow": {"classes": ["coordination", "outcome", "substance-use"]},
    "for coordination": {"purposes": ["COC"]},
    "emergency": {"basis": "emergency"},
}
# relation -> (what the grant says otherwise, what the row says otherwise)
RELATIONS = {
    "case": ({"case_id": "case"}, {}),
    "every case": ({}, {}),
    "own record": ({"case_id": "case"}, {"case_id": None, "about_person": True}),
    "another case": ({"case_id": "case_other"}, {}),
    "no case": ({"case_id": "case"}, {"case_id": None}),
    "no case, every case": ({}, {"case_id": None}),
    "another person": ({"person_id": "person_other"}, {}),
    "another custodian": ({"custodian_id": OTHER}, {}),
    "another recipient": ({"recipient_id": "org_stranger"}, {}),
    "nobody": ({}, {"person_id": None}),
    "no custodian": ({}, {"custodian_id": None}),
    "referral": ({"basis": "referral", "basis_id": "ref_1"}, {"referral_id": "ref_1"}),
    "another referral": ({"basis": "referral", "basis_id": "ref_1"}, {"referral_id": "ref_2"}),
    "of no referral": ({"basis": "referral", "basis_id": "ref_1"}, {}),
    "row of a referral": ({}, {"referral_id": "ref_1"}),
    "restricted": ({}, {"confidentiality": "R"}),
    "low": ({}, {"confidentiality": "L"}),
    "party": ({"recipient_id": "org_stranger"}, {"parties": ["org_clinic", "org_payer"]}),
}
# what these say does not hang on how the agreement or the grant otherwise stands
NARROW = {name for name in RELATIONS if "referral" in name} | {"restricted", "low", "party"}
PLAIN = {"in force", "with the kind", "lets restricted out", "lets little out", "all by consent"}
# a seal on the row's case: (whose, what else it says)
SEALS = {
    "none": None,
    "sealed": (CUSTODIAN, {}),
    "sealed by a party": ("org_clinic", {}),
    "taken off": (CUSTODIAN, {"valid_to": NOW}),
    "sealed later": (CUSTODIAN, {"valid_from": FUTURE}),
}
_LATER, _LAST = PAST + timedelta(days=1), PAST + timedelta(days=2)
CONSENTS = {
    "none": [],
    "permit": [("permit", {})],
    "deny": [("deny", {})],
    "permit, then deny": [("permit", {}), ("deny", {"decided_at": _LATER})],
    "deny, then permit": [("deny", {}), ("permit", {"decided_at": _LATER})],
    "at once": [("permit", {}), ("deny", {})],
    "permit, deny, permit": [
        ("permit", {}),
        ("deny", {"decided_at": _LATER, "classes": ["identity", "clinical"]}),
        ("permit", {"decided_at": _LAST, "classes": ["clinical"]}),
    ],
    "expired permit": [("permit", {"valid_from": LONG_AGO, "valid_to": PAST})],
    "permit ends now": [("permit", {"valid_to": NOW})],
    "later permit": [("permit", {"valid_from": FUTURE})],
    "withdrawn permit": [("permit", {"active": False})],
    "withdrawn deny": [("permit", {}), ("deny", {"active": False, "decided_at": _LATER})],
    "permit without substance-use": [("permit", {"classes": EVERYTHING[:7]})],
    "permit of substance-use": [("permit", {"classes": ["substance-use"]})],
    "permit to another": [("permit", {"recipient_id": "org_stranger"})],
    "permit to the clinic": [("permit", {"recipient_id": "org_clinic"})],
    "deny to the payer": [("permit", {}), ("deny", {"recipient_id": "org_payer"})],
    "permit for coordination": [("permit", {"purposes": ["COC"]})],
    "deny for coordination": [("permit", {}), ("deny", {"purposes": ["COC"]})],
    "permit of another person": [("permit", {"person_id": "person_other"})],
}


@dataclass
class World:
    agreements: list = field(default_factory=list)
    grants: list = field(default_factory=list)
    consents: list = field(default_factory=list)
    seals: list = field(default_factory=list)
    rows: list = field(default_factory=list)

    def scenarios(self):
        """Each row with what may bear on it: the facts of its own scenario."""
        by_scenario = {}
        for name in ("grants", "consents"):
            for record in getattr(self, name):
                key = record["id"].split("/")[0]
                by_scenario.setdefault(key, {"grants": [], "consents": []})[name].append(record)
        sealed = {seal["case_id"].removeprefix("case_"): seal for seal in self.seals}
        found = []
        for row in self.rows:
            facts = by_scenario.get(row["id"], {"grants": [], "consents": []})
            seals = [sealed[row["id"]]] if row["id"] in sealed else []
            found.append((row, {**facts, "seals": seals}))
        return found


def build(every=1):
    """The curated matrix: all relations, agreements and grants; consents where they can matter.

    `every` keeps one scenario in so many.
    """
    world = World(agreements=_agreements())
    can_matter = {"case", "every case", "own record", "row of a referral"}
    everything = list(product(RELATIONS, AGREEMENTS, GRANTS, CONSENTS))
    random.Random(0).shuffle(everything)
    for relation, state, given, said in islice(everything, 0, None, every):
        if relation in NARROW and not (given in {"full", "emergency"} and state in PLAIN):
            continue
        plain = said == "none" or (said == "permit" and relation == "case")
        telling = relation in can_matter and given in {"full", "narrow", "emergency"}
        if plain or (telling and state in {"in force", "with the kind", "all by consent"}):
            _scenario(world, relation, state, given, CONSENTS[said])
    for seal, relation in product(SEALS, RELATIONS):
        _scenario(world, relation, "in force", "full", CONSENTS["permit"], seal=seal)
        _scenario(world, relation, "in force", "emergency", CONSENTS["deny"], seal=seal)
    return world


def at_random(seed, count):
    """`count` scenarios of several grants and directives each, drawn freely from the same states."""
    draw = random.Random(seed)
    world = World(agreements=_agreements())
    for _ in range(count):
        relation = draw.choice(list(RELATIONS))
        said = [
            (
                draw.choice(["permit", "deny"]),
                {
                    "classes": draw.sample(EVERYTHING, draw.randint(1, 8)),
                    "purposes": draw.sample([*worlds.ROOTS, "COC", "HRESCH"], draw.randint(1, 2)),
                    "decided_at": PAST + timedelta(days=draw.randint(0, 2)),
                    "recipient_id": draw.choice([None, None, "org_clinic", "org_payer"]),
                    "active": draw.random() < 0.8,
                    "valid_to": draw.choice([None, None, NOW, PAST, FUTURE]),
                },
            )
            for _ in range(draw.randint(0, 4))
        ]
        state, given = draw.choice(list(AGREEMENTS)), draw.choice(list(GRANTS))
        _scenario(world, relation, state, given, said, seal=draw.choice(["none", *SEALS]))
        for _ in range(draw.randint(0, 2)):
            _grant(world, draw.choice(list(RELATIONS)), draw.choice(list(AGREEMENTS)), "full")
    return world


def _agreements():
    found = []
    for (state, more), kind in product(AGREEMENTS.items(), KINDS):
        values = dict(more)
        if values.pop("by_kind", False):
            values["recipient_kind"] = kind
        elif not {"recipient_id", "recipient_kind"} & set(values):
            values["recipient_id"] = f"org_{kind}"
        found.append(
            worlds.agreement(f"agr_{state}_{kind}", values.pop("custodian_id", CUSTODIAN), **values)
        )
    return found


def _scenario(world, relation, state, given, said, *, seal="none"):
    key = f"row_{len(world.rows)}"
    _, otherwise = RELATIONS[relation]
    row = worlds.row(key, CUSTODIAN, f"person_{key}", f"case_{key}")
    world.rows.append({**row, **otherwise})
    if SEALS[seal] is not None:
        whose, more = SEALS[seal]
        world.seals.append(worlds.seal(f"case_{key}", whose, **more))
    _grant(world, relation, state, given)
    for number, (decision, more) in enumerate(said):
        values = {"person_id": f"person_{key}", **more}
        person = values.pop("person_id")
        world.consents.append(worlds.consent(f"{key}/con_{number}", person, decision, **values))


def _grant(world, relation, state, given):
    """Give the newest row's readers one grant each."""
    key = f"row_{len(world.rows) - 1}"
    more, _ = RELATIONS[relation]
    for kind in KINDS:
        values = {
            "custodian_id": CUSTODIAN,
            "recipient_id": f"org_{kind}",
            "person_id": f"person_{key}",
            "agreement_id": f"agr_{state}_{kind}",
            **more,
            **GRANTS[given],
        }
        if values.get("case_id") == "case":
            values["case_id"] = f"case_{key}"
        world.grants.append(worlds.grant(f"{key}/grt_{len(world.grants)}", **values))


def required_of(row):
    """The classes this row demands of its readers, dealt out in turn."""
    return REQUIRED[int(row["id"].split("_")[1]) % len(REQUIRED)]
