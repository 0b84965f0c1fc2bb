from pathlib import Path

import pytest
from notify_svc.domain import kinds


@pytest.mark.parametrize(
    "pattern", ["case.opened", "org.careloop.case.opened.v1", "referral.*", "care-team.joined"]
)
def test_a_filter_names_a_kind_its_full_type_or_a_whole_noun(pattern):
    assert kinds.is_filter(pattern)


@pytest.mark.parametrize("pattern", ["", "*", "case", "case.eaten", "kase.*", "case.opened.v2.x"])
def test_a_filter_for_something_that_never_happens_is_no_filter(pattern):
    assert not kinds.is_filter(pattern)


def test_filters_are_kept_in_their_short_form_each_once():
    given = ["org.careloop.case.opened.v1", "case.opened", "referral.*"]
    assert kinds.normalise(given) == ["case.opened", "referral.*"]


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_every_kind_survives_the_way_out_and_back(kind):
    assert kinds.short(kinds.full(kind)) == kind
    assert kind in kinds.patterns_of(kinds.full(kind))


SHARING = {"organisation", "agreement", "consent", "grant", "policy"}
LEDGER = {"disclosure"}
CONTRACTS = Path(__file__).parents[3] / "contracts" / "events"


def test_every_event_of_the_contracts_is_told_or_is_of_the_administration_of_sharing():
    written = {
        path.name.removesuffix(".v1.schema.json") for path in CONTRACTS.glob("*.schema.json")
    }
    told = {kind for kind in written if kind.split(".")[0] not in SHARING | LEDGER}
    assert told | kinds.OURS == kinds.KINDS
