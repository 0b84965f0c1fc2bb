"""Every path shows the same: get, list, filter, count, search, timeline, as of now, export, documents,
feed, webhook.

Consents, care teams and referrals change as Hypothesis likes, on running services; after each
change every kind of partner must come to see one and the same set of rows, with the same fields, by
whichever path it asks, and nothing of what has no reason any more.
"""

import hashlib
import json
import secrets
import time
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from svckit.clock import now

from careloop.demo.checks import known
from careloop.demo.receiver import Receiver
from careloop.partner import Partner, must
from tests import withdrawing, world
from tests.security.stage import feed

pytestmark = pytest.mark.timeout(900)
PARTNERS = {
    "food": "Harbor Food Bank",
    "housing": "Northside Housing Aid",
    "payer": "Meridian Health Plan",
    "coordinator": "County Care Network",
}
RUNS, STEPS = 3, 6
AGREE_WITHIN_S = 20.0
who = st.sampled_from(sorted(PARTNERS))
which = st.integers(0, 1)


class Network:
    """Two cases of a clinic, each with a note and a document, and everybody who may be let in."""

    def __init__(self, platform: world.Platform, receiver: Receiver) -> None:
        self.clinic = platform.partner("Lakeside Clinic")
        self.partners = {name: platform.partner(full) for name, full in PARTNERS.items()}
        self.receiver = receiver
        for name, partner in self.partners.items():
            body = {"url": receiver.url(f"/{name}"), "description": name}
            made = must(partner.post("/v1/webhook-endpoints", body), 201).body
            receiver.expect(f"/{name}", made["secret"])

    def cases(self) -> list[withdrawing.Shared]:
        found = [withdrawing.open_case(self.clinic) for _ in range(2)]
        for shared in found:
            self._document(shared)
        return found

    def note(self, shared: withdrawing.Shared) -> str:
        body = {"kind": "coordination", "text": "A visit"}
        return str(must(self.clinic.post(f"{shared.path}/notes", body), 201).body["id"])

    def _document(self, shared: withdrawing.Shared) -> None:
        content = secrets.token_bytes(32)
        body = {
            "case_id": shared.case_id,
            "title": "The plan",
            "type": "18842-5",
            "data_class": "plan",
            "content_type": "text/plain",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content),
        }
        key = secrets.token_urlsafe(18)
        post = lambda: self.clinic.post("/v1/documents", body, key=key)  # noqa: E731
        made = must(known(post, "no case"), 201)
        path = f"/v1/documents/{made.body['id']}"
        must(self.clinic.put_content(path, content, "text/plain", version=made.version))


Fields = dict[str, frozenset[str]]


