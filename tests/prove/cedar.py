"""The semantics page once more, as Cedar policies: another language, another engine.

One request asks for one class (the resource) with the records in the context. Cedar cannot walk a
list of records, so a scenario has at most one grant for a reader and two directives.
"""

import json

import cedarpy

from tests.prove import space
from tests.prove.compare import PLAIN, Count
from tests.unit.sharing import oracle, worlds

ACTION = 'Action::"see"'
_TREE = {
    "COC": "TREAT",
    "ETREAT": "TREAT",
    "BTG": "ETREAT",
    "ERTREAT": "ETREAT",
    "CAREMGT": "HOPERAT",
}


def _in_force(record):
    return f"({record}.from <= context.now && (!({record} has to) || context.now < {record}.to))"


def _applies(slot):
    said = f"context.{slot}"
    return (
        f"(context has {slot} && {said}.active && {_in_force(said)}"
        f" && context.row has person && {said}.person == context.row.person"
        f" && context.purpose in {said}.purposes && {said}.classes.contains(resource.name)"
        f" && (!({said} has recipient) || {said}.recipient == principal)"
        f" && (!({said} has case) || (context.row has case && {said}.case == context.row.case))"
        f' && (resource.name != "substance-use" || !{said}.permits || {said}.part2'
        f" || !context.row.program)"
        f" && context.row.rank <= {said}.rank)"
    )


def _later(slot, other, level):
    one, two = f"context.{slot}", f"context.{other}"
    return (
        f"({two}.decided > {one}.decided"
        f" || ({two}.decided == {one}.decided && {two}.depth {level} {one}.depth))"
    )


def _word(slot, other, permits, level):
    said = "true" if permits else "false"
    opposite = "false" if permits else "true"
    beaten = (
        f"({_applies(other)} && context.{other}.permits == {opposite}"
        f" && {_later(slot, other, level)})"
    )
    return f"({_applies(slot)} && context.{slot}.permits == {said} && !{beaten})"


_DENIED = f"({_word('c1', 'c2', False, '>')} || {_word('c2', 'c1', False, '>')})"
_PERMITTED = f"({_word('c1', 'c2', True, '>=')} || {_word('c2', 'c1', True, '>=')})"
_NEEDS = '(context.agreement.byconsent.contains(resource.name) || resource.name == "substance-use")'


def _classes(*names):
    return "[" + ", ".join(f'"{name}"' for name in names) + "].contains(resource.name)"


def _line(kind, purpose, classes):
    return f'(context.kind == "{kind}" && context.purpose in Purpose::"{purpose}" && {classes})'


_CEILING = " || ".join(
    (
        _line("clinic", "TREAT", "true"),
        _line(
            "social-service",
            "COC",
            _classes(
                *("identity", "contact", "coordination", "needs", "plan"),
                *("safety", "notes", "financial", "outcome"),
            ),
        ),
        _line("payer", "HPAYMT", _classes("financial", "outcome")),
        _line("payer", "HOPERAT", _classes("outcome")),
        _line(
            "coordinator",
            "COC",
            _classes("identity", "contact", "coordination", "needs", "plan", "notes", "outcome"),
        ),
        _line("coordinator", "HOPERAT", _classes("coordination", "outcome")),
    )
)
_REACHES = """context has grant && context has agreement && context.row has person
    && context.grant.recipient == principal && context.grant.person == context.row.person
    && context.row has custodian && context.grant.custodian == context.row.custodian
    && (!(context.grant has case) || context.row.own
        || (context.row has case && context.row.case == context.grant.case))
    && (context.grant.basis != "referral" || !(context.row has referral)
        || context.row.referral == context.grant.on)"""
_HOLDS = f"""{_REACHES}
    && {_in_force("context.grant")} && context.purpose in context.grant.purposes
    && context.agreement.custodian == context.row.custodian
    && ((context.agreement has recipient && context.agreement.recipient == principal)
        || (!(context.agreement has recipient) && context.agreement.kind == context.kind))
    && {_in_force("context.agreement")} && context.purpose in context.agreement.purposes
    && context.row.rank <= context.agreement.rank
    && context.grant.classes.contains(resource.name) && context.agreement.classes.contains(resource.name)
    && ({_CEILING})"""
_OWN = "context.row has custodian && context.row.custodian == principal"

POLICIES = cedarpy.PolicySet.from_str(f"""
permit (principal, action, resource) when {{ {_OWN} }};
permit (principal, action, resource) when {{ context.row.parties.contains(principal) }};
permit (principal, action, resource) when {{
    {_HOLDS} && context.grant.basis == "emergency" && context.purpose in Purpose::"ETREAT"
}};
permit (principal, action, resource) when {{
    {_HOLDS} && context.grant.basis != "emergency"
    && !{_DENIED} && (!{_NEEDS} || {_PERMITTED})
}};
forbid (principal, action, resource) when {{
    context has seal && context.row has case && context.seal.case == context.row.case
    && context.seal.by != principal && {_in_force("context.seal")}
}} unless {{ {_OWN} }};
""")
ENTITIES = cedarpy.Entities.from_json_str(
    json.dumps(
        [
            {
                "uid": {"type": "Purpose", "id": code},
                "attrs": {},
                "parents": [{"type": "Purpose", "id": _TREE[code]}] if code in _TREE else [],
            }
            for code in space.PURPOSES
        ]
        + [
            {"uid": {"type": "Class", "id": name}, "attrs": {"name": name}, "parents": []}
            for name in worlds.EVERYTHING
        ]
    )
)


