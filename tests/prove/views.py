"""What one partner sees of the cases, path by path; `differs` names the paths that disagree."""

import json
from typing import Any

from svckit.clock import now

from careloop.partner import Partner, must
from tests.prove.network import FHIR, Case, Network
from tests.security.stage import feed

Fields = dict[str, frozenset[str]]
AS_FHIR = {"Accept": FHIR}
OPEN = {"open", "in-progress"}


def fields_of(body: dict[str, Any]) -> frozenset[str]:
    """The fields of a row at every depth; a page leaves out the counts that one row has."""
    found = set()
    for name, value in body.items():
        if name != "counts":
            found.add(name)
            if isinstance(value, dict):
                found |= {f"{name}.{inner}" for inner in fields_of(value)}
    return frozenset(found)


class View:
    def __init__(self, network: Network, partner: Partner, cases: list[Case]) -> None:
        self._network, self._partner = network, partner
        self._all = {one.id: one for one in cases}
        self._bodies = self._got()
        self.cases: Fields = {name: fields_of(body) for name, body in self._bodies.items()}

    def _got(self, **asked: str) -> dict[str, Any]:
        found = {}
        for case in self._all.values():
            answer = self._partner.get(case.path, **asked)
            assert answer.status in (200, 404), answer.body
            if answer.status == 200:
                found[case.id] = answer.body
        return found

    def differs(self) -> dict[str, Any]:
        """Return every path that shows another set of rows, or other fields, with what it shows."""
        return {
            **self._lists(),
            **self._sets(),
            **self._rows("notes", "not_"),
            **self._rows("needs", "nee_"),
            **self._persons(),
            **self._documents(),
            **self._referrals(),
            **self._files(),
            **self._consents(),
        }

    def _seen(self) -> list[Case]:
        return [case for name, case in self._all.items() if name in self.cases]

    def _lists(self) -> dict[str, Any]:
        custodian = self._network.clinic.organisation_id
        by_person: Fields = {}
        for case in self._all.values():
            by_person |= self._listed(person_id=case.person_id)
        as_of_now = self._got(as_of=now().isoformat())
        found = {
            "as of now": {name: fields_of(body) for name, body in as_of_now.items()},
            "export of all": self._exported("/v1/cases/export")["case"],
            "list": self._listed(),
            "list of the custodian": self._listed(custodian_id=custodian),
            "list by person": by_person,
        }
        return {path: seen for path, seen in found.items() if seen != self.cases}

    def _listed(self, **narrowed: str) -> Fields:
        items = self._partner.items("/v1/cases", **narrowed)
        return {one["id"]: fields_of(one) for one in items if one["id"] in self._all}

    def _sets(self) -> dict[str, Any]:
        """Count, timeline, filter and search: a field finds a row exactly where it is shown."""
        seen = set(self.cases)
        get = self._partner.get
        counted, timed, named, numbered = set(), set(), set(), set()
        for name, case in self._all.items():
            if must(get("/v1/cases/count", person_id=case.person_id)).body["count"]:
                counted.add(name)
            if get(f"{case.path}/timeline").status == 200:
                timed.add(name)
            if self._listed(number=case.number):
                numbered.add(name)
            if any(
                one["id"] == case.person_id
                for one in self._partner.items("/v1/persons", q=case.family_name)
            ):
                named.add(name)
        shows = {name for name, body in self._bodies.items() if "number" in body}
        knows = {
            name
            for name, case in self._all.items()
            if case.family_name in str(get(f"/v1/persons/{case.person_id}").body)
        }
        found = {
            "count": (counted, seen),
            "timeline": (timed, seen),
            "filter": (numbered, shows),
            "search": (named, knows),
        }
        return {path: pair for path, pair in found.items() if pair[0] != pair[1]}

    def _rows(self, what: str, kind: str) -> dict[str, Any]:
        """Rows of a case: the list, each alone, the case's count of them, what its timeline names."""
        for case in self._seen():
            path = f"{case.path}/{what}"
            items = list(self._partner.items(path))
            listed = {one["id"]: fields_of(one) for one in items}
            got = {
                row: fields_of(answer.body)
                for row in listed
                if (answer := self._partner.get(f"{path}/{row}")).status == 200
            }
            counts = must(self._partner.get(case.path)).body["counts"]
            going_on = [one for one in items if one.get("status", "open") in OPEN]
            counted = counts.get("notes" if what == "notes" else "needs_open", 0)
            entries = self._partner.items(f"{case.path}/timeline")
            told = {one["resource_id"] for one in entries if one["resource_id"].startswith(kind)}
            if listed != got or counted != len(going_on) or told != set(listed):
                return {what: (listed, got, counts, told)}
        return {}

    def _persons(self) -> dict[str, Any]:
        wanted = {one.person_id for one in self._all.values()}
        listed = {
            one["id"]: fields_of(one)
            for one in self._partner.items("/v1/persons")
            if one["id"] in wanted
        }
        got = {
            person: fields_of(answer.body)
            for person in wanted
            if (answer := self._partner.get(f"/v1/persons/{person}")).status == 200
        }
        return {} if listed == got else {"persons": (listed, got)}

    def _documents(self) -> dict[str, Any]:
        """Metadata, versions and bytes of what is listed; of what is not, nothing."""
        get = self._partner.get
        for case in self._all.values():
            narrowed = {"case_id": case.id}
            listed = {
                one["id"]: fields_of(one)
                for one in self._partner.items("/v1/documents", **narrowed)
            }
            counted = must(get("/v1/documents/count", **narrowed)).body["count"]
            path = f"/v1/documents/{case.document}"
            metadata = get(path)
            others = [get(f"{path}/{what}").status for what in ("content", "versions")]
            shown = {case.document: fields_of(metadata.body)} if metadata.status == 200 else {}
            wanted = [200 if shown else 404] * 2
            if (listed, counted, others) != (shown, len(shown), wanted):
                return {"document": (listed, counted, metadata.status, others)}
        return {}

    def _exported(self, path: str) -> dict[str, Fields]:
        """What the lines of an export show, by kind: of cases their fields, of rows theirs."""
        found: dict[str, Fields] = {"case": {}, "note": {}}
        cursor: str | None = None
        while True:
            page = {"cursor": cursor} if cursor else {}
            *lines, last = must(self._partner.get(path, limit=50, **page)).body.splitlines()
            for line in map(json.loads, lines):
                if line["case_id"] in self._all and line["kind"] in found:
                    found[line["kind"]][line["row"]["id"]] = fields_of(line["row"])
            if (cursor := json.loads(last)["next"]) is None:
                return found

    def _files(self) -> dict[str, Any]:
        """The export of each case that is seen: the case as it is got, its notes as listed."""
        for case in self._seen():
            found = self._exported(f"{case.path}/export")
            notes = {one["id"]: fields_of(one) for one in self._partner.items(f"{case.path}/notes")}
            if found != {"case": {case.id: self.cases[case.id]}, "note": notes}:
                return {"export": (found, notes)}
        return {}

    def _referrals(self) -> dict[str, Any]:
        get = self._partner.get
        for case in self._all.values():
            narrowed = {"case_id": case.id}
            listed = {
                one["id"]: fields_of(one)
                for one in self._partner.items("/v1/referrals", **narrowed)
            }
            counted = must(get("/v1/referrals/count", **narrowed)).body["count"]
            for one in self._network.clinic.items("/v1/referrals", **narrowed):
                path = f"/v1/referrals/{one['id']}"
                alone, history = get(path), get(f"{path}/history")
                shown = fields_of(alone.body) if alone.status == 200 else None
                if alone.status != history.status or listed.get(one["id"]) != shown:
                    return {"referral": (one["id"], alone.status, history.status, listed)}
            if counted != len(listed):
                return {"referrals": (counted, listed)}
        return {}

    def _consents(self) -> dict[str, Any]:
        """To a recipient its own part alone, asked for as JSON or as FHIR; to others nothing."""
        partners = self._network.partners.values()
        others = {one.organisation_id for one in partners if one != self._partner}
        for case in self._all.values():
            which = {"person_id": case.person_id, "limit": 200}
            listed = must(self._partner.get("/v1/consents", **which)).body["items"]
            for one in must(self._network.clinic.get("/v1/consents", **which)).body["items"]:
                alone = f"/v1/consents/{one['id']}"
                plain = self._partner.get(alone)
                fhir = self._partner._send("GET", alone, headers=AS_FHIR)
                told = [name for name in others if name in str(plain.body) + str(fhir.body)]
                if told or listed or plain.status != fhir.status:
                    return {"consent": (one["id"], told, listed, plain.status, fhir.status)}
        return {}

    def told(self) -> tuple[set[str], dict[str, Any]]:
        """The rows that the feed tells of, and those of them that cannot be got.

        Who joined and left a care team knows that it did. The notice that access ended is about what
        can not be got.
        """
        told = [one for one in feed(self._partner) if one["data"]["case_id"] in self._all]
        events = [one for one in told if "access.ended" not in one["type"]]
        links = {one["data"]["href"] for one in events if "/care-team/" not in one["data"]["href"]}
        closed = {link: got for link in links if (got := self._partner.get(link).status) != 200}
        return {one["data"]["id"] for one in events}, closed


def custodian_differs(network: Network, cases: list[Case]) -> dict[str, Any]:
    """To the custodian JSON and FHIR tell of the same consents, in force or not."""
    for case in cases:
        which = {"person_id": case.person_id, "limit": 200}
        found = must(network.clinic.get("/v1/consents", **which)).body["items"]
        plain = {one["id"]: one["active"] for one in found}
        bundle = must(network.clinic._send("GET", "/v1/consents", params=which, headers=AS_FHIR))
        resources = [one["resource"] for one in bundle.body.get("entry", [])]
        fhir = {one["id"]: one["status"] == "active" for one in resources}
        if plain != fhir:
            return {"consents": (plain, fhir)}
    return {}


def directory(partner: Partner) -> dict[str, Any]:
    """What is offered, as listed and alone: everybody's, whoever's case it is for."""
    path = "/v1/directory/services"
    listed = {one["id"]: one for one in partner.items(path)}
    alone = {name: must(partner.get(f"{path}/{name}")).body for name in listed}
    assert all(body.items() >= listed[name].items() for name, body in alone.items())
    return alone