class View:
    """What one partner sees of the cases, path by path; `differs` names paths that disagree."""

    def __init__(self, partner: Partner, cases: list[withdrawing.Shared]) -> None:
        self._partner = partner
        self._cases = {one.case_id: one for one in cases}
        self.cases = self._got()

    def _got(self, **asked: str) -> Fields:
        found = {}
        for shared in self._cases.values():
            answer = self._partner.get(shared.path, **asked)
            assert answer.status in (200, 404), answer.body
            if answer.status == 200:
                found[shared.case_id] = _fields(answer.body)
        return found

    def differs(self) -> dict[str, Any]:
        found = {
            "list": self._listed("/v1/cases"),
            "list of the custodian": self._listed("/v1/cases", custodian_id=self._custodian),
            "list by person": self._by_person(),
            "as of now": self._got(as_of=now().isoformat()),
            "export of all": self._exported("/v1/cases/export")["case"],
        }
        different: dict[str, Any] = {
            path: seen for path, seen in found.items() if seen != self.cases
        }
        sets = {"count": self._counted(), "timeline": self._timeline()}
        different |= {path: seen for path, seen in sets.items() if seen != set(self.cases)}
        return different | self._rows("notes") | self._persons() | self._documents() | self._files()

    @property
    def _custodian(self) -> str:
        return self.custodian_id

    custodian_id: ClassVar[str] = ""

    def _listed(self, path: str, **narrowed: str) -> Fields:
        items = self._partner.items(path, **narrowed)
        return {one["id"]: _fields(one) for one in items if one["id"] in self._cases}

    def _exported(self, path: str) -> dict[str, Fields]:
        """What the lines of an export show, by kind: of cases their fields, of rows theirs."""
        found: dict[str, Fields] = {"case": {}, "note": {}}
        cursor: str | None = None
        while True:
            page = {"cursor": cursor} if cursor else {}
            *lines, last = must(self._partner.get(path, limit=50, **page)).body.splitlines()
            for line in map(json.loads, lines):
                if line["case_id"] in self._cases and line["kind"] in found:
                    found[line["kind"]][line["row"]["id"]] = _fields(line["row"])
            if (cursor := json.loads(last)["next"]) is None:
                return found

    def _files(self) -> dict[str, Any]:
        """The export of each case that is seen: the case as it is got, its notes as listed."""
        for case, fields in self.cases.items():
            path = self._cases[case].path
            found = self._exported(f"{path}/export")
            notes = {one["id"]: _fields(one) for one in self._partner.items(f"{path}/notes")}
            if found != {"case": {case: fields}, "note": notes}:
                return {"export": (found, notes)}
        return {}

    def _by_person(self) -> Fields:
        found: Fields = {}
        for shared in self._cases.values():
            found |= self._listed("/v1/cases", person_id=shared.person_id)
        return found

    def _counted(self) -> set[str]:
        found = set()
        for shared in self._cases.values():
            asked = self._partner.get("/v1/cases/count", person_id=shared.person_id)
            if must(asked).body["count"]:
                found.add(shared.case_id)
        return found

    def _timeline(self) -> set[str]:
        paths = {one.case_id: f"{one.path}/timeline" for one in self._cases.values()}
        return {case for case, path in paths.items() if self._partner.get(path).status == 200}

    def _rows(self, what: str) -> dict[str, Any]:
        """Rows of a case: the list, each of them alone, and the case's own count of them."""
        for shared in (one for one in self._cases.values() if one.case_id in self.cases):
            path = f"{shared.path}/{what}"
            listed = {one["id"]: _fields(one) for one in self._partner.items(path)}
            got = {
                note: _fields(answer.body)
                for note in listed
                if (answer := self._partner.get(f"{path}/{note}")).status == 200
            }
            counted = must(self._partner.get(shared.path)).body["counts"].get(what, 0)
            if listed != got or counted != len(listed):
                return {what: (listed, got, counted)}
        return {}

    def _persons(self) -> dict[str, Any]:
        wanted = {one.person_id for one in self._cases.values()}
        listed = {
            one["id"]: _fields(one)
            for one in self._partner.items("/v1/persons")
            if one["id"] in wanted
        }
        got = {
            person: _fields(answer.body)
            for person in wanted
            if (answer := self._partner.get(f"/v1/persons/{person}")).status == 200
        }
        return {} if listed == got else {"persons": (listed, got)}

    def _documents(self) -> dict[str, Any]:
        for case in self._cases:
            listed = {
                one["id"]: _fields(one)
                for one in self._partner.items("/v1/documents", case_id=case)
            }
            counted = must(self._partner.get("/v1/documents/count", case_id=case)).body["count"]
            for document, fields in listed.items():
                path = f"/v1/documents/{document}"
                metadata, content = self._partner.get(path), self._partner.get(f"{path}/content")
                same = (metadata.status, content.status) == (200, 200)
                if not same or _fields(metadata.body) != fields:
                    return {"document": (metadata.status, content.status)}
            if counted != len(listed):
                return {"documents": (counted, len(listed))}
        return {}


def _fields(body: dict[str, Any]) -> frozenset[str]:
    """The fields of a row at every depth; a page leaves out the counts that one row has."""
    found = set()
    for name, value in body.items():
        if name != "counts":
            found.add(name)
            if isinstance(value, dict):
                found |= {f"{name}.{inner}" for inner in _fields(value)}
    return frozenset(found)


