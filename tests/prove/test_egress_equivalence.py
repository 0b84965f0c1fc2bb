"""Every path shows the same: get, list, filter, search, count, timeline, as of now, export, documents,
referrals, consents, feed, webhook.

Consents, agreements, care teams, referrals, seals and labels change as Hypothesis likes, on running
services, and periods begin and end; after each change every kind of partner must come to see one
and the same set of rows, with the same fields, by whichever path it asks, and nothing of what has
no reason any more.
"""

import os
import time
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RULE_MARKER,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from svckit.clock import now

from careloop.demo.receiver import Receiver
from careloop.errors import StepFailed
from careloop.partner import Partner
from tests import withdrawing, world
from tests.prove.network import PARTNERS, SEALING, Network, Permit
from tests.prove.views import View, custodian_differs, directory

pytestmark = pytest.mark.timeout(1800)
# a part of the proof is a shorter one
RUNS, STEPS = (2, 3) if int(os.environ.get("PROVE_ONE_IN", "1")) > 1 else (6, 8)
AGREE_WITHIN_S = 20.0
SOON_S = 1.5
who = st.sampled_from(sorted(PARTNERS))
helper = st.sampled_from(["food", "housing"])
which = st.integers(0, 1)


class Changes(RuleBasedStateMachine):
    network: ClassVar[Network]
    # how often anything was seen at all: else nothing was compared
    shown: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.cases = self.network.cases()
        self.permits: dict[tuple[int, str], Permit] = {}
        self.members: dict[tuple[int, str], str] = {}
        # how far each referral has come; what is over is none
        self.referrals: dict[tuple[int, str], tuple[str, str]] = {}
        self.sealed: set[int] = set()
        self.restricted: set[int] = set()
        # notes that a partner could get when they were written, or was told of by its feed: they
        # stay told as long as they may be seen
        self.told: dict[str, set[str]] = defaultdict(set)
        self.case_of: dict[str, int] = {}
        self.labelled: set[str] = set()

    @initialize(name=who)
    def begin(self, name: str) -> None:
        """Hypothesis' first run has no step at all: this much changes in each."""
        self.permit_or_withdraw(0, name)
        self.something_happens(0)

    def teardown(self) -> None:
        for name in PARTNERS:
            self.agreed_again(name)

    def agreed_again(self, name: str) -> None:
        period = self.network.agreed[name]
        if period is None or not period.holds(now()):
            self.network.agree(name)

    # what changes

    @rule(case=which, name=who)
    def permit_or_withdraw(self, case: int, name: str) -> None:
        self._permitted(case, name, None, None)

    @rule(case=which, name=who)
    def permit_for_a_moment(self, case: int, name: str) -> None:
        self._permitted(case, name, SOON_S, SOON_S)

    def _permitted(self, case: int, name: str, after_s: float | None, for_s: float | None) -> None:
        standing = self.permits.pop((case, name), None)
        if standing is None:
            partner = self.network.partners[name]
            made = self.network.permit(self.cases[case], partner, after_s, for_s)
            self.permits[case, name] = made
        else:
            withdrawing.withdraw(self.network.clinic, standing.consent)

    @rule(case=which, name=who)
    def permit_in_fhir(self, case: int, name: str) -> None:
        if (case, name) not in self.permits:
            partner = self.network.partners[name]
            self.permits[case, name] = self.network.permit_in_fhir(self.cases[case], partner)

    @rule(case=which, name=helper)
    def join_or_leave(self, case: int, name: str) -> None:
        if standing := self.members.pop((case, name), None):
            self.network.leave(self.cases[case], standing)
        elif case not in self.sealed and self._agreed(name):
            joined = self.network.join(self.cases[case], self.network.partners[name])
            self.members[case, name] = joined

    @rule(case=which, name=helper)
    def refer_or_go_on(self, case: int, name: str) -> None:
        """Sent, accepted, completed; then another one."""
        if case in self.sealed or not self._agreed(name):
            return
        network, partner = self.network, self.network.partners[name]
        referral, stage = self.referrals.get((case, name), ("", ""))
        if stage == "requested":
            network.move(partner, referral, "accept")
            self.referrals[case, name] = referral, "accepted"
        elif stage == "accepted":
            network.move(partner, referral, "start")
            network.move(partner, referral, "complete", {"outcome": {"need_met": "yes"}})
            self.referrals[case, name] = referral, "completed"
        else:
            referral = withdrawing.refer(network.clinic, self.cases[case].shared, partner)
            self.referrals[case, name] = referral, "requested"

    @rule(case=which, name=helper)
    def take_a_referral_back(self, case: int, name: str) -> None:
        referral, stage = self.referrals.get((case, name), ("", ""))
        if stage in {"requested", "accepted"}:
            self.network.move(self.network.clinic, referral, "cancel", {"reason": "not needed"})
            del self.referrals[case, name]

    @rule(name=who)
    def agreement_ends_or_begins(self, name: str) -> None:
        if self._agreed(name):
            self.network.end_agreement(name)
        else:
            self.network.agree(name, SOON_S)

    @rule(name=who)
    def agree_for_a_moment(self, name: str) -> None:
        if self._agreed(name):
            self.network.end_agreement(name)
        self.network.agree(name, SOON_S, SOON_S)

    @rule(case=which)
    def seal_or_open(self, case: int) -> None:
        self.network.command(
            self.cases[case].path, "unseal" if case in self.sealed else "seal", SEALING
        )
        self.sealed ^= {case}

    @rule(case=which)
    def restrict_or_release(self, case: int) -> None:
        code = "N" if case in self.restricted else "R"
        self.network.change(self.cases[case].path, {"confidentiality": code})
        self.restricted ^= {case}

    @rule(case=which, label=st.sampled_from(["MH", "SUD", "SDV"]))
    def label_or_release(self, case: int, label: str) -> None:
        """The case's newest note, and its document."""
        notes = [note for note, of in self.case_of.items() if of == case]
        if notes:
            labels = [] if notes[-1] in self.labelled else [label]
            path = f"{self.cases[case].path}/notes/{notes[-1]}"
            self.network.command(path, "label", {"labels": labels})
            self.network.change(f"/v1/documents/{self.cases[case].document}", {"labels": labels})
            self.labelled ^= {notes[-1]}

    @rule(case=which)
    def something_happens(self, case: int) -> None:
        note = self.network.note(self.cases[case])
        self.case_of[note] = case
        for name, partner in self.network.partners.items():
            if partner.get(self._note(note)).status == 200:
                self.told[name].add(note)

    def _note(self, note: str) -> str:
        return f"{self.cases[self.case_of[note]].path}/notes/{note}"

    # what must hold

    def _agreed(self, name: str) -> bool:
        period = self.network.agreed[name]
        return period is not None and period.holds(now())

    def _reasons(self, name: str, at: datetime) -> set[str]:
        """The cases that a partner has a reason to see, by the semantics."""
        permitted = {
            case
            for (case, reader), one in self.permits.items()
            if reader == name and one.period.holds(at)
        }
        standing = {case for case, reader in (*self.members, *self.referrals) if reader == name}
        closed = self.sealed | self.restricted
        open_to = (permitted | standing) - closed if self._agreed(name) else set()
        return {self.cases[case].id for case in open_to}

    @invariant()
    def every_path_shows_the_same(self) -> None:
        """Also while a period begins or ends, and once more when none is about to."""
        periods = [one.period for one in self.permits.values()]
        periods += [one for one in self.network.agreed.values() if one]
        last = max((one.last for one in periods), default=now())
        looked_at = last
        while looked_at <= last:
            looked_at = now()
            assert custodian_differs(self.network, self.cases) == {}
            for name, partner in self.network.partners.items():
                self._await_agreement(name, partner)

    def _await_agreement(self, name: str, partner: Partner) -> None:
        deadline = time.monotonic() + AGREE_WITHIN_S
        while wrong := self._wrong_now(name, partner):
            assert time.monotonic() < deadline, (name, wrong)
            time.sleep(0.1)

    def _wrong_now(self, name: str, partner: Partner) -> dict[str, Any]:
        """The same; what closes between one look and the next is looked at again."""
        try:
            return self._wrong(name, partner)
        except StepFailed as closed:
            return {"closed": str(closed)}

    def _wrong(self, name: str, partner: Partner) -> dict[str, Any]:
        view = View(self.network, partner, self.cases)
        reasons = self._reasons(name, now())
        if set(view.cases) != reasons:
            return {"seen": set(view.cases), "with reason": reasons}
        Changes.shown += len(view.cases)
        return view.differs() or self._events(name, partner, view)

    def _events(self, name: str, partner: Partner, view: View) -> dict[str, Any]:
        """The feed tells of nothing that cannot be got, and of a note just as long as it can."""
        in_feed, closed = view.told()
        if closed:
            return {"feed": closed}
        ours = set(self.case_of)
        self.told[name] |= in_feed & ours
        sent = list(self.network.receiver.messages[f"/{name}"].values())
        hooked = {one["data"]["id"] for one in sent} & ours
        if hooked - self.told[name]:
            return {"webhook": hooked - self.told[name]}
        for note in self.told[name]:
            seen = partner.get(self._note(note)).status == 200
            if seen != (note in in_feed) or (seen and note not in hooked):
                return {"note": note, "get": seen, "feed": in_feed, "webhook": note in hooked}
        return {}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with world.platform() as platform, Receiver() as receiver:
        platform.start()
        found = Network(platform, receiver)
        Changes.network = found
        yield found


