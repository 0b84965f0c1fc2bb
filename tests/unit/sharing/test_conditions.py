"""A policy's conditions: the algebra as data, and nothing beside it."""

import json
from pathlib import Path

import pytest
import yaml
from sharing import evaluate, mask_of, names_of, policy, rule
from sharing.algebra import AllOf, AtMost, Equal, InForce, OneOf, Ref, Under
from sharing.conditions import TYPES, OutsideAlgebra, read
from sharing.difference import Change, diff, widens
from sharing.model import Agreement, Grant, Organisation, Row
from sharing.policy import PolicyRefused, canonical, current, parse

from tests.unit.sharing import worlds

WRITTEN = Path(policy.__file__).with_name("policy.yaml").read_text(encoding="utf-8")


def with_limit(only_when, classes=("behavioral",), name="behavioral by consent"):
    plain = yaml.safe_load(WRITTEN)
    plain["limits"] = [{"name": name, "classes": list(classes), "only_when": only_when}]
    return plain


def test_every_operator_reads_as_its_node():
    written = {
        "all": [
            {"under": "TREAT"},
            {"one_of": ["grant.basis", ["consent", "legal"]]},
            {"equal": ["grant.case_id", "row.case_id"]},
            {"at_most": ["row.confidentiality", "agreement.confidentiality"]},
            {"in_force": ["grant.valid_from", "grant.valid_to"]},
        ]
    }
    assert read(written) == AllOf(
        (
            Under("TREAT"),
            OneOf(Ref("grant", "basis"), ("consent", "legal")),
            Equal(Ref("grant", "case_id"), Ref("row", "case_id")),
            AtMost(Ref("row", "confidentiality"), Ref("agreement", "confidentiality")),
            InForce(Ref("grant", "valid_from"), Ref("grant", "valid_to")),
        )
    )
    for other in (
        {"any": [{"missing": "grant.case_id"}, {"holds": "row.about_person"}]},
        {"covers": "agreement.purposes"},
        {"differ": ["grant.custodian_id", "reader.organisation_id"]},
    ):
        read(other)


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ({"not": [{"under": "TREAT"}]}, "not: no predicate"),
        ({"matches": ["grant.basis", ".*"]}, "matches: no predicate"),
        ({"all": [{"under": "TREAT"}, {"sql": "1=1"}]}, "all.1.sql: no predicate"),
        ("true", "expected one operator"),
        ({"under": "TREAT", "holds": "row.about_person"}, "expected one operator"),
        ({"under": "TREATMENT"}, "under: 'TREATMENT' is no purpose"),
        ({"equal": ["grant.case_id", "row.title"]}, "equal.1: 'row.title' is no field"),
        ({"equal": ["grant.case_id", "case.id"]}, "equal.1: 'case.id' is no field"),
        ({"equal": ["consent.id", "row.case_id"]}, "equal.0: 'consent.id' is no field"),
        ({"equal": ["grant.basis", "row.case_id"]}, "basis and id cannot be compared"),
        ({"at_most": ["row.case_id", "agreement.confidentiality"]}, "at_most.0: row.case_id is"),
        ({"one_of": ["grant.basis", ["friendship"]]}, "one_of.1.0: 'friendship' is none of"),
        ({"one_of": ["reader.kind", ["hospital"]]}, "one_of.1.0: 'hospital' is none of"),
        ({"one_of": ["row.case_id", ["cas_1"]]}, "one_of.0: row.case_id is of type id"),
        ({"holds": "grant.basis"}, "holds: grant.basis is of type basis"),
        ({"in_force": ["grant.valid_to", "grant.valid_from"]}, "in_force: expected valid_from"),
        ({"in_force": ["grant.valid_from", "agreement.valid_to"]}, "in_force: expected valid_from"),
        ({"any": []}, "any: expected a list that is not empty"),
    ],
)
def test_what_the_algebra_cannot_say_is_refused_with_its_place(written, place):
    with pytest.raises(OutsideAlgebra) as refused:
        read(written)
    assert place in str(refused.value)
    with pytest.raises(PolicyRefused) as whole:
        parse(yaml.safe_dump(with_limit(written)))
    assert "limits.0.only_when" in str(whole.value)
    assert place in str(whole.value)


