"""Bodies of the ledger's routes. They hold ids and codes, so a row shows them with itself."""

from datetime import datetime
from typing import Annotated, Any

from svckit.http import Out

from gateway.schemas import Open


class EntryOut(Out):
    """One entry of the ledger; `body` is what was hashed, byte for byte, the rest is read from it."""

    id: Annotated[str, Open]
    at: Annotated[datetime, Open]
    outcome: Annotated[str, Open]
    organisation: Annotated[str, Open]
    client: Annotated[str, Open]
    actor: Annotated[str, Open]
    purpose: Annotated[str, Open]
    channel: Annotated[str, Open]
    method: Annotated[str, Open]
    status: Annotated[int, Open]
    trace: Annotated[str, Open]
    kind: Annotated[str, Open]
    rows: Annotated[int, Open]
    custodian: Annotated[str | None, Open]
    person: Annotated[str | None, Open]
    classes: Annotated[list[str], Open]
    grants: Annotated[list[dict[str, Any]], Open]
    consents: Annotated[list[dict[str, Any]], Open]
    prev: Annotated[str, Open]
    body: Annotated[str, Open]


class PeriodOut(Out):
    """A sealed period: `statement` is a JWS, `key` the public key that it was signed with."""

    number: Annotated[int, Open]
    sealed_at: Annotated[datetime, Open]
    size: Annotated[int, Open]
    root: Annotated[str, Open]
    statement: Annotated[str, Open]
    key: Annotated[dict[str, Any], Open]


class ProofOut(Out):
    """RFC 6962 s2.1.1: the path from the entry's leaf to the root of the period that sealed it."""

    entry: Annotated[str, Open]
    leaf_index: Annotated[int, Open]
    tree_size: Annotated[int, Open]
    audit_path: Annotated[list[str], Open]
    root: Annotated[str, Open]
    period: Annotated[int, Open]
    statement: Annotated[str, Open]
    key: Annotated[dict[str, Any], Open]