def test_every_path_shows_the_same_after_each_kind_of_change(network: Network):
    """Each at least once, in an order that lets every one of them show."""
    del network
    one = Changes()
    steps: list[tuple[Any, ...]] = [
        (one.permit_or_withdraw, 0, "food"),
        (one.permit_or_withdraw, 0, "payer"),
        (one.permit_in_fhir, 0, "coordinator"),
        (one.something_happens, 0),
        (one.refer_or_go_on, 0, "housing"),
        (one.something_happens, 0),
        (one.label_or_release, 0, "MH"),
        (one.refer_or_go_on, 0, "housing"),
        (one.seal_or_open, 0),
        (one.seal_or_open, 0),
        (one.label_or_release, 0, "MH"),
        (one.refer_or_go_on, 0, "housing"),
        (one.restrict_or_release, 0),
        (one.restrict_or_release, 0),
        (one.agreement_ends_or_begins, "payer"),
        (one.agreement_ends_or_begins, "payer"),
        (one.agree_for_a_moment, "coordinator"),
        (one.permit_for_a_moment, 1, "food"),
        (one.join_or_leave, 1, "food"),
        (one.something_happens, 1),
        (one.join_or_leave, 1, "food"),
        (one.refer_or_go_on, 1, "food"),
        (one.take_a_referral_back, 1, "food"),
        (one.permit_or_withdraw, 0, "food"),
    ]
    tried = {step.__name__ for step, *_ in steps}
    assert tried == {name for name, each in vars(Changes).items() if hasattr(each, RULE_MARKER)}
    for step, *arguments in steps:
        before = Changes.shown
        step(*arguments)
        one.every_path_shows_the_same()
        print(f"{step.__name__} {arguments}: {Changes.shown - before} views showed something")
    one.teardown()


def test_the_directory_is_everybodys(network: Network):
    """As listed and alone, with the HSDS object as it was published."""
    found = directory(network.clinic)
    assert all(body["hsds"] for body in found.values())
    assert all(directory(partner) == found for partner in network.partners.values())


def test_every_path_shows_the_same_while_rights_change(network: Network):
    del network
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Changes,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=quiet,
            print_blob=True,
        ),
    )
    assert Changes.shown


def test_the_comparison_notices_a_path_that_shows_more(network: Network):
    """A view of one partner with the paths of another: the machine would have said so."""
    view = View(network, network.partners["food"], network.cases())
    assert view.cases == {}
    assert view.differs() == {}
    view._partner = network.clinic
    found = {"list", "count", "timeline", "filter", "as of now", "export of all"}
    assert set(view.differs()) >= found
