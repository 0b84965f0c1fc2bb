from pathlib import Path

import pytest
from sharing import ALL, ENVELOPE, DataClass, mask_of, policy
from sharing.policy import PolicyRefused, current, parse

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