class Changes(RuleBasedStateMachine):
    network: ClassVar[Network]
    # how often anything was seen at all: else nothing was compared
    shown: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.cases = self.network.cases()
        self.permits: dict[tuple[int, str], tuple[str, int]] = {}
        self.members: dict[tuple[int, str], str] = {}
        # notes that a partner's feed has told of: they stay told as long as they may be seen
        self.told: dict[str, set[str]] = defaultdict(set)
        self.case_of: dict[str, str] = {}

    @initialize(name=who)
    def begin(self, name: str) -> None:
        """Hypothesis' first run has no step at all: this much changes in each."""
        self.permit_or_withdraw(0, name)
        self.something_happens(0)

    @rule(case=which, name=who)
    def permit_or_withdraw(self, case: int, name: str) -> None:
        clinic, partner = self.network.clinic, self.network.partners[name]
        if standing := self.permits.pop((case, name), None):
            withdrawing.withdraw(clinic, standing)
            return
        body = withdrawing.permit_body(
            self.cases[case], partner.organisation_id, purpose=partner.purpose
        )
        key = secrets.token_urlsafe(18)
        post = lambda: clinic.post("/v1/consents", body, key=key)  # noqa: E731
        made = must(known(post, "no person"), 201)
        self.permits[case, name] = made.body["id"], made.version

    @rule(case=which, name=st.sampled_from(["food", "housing"]))
    def join_or_leave(self, case: int, name: str) -> None:
        clinic, team = self.network.clinic, f"{self.cases[case].path}/care-team"
        if standing := self.members.pop((case, name), None):
            version = must(clinic.get(f"{team}/{standing}")).version
            must(clinic.post(f"{team}/{standing}/leave", version=version))
            return
        joined = {"organisation_id": self.network.partners[name].organisation_id, "role": "member"}
        self.members[case, name] = must(clinic.post(team, joined), 201).body["id"]

    @rule(case=which)
    def something_happens(self, case: int) -> None:
        shared = self.cases[case]
        note = self.network.note(shared)
        self.case_of[note] = shared.case_id
        for name, partner in self.network.partners.items():
            if partner.get(f"{shared.path}/notes/{note}").status == 200:
                self.told[name].add(note)

    @invariant()
    def every_path_shows_the_same(self) -> None:
        for name, partner in self.network.partners.items():
            deadline = time.monotonic() + AGREE_WITHIN_S
            while wrong := self._wrong(name, partner):
                assert time.monotonic() < deadline, (name, wrong)
                time.sleep(0.1)

    def _wrong(self, name: str, partner: Partner) -> dict[str, Any]:
        view = View(partner, self.cases)
        reasons = {
            self.cases[case].case_id
            for case, reader in (*self.permits, *self.members)
            if reader == name
        }
        if set(view.cases) != reasons:
            return {"seen": set(view.cases), "with reason": reasons}
        Changes.shown += len(view.cases)
        return view.differs() or self._events(name, partner)

    def _events(self, name: str, partner: Partner) -> dict[str, Any]:
        """Feed and webhook tell of a note exactly as long as it may be got."""
        ours = {one.case_id: one for one in self.cases}
        told = {
            one["data"]["id"]
            for one in feed(partner)
            if one["type"].startswith("org.careloop.note.") and one["data"]["case_id"] in ours
        }
        self.told[name] |= told & set(self.case_of)
        sent = list(self.network.receiver.messages[f"/{name}"].values())
        hooked = {one["data"]["id"] for one in sent} & set(self.case_of)
        if hooked - self.told[name]:
            return {"webhook": hooked - self.told[name]}
        for note in self.told[name]:
            shared = ours[self.case_of[note]]
            seen = partner.get(f"{shared.path}/notes/{note}").status == 200
            if seen != (note in told) or (seen and note not in hooked):
                return {"note": note, "get": seen, "feed": note in told, "webhook": note in hooked}
        return {}


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with world.platform() as platform, Receiver() as receiver:
        platform.start()
        yield Network(platform, receiver)


def test_every_path_shows_the_same_while_rights_change(network: Network):
    Changes.network = network
    View.custodian_id = network.clinic.organisation_id
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
    """A view of one partner with the list of another: the machine would have said so."""
    shared = network.cases()
    food, clinic = network.partners["food"], network.clinic
    view = View(food, shared)
    assert view.cases == {}
    assert view.differs() == {}
    view._partner = clinic
    assert set(view.differs()) >= {"list", "count", "timeline", "as of now", "export of all"}
    assert json.dumps(sorted(view.differs()))