def test_endless_nesting_is_refused():
    deep = {"under": "TREAT"}
    for _ in range(20):
        deep = {"all": [deep]}
    with pytest.raises(OutsideAlgebra, match="nested deeper"):
        read(deep)


def test_the_table_of_references_holds_only_what_the_records_have():
    records = {"reader": Organisation, "row": Row, "grant": Grant, "agreement": Agreement}
    for side, named in TYPES.items():
        assert set(named) <= set(records[side].__dataclass_fields__)


def test_json_says_the_same_as_yaml():
    plain = with_limit({"under": "TREAT"})
    assert parse(json.dumps(plain)).digest() == parse(yaml.safe_dump(plain)).digest()


def test_the_canonical_form_is_the_one_of_rfc_8785():
    plain = {"\u20ac": 1, "\r": 2, "1": True, "\U0001f600": None, "\u00f6": ["b", "a"], "a": {}}
    expected = '{"\\r":2,"1":true,"a":{},"\u00f6":["b","a"],"\u20ac":1,"\U0001f600":null}'
    assert canonical(plain).decode() == expected
    with pytest.raises(TypeError):
        canonical({"share": 0.5})


def decided(written, grant_more):
    agreement = worlds.agreement("agr_1", "org_clinic", recipient_id="org_partner")
    grant = worlds.grant("grt_1", "org_clinic", "org_partner", "per_1", "agr_1", **grant_more)
    reader = Organisation("org_partner", "clinic", "TREAT")
    facts = worlds.as_facts([agreement], [grant], [])
    decision = evaluate(
        facts, reader, Row("org_clinic", "per_1"), at=worlds.NOW, rule=rule.under(written)
    )
    return names_of(decision.mask)


def test_a_limit_narrows_where_its_condition_does_not_hold():
    limited = parse(
        yaml.safe_dump(with_limit({"one_of": ["grant.basis", ["consent"]]}, ["behavioral"]))
    )
    assert "behavioral" in decided(current(), {"basis": "legal"})
    assert "behavioral" not in decided(limited, {"basis": "legal"})
    assert "clinical" in decided(limited, {"basis": "legal"})
    assert decided(limited, {"basis": "consent"}) == decided(current(), {"basis": "consent"})


def changed(written, instead):
    assert written in WRITTEN
    return parse(WRITTEN.replace(written, instead, 1))


def test_a_difference_names_kind_purpose_and_class():
    wider = changed("    HOPERAT: [outcome]", "    HOPERAT: [outcome, financial]")
    found = diff(current(), wider)
    first = Change("payer", "HOPERAT", ("financial",), (), "ceiling")
    assert first in found
    assert {change.kind for change in found} == {"payer"}
    # and what takes its line from above in the tree
    assert Change("payer", "CAREMGT", ("financial",), (), "ceiling") in found
    assert widens(current(), wider)
    back = diff(wider, current())
    assert first._replace(gains=(), loses=("financial",)) in back
    assert not widens(wider, current())


def test_a_difference_sees_consent_limits_and_labels():
    freed = changed("always_by_consent: [substance-use]", "always_by_consent: []")
    assert Change("clinic", "TREAT", ("substance-use",), (), "consent") in diff(current(), freed)
    limited = parse(yaml.safe_dump(with_limit({"under": "TREAT"})))
    assert not widens(current(), limited)
    assert widens(limited, current())
    laxer = changed("  SDV: [safety]", "  SDV: []")
    (label,) = {change.named for change in diff(current(), laxer)}
    assert label == "SDV"
    assert widens(current(), laxer)
    assert diff(current(), parse(WRITTEN)) == []


def test_the_hash_changes_with_the_meaning():
    assert parse(WRITTEN).digest() == current().digest()
    assert len({current(), parse(WRITTEN), changed("SDV: [safety]", "SDV: []")}) == 2
    assert mask_of(["safety"])
