import contextvars
import hashlib
import json
from pathlib import Path

import pytest
from sharing import ALL, ENVELOPE, DataClass, mask_of, policy, rule
from sharing.policy import (
    Policy,
    PolicyRefused,
    PolicyUnreadable,
    check_publishable,
    current,
    parse,
)

from tests.unit.sharing import oracle

WRITTEN = Path(policy.__file__).with_name("policy.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", ["clinic", "social-service", "payer", "coordinator", "other"])
@pytest.mark.parametrize("purpose", ["TREAT", "COC", "BTG", "HPAYMT", "ELIGVER", "HOPERAT", ""])
def test_ceilings_are_those_of_the_semantics_page(kind, purpose):
    assert current().ceiling(kind, purpose) == mask_of(oracle.ceiling(kind, purpose))


def test_a_payer_never_reaches_what_is_not_about_money_or_outcome():
    at_most = mask_of(["financial", "outcome"])
    for purpose in ("TREAT", "COC", "HPAYMT", "HOPERAT", "CAREMGT", "COVERAGE", "HRESCH"):
        assert current().ceiling("payer", purpose) & ~at_most == ENVELOPE


@pytest.mark.parametrize(
    ("labels", "needed"),
    [
        ([], []),
        (["SUD"], ["substance-use"]),
        (["MH", "SDV"], ["behavioral", "safety"]),
        (["no-such-label"], ["clinical", "behavioral", "substance-use", "safety"]),
    ],
)
def test_labels_raise_what_a_reader_needs(labels, needed):
    assert current().required_by(labels) == mask_of(needed)


@pytest.mark.parametrize(
    ("written", "instead", "place"),
    [
        ("[financial, outcome]", "[financial, outcom]", "ceilings.payer.HPAYMT"),
        ("HOPERAT: [outcome]", "HOPERATE: [outcome]", "ceilings.payer.HOPERATE"),
        ("  payer:", "  insurer:", "ceilings.insurer"),
        ("always_by_consent: [substance-use]", "always_by_consent: [sud]", "always_by_consent"),
        ("SUD: [substance-use]", "SUD: substance-use", "labels.SUD"),
        ("version: 1", "version: 2", "version"),
        ("version: 1", "version: 1\nexceptions: []", "exceptions"),
        ("version: 1\n", "", "version"),
        ("  payer:", "  clinic:", "clinic"),
    ],
)
def test_an_unknown_name_is_refused_and_its_place_named(written, instead, place):
    assert written in WRITTEN
    with pytest.raises(PolicyRefused, match=place):
        parse(WRITTEN.replace(written, instead, 1))


def test_what_is_no_yaml_is_refused():
    with pytest.raises(PolicyRefused, match="not YAML"):
        parse("version: [")


def test_the_digest_names_the_meaning_and_not_the_writing():
    same = "# a comment\n" + WRITTEN.replace("[financial, outcome]", "[outcome, financial]")
    assert parse(same).digest() == current().digest()
    other = WRITTEN.replace("HOPERAT: [outcome]", "HOPERAT: [outcome, financial]")
    assert parse(other).digest() != current().digest()


def test_part_2_data_always_waits_for_consent():
    assert current().always_by_consent & DataClass.SUBSTANCE_USE
    assert current().always_by_consent != ALL


# publications


def wider():
    return parse(WRITTEN.replace("HOPERAT: [outcome]", "HOPERAT: [outcome, financial]", 1))


@pytest.fixture
def apart():
    """Run in a task of its own, and leave nothing told to others."""
    yield lambda work: contextvars.copy_context().run(work)
    policy._last.clear()


def test_every_fault_of_a_policy_is_named_as_a_path():
    text = WRITTEN.replace("[financial, outcome]", "[financial, outcom]").replace(
        "limits: []",
        "limits: [{name: one two, classes: [notes], only_when: {any: [{under: FUN}]}}]",
    )
    with pytest.raises(PolicyRefused) as refused:
        parse(text)
    assert [(fault.path, fault.code) for fault in refused.value.faults] == [
        (("ceilings", "payer", "HPAYMT", 1), "unknown-class"),
        (("limits", 0, "only_when", "any", 0, "under"), "outside-algebra"),
    ]


@pytest.mark.parametrize(
    ("written", "instead", "path"),
    [
        ("always_by_consent: [substance-use]", "always_by_consent: []", "always_by_consent"),
        ("SUD: [substance-use]", "SUD: [clinical]", "labels"),
        ("other_labels: [clinical, ", "other_labels: [", "other_labels"),
    ],
)
def test_what_law_and_release_hold_cannot_be_published(written, instead, path):
    assert written in WRITTEN
    with pytest.raises(PolicyRefused) as refused:
        check_publishable(parse(WRITTEN.replace(written, instead)))
    assert [fault.path for fault in refused.value.faults] == [(path,)]
    check_publishable(wider())


def test_a_policy_too_long_for_an_event_cannot_be_published():
    limit = '{"name": "limit number %d", "classes": ["notes"], "only_when": {"under": "TREAT"}}'
    many = ", ".join(limit % number for number in range(600))
    with pytest.raises(PolicyRefused, match="longer than"):
        check_publishable(parse(WRITTEN.replace("limits: []", f"limits: [{many}]")))


def test_a_publication_keeps_its_version_however_a_release_would_write_it():
    spaced = json.dumps(json.loads(wider().text), indent=1)
    version = hashlib.sha256(spaced.encode()).hexdigest()
    found = Policy.of_publication(spaced, version)
    assert found.digest() == rule.under(found).version == version
    assert found.digest() != wider().digest()
    assert found.ceiling("payer", "HOPERAT") == wider().ceiling("payer", "HOPERAT")


@pytest.mark.parametrize(
    "text", ['{"version": 2}', "no json", WRITTEN, wider().text.replace("payer", "hospice")]
)
def test_what_cannot_be_read_decides_nothing(apart, text):
    version = hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(PolicyUnreadable):
        Policy.of_publication(text, version)
    with pytest.raises(PolicyUnreadable):
        Policy.of_publication(wider().text, version)

    def told():
        policy.decide_by(policy.InForce(version, None))
        for decide in (current, rule.current):
            with pytest.raises(PolicyUnreadable):
                decide()

    apart(told)


def test_each_task_decides_by_what_it_was_told_and_others_by_the_last(apart):
    def told(found):
        policy.decide_by(policy.InForce(found.digest(), found))
        assert current() is found

    assert current() is policy.carried()
    apart(lambda: told(wider()))
    assert current().digest() == wider().digest(), "a task that was told nothing"
    assert rule.current().version == wider().digest()
    assert rule.current() != rule.under(policy.carried())