def _entity(kind, name):
    return {"__entity": {"type": kind, "id": name}}


def _known(**values):
    return {name: value for name, value in values.items() if value is not None}


def _period(record):
    until = record["valid_to"]
    return _known(
        **{
            "from": int(record["valid_from"].timestamp()),
            "to": None if until is None else int(until.timestamp()),
        }
    )


def _organisation(name):
    return None if name is None else _entity("Organisation", name)


def _scope(record):
    return {
        "classes": record["classes"],
        "purposes": [_entity("Purpose", code) for code in record["purposes"]],
        **_period(record),
    }


def _rank(code):
    return "ULMNRV".index(code)


def _grant(one):
    return _known(
        custodian=_organisation(one["custodian_id"]),
        recipient=_organisation(one["recipient_id"]),
        person=one["person_id"],
        case=one["case_id"],
        basis=one["basis"],
        on=one["basis_id"],
    ) | _scope(one)


def _agreement(one):
    return _known(
        custodian=_organisation(one["custodian_id"]),
        recipient=_organisation(one["recipient_id"]),
        kind=one["recipient_kind"],
        rank=_rank(one["confidentiality"]),
        byconsent=one["consent_classes"],
    ) | _scope(one)


def _consent(one):
    return _known(
        person=one["person_id"],
        recipient=_organisation(one["recipient_id"]),
        permits=one["decision"] == "permit",
        case=one["case_id"],
        part2=one["part2"],
        active=one["active"],
        decided=int(one["decided_at"].timestamp()),
        depth=one.get("depth", 0),
        rank=_rank(one.get("confidentiality", "V")),
    ) | _scope(one)


def _row(one):
    return _known(
        custodian=_organisation(one["custodian_id"]),
        person=one["person_id"],
        case=one["case_id"],
        own=one["about_person"],
        program=one["custodian_id"] in worlds.PROGRAMS,
        referral=one["referral_id"],
        rank=_rank(one["confidentiality"]),
        parties=[_organisation(name) for name in one["parties"]],
    )


def context(reader, row, grants, consents, seals):
    """What one decision is asked with. Raises ValueError for more than Cedar can be told."""
    (grant,), (first, second) = _slots(grants, 1), _slots(consents, 2)
    (seal,) = _slots(seals, 1)
    agreement = PLAIN.get(grant["agreement_id"]) if grant else None
    return _known(
        now=int(worlds.NOW.timestamp()),
        kind=reader["kind"],
        purpose=_entity("Purpose", reader["purpose"]),
        row=_row(row),
        grant=_grant(grant) if grant else None,
        agreement=_agreement(agreement) if agreement else None,
        c1=_consent(first) if first else None,
        c2=_consent(second) if second else None,
        seal={"case": seal["case_id"], "by": _organisation(seal["custodian_id"]), **_period(seal)}
        if seal
        else None,
    )


def _slots(records, count):
    if len(records) > count:
        raise ValueError(f"{len(records)} records for {count} slots")
    return [*records, *[None] * (count - len(records))]


def requests_of(reader, told):
    """One request a class, all with the same context."""
    text = json.dumps(told)
    principal = f'Organisation::"{reader["organisation_id"]}"'
    return [
        {
            "principal": principal,
            "action": ACTION,
            "resource": f'Class::"{name}"',
            "context": text,
        }
        for name in worlds.EVERYTHING
    ]


def sees(requests):
    """The classes Cedar allows, of the requests of one decision."""
    answers = cedarpy.is_authorized_batch(requests, POLICIES, ENTITIES)
    return [answer.allowed for answer in answers]


def compared(numbers):
    """Scenarios for every reader: Cedar's answers and the oracle's."""
    cells, shown, differences = 0, 0, []
    for number in numbers:
        key = f"row_{number}"
        row = space.row(key, number)
        consents, seals = space.consents(key, number), space.seals(key, number)
        asked, wanted = [], []
        for reader in space.READERS:
            kind = reader["organisation_id"].removeprefix("org_")
            given = space.grant(key, number, kind) if kind in space.KINDS else None
            grants = [given] if given else []
            said = oracle.sees(reader, row, PLAIN, grants, consents, seals=seals, now=worlds.NOW)
            asked += requests_of(reader, context(reader, row, grants, consents, seals))
            wanted += [(reader, name, name in said) for name in worlds.EVERYTHING]
        for (reader, name, allowed), got in zip(wanted, sees(asked), strict=True):
            cells += 1
            shown += allowed
            if got != allowed:
                differences.append(f"scenario {number}: {reader}, {name}: Cedar {got}")
    return Count(cells, shown, tuple(differences[:10]))
