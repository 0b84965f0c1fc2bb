"""Checks an exported ledger offline: nothing of ours is asked, only the file and public keys.

`GET /v1/ledger/export` describes the file: what it is, the sealed periods with their statements,
the entries, a signed end. The whole ledger is checked as a chain and against every period's root;
one custodian's part by the proof that comes with each entry.
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from joserfc.jws import JWSRegistry
from svckit.merkle import Tree, includes, leaf_hash

from careloop.errors import LedgerBroken

FORMAT = "careloop-ledger/1"
STATEMENT_TYPE = "careloop-ledger+jwt"
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_REGISTRY = JWSRegistry(algorithms=["ES256"])
_NO_PERIOD = "0" * 64


@dataclass
class Finding:
    """What the check found; `faults` empty: the file is whole."""

    scope: str = ""
    entries: int = 0
    sealed: int = 0
    periods: int = 0
    keys: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)


@dataclass
class _Period:
    number: int
    claims: Mapping[str, Any]
    leaves: dict[tuple[str, int], bytes] = field(default_factory=dict)


def verify(path: Path, trusted: Iterable[str] = ()) -> Finding:
    """Check a file; `trusted` are the thumbprints that may have signed, any when there are none.

    Raises LedgerBroken: the file is no exported ledger at all.
    """
    check = _Check(frozenset(trusted))
    digest, before = hashlib.sha256(), hashlib.sha256()
    last: dict[str, Any] = {}
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            last = _line(raw, number)
            check.take(last, number)
            before = digest.copy()
            digest.update(raw)
    check.finish(last, before.hexdigest())
    return check.found


class _Check:
    """One reading of a file from its first line to its last."""

    def __init__(self, trusted: frozenset[str]) -> None:
        self.found = Finding()
        self._trusted = trusted
        self._periods: dict[int, _Period] = {}
        self._statement = ""
        self._segment = ""
        self._seq = 0
        self._head = ""
        self._sealed_to: dict[str, int] = {}
        self._where: dict[str, list[tuple[int, int, _Period]]] = {}
        self._ended: set[str] = set()
        self._over = False

    def take(self, line: Mapping[str, Any], number: int) -> None:
        if self._over:
            self._fault(number, "something follows the end: inserted")
        if number == 1:
            if line.get("format") != FORMAT:
                raise LedgerBroken("This is no exported ledger.")
            self.found.scope = str(line["scope"])
        elif "period" in line:
            self._take_period(line, number)
        elif "entry" in line:
            self._take_entry(line, number)
        elif "end" in line:
            self._over = True

    def _take_period(self, line: Mapping[str, Any], number: int) -> None:
        claims = self._signed(line["statement"], line["key"], number)
        if claims is None:
            return
        expected = hashlib.sha256(self._statement.encode()).hexdigest()
        if not self._statement:
            expected = _NO_PERIOD
        if claims["number"] != len(self._periods) + 1 or claims["prev"] != expected:
            self._fault(number, "a period is missing, changed or out of order")
        self._statement = line["statement"]
        period = _Period(claims["number"], claims)
        self._periods[period.number] = period
        self.found.periods += 1
        for segment, first, last in claims["ranges"]:
            if first != self._sealed_to.get(segment, 0) + 1:
                self._fault(number, f"period {period.number} leaves out entries of {segment}")
            self._sealed_to[segment] = last
            self._where.setdefault(segment, []).append((first, last, period))

    def _take_entry(self, line: Mapping[str, Any], number: int) -> None:
        body = line["entry"].encode()
        try:
            entry = json.loads(body)
            segment, seq = _place(entry["id"])
        except (ValueError, KeyError, TypeError):
            self._fault(number, "the entry cannot be read: changed")
            return
        self.found.entries += 1
        if _canonical(entry) != body:
            self._fault(number, f"{entry['id']} is not in its canonical form: changed")
        for name in ("custodian", "person"):
            if line[name] != entry[name]:
                self._fault(number, f"{entry['id']} is filed under another {name}: changed")
        if self.found.scope == "whole":
            self._follow(entry, segment, seq, leaf_hash(body), number)
        else:
            self._prove(line, entry, leaf_hash(body), number)

    def _follow(
        self, entry: Mapping[str, Any], segment: str, seq: int, leaf: bytes, number: int
    ) -> None:
        """Check one link of a segment's chain."""
        if segment != self._segment:
            if segment in self._ended:
                self._fault(number, f"{entry['id']} stands apart from its segment: reordered")
            self._ended.add(segment)
            self._segment, self._seq = segment, 0
            self._head = hashlib.sha256(f"careloop-ledger {segment}".encode()).hexdigest()
        if seq > self._seq + 1:
            self._fault(number, f"entries before {entry['id']} are missing: removed")
        elif seq <= self._seq:
            self._fault(number, f"{entry['id']} stands out of its order: inserted or reordered")
        elif entry["prev"] != self._head:
            self._fault(number, f"the entry before {entry['id']} is not the one it names: changed")
        self._seq, self._head = seq, leaf.hex()
        for first, last, period in self._where.get(segment, ()):
            if first <= seq <= last:
                period.leaves[segment, seq] = leaf
                self.found.sealed += 1

    def _prove(
        self, line: Mapping[str, Any], entry: Mapping[str, Any], leaf: bytes, number: int
    ) -> None:
        """Check one entry's own proof."""
        period = self._periods.get(line["in"])
        path = [bytes.fromhex(each) for each in line["path"]]
        size = period.claims["size"] if period else 0
        head = bytes.fromhex(period.claims["root"]) if period else b""
        if not includes(leaf, line["index"], size, path, head):
            self._fault(number, f"{entry['id']} is not in the period it names: changed or inserted")
        else:
            self.found.sealed += 1

    def finish(self, last: Mapping[str, Any], digest: str) -> None:
        """Check what only the whole file shows: its end and every period's root."""
        if self.found.scope == "whole":
            for period in self._periods.values():
                self._check_root(period)
        if "end" not in last:
            self.found.faults.append("the end is missing: truncated")
            return
        claims = self._signed(last["end"], last["key"], 0)
        if claims and (claims["sha256"] != digest or claims["entries"] != self.found.entries):
            self.found.faults.append("the file is not the one that was signed")

    def _check_root(self, period: _Period) -> None:
        wanted = [
            (segment, seq)
            for segment, first, last in period.claims["ranges"]
            for seq in range(first, last + 1)
        ]
        missing = sum(each not in period.leaves for each in wanted)
        if missing:
            self.found.faults.append(
                f"period {period.number}: {missing} entries it seals are missing: removed or truncated"
            )
        elif Tree([period.leaves[each] for each in wanted]).head.hex() != period.claims["root"]:
            self.found.faults.append(
                f"period {period.number}: its root is of other entries: changed"
            )

    def _signed(self, statement: str, jwk: dict[str, Any], number: int) -> Mapping[str, Any] | None:
        """Return a statement's claims when its signature is good and its key is trusted."""
        try:
            key = ECKey.import_key(jwk)
            token = jwt.decode(statement, key, algorithms=["ES256"], registry=_REGISTRY)
        except (JoseError, ValueError, KeyError, TypeError, binascii.Error):
            self._fault(number, "a statement's signature is not good: changed")
            return None
        thumbprint = key.thumbprint()
        self.found.keys.add(thumbprint)
        if token.header.get("typ") != STATEMENT_TYPE or (
            self._trusted and thumbprint not in self._trusted
        ):
            self._fault(
                number, f"a statement is signed with a key that is not trusted: {thumbprint}"
            )
        claims: Mapping[str, Any] = token.claims
        return claims

    def _fault(self, number: int, text: str) -> None:
        self.found.faults.append(f"line {number}: {text}" if number else text)


def _line(raw: bytes, number: int) -> dict[str, Any]:
    try:
        found = json.loads(raw)
    except ValueError as error:
        if number == 1:
            raise LedgerBroken("This is no exported ledger.") from error
        return {"entry": base64.b64encode(raw).decode()}
    return found if isinstance(found, dict) else {"entry": ""}


def _place(entry_id: str) -> tuple[str, int]:
    """Return segment and number: `led_`, 16 letters, 10 digits of base 32."""
    seq = 0
    for letter in entry_id[20:]:
        seq = seq * 32 + _ALPHABET.index(letter)
    return entry_id[4:20], seq


def _canonical(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.encode()
