"""The replica: the gateway's sharing records as small tables in every service's database.

Masks are integers (`classes`, `purposes`); periods are half open: from <= now < to, no end where
`valid_to` is null.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from svckit.db import NAMING, Id

metadata = MetaData(naming_convention=NAMING)

_INSTANT = DateTime(timezone=True)


PURPOSES = BigInteger()
TEXT = Id


def _classes(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False)


def _purposes() -> Column[int]:
    return Column("purposes", PURPOSES, nullable=False)


def _period() -> tuple[Column[object], Column[object]]:
    return Column("valid_from", _INSTANT, nullable=False), Column("valid_to", _INSTANT)


def _version() -> Column[str]:
    """The version its owner gave the record; text, for it may be the hash of its content."""
    return Column("version", Text, nullable=False, server_default=text("'1'"))


organisation = Table(
    "sharing_organisation",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    # a federally assisted program: what it keeps of substance use are Part 2 records (42 CFR 2.11)
    Column("part2_program", Boolean, nullable=False, server_default=text("false")),
)

agreement = Table(
    "sharing_agreement",
    metadata,
    Column("id", Id, primary_key=True),
    Column("custodian_id", Id, nullable=False),
    # one of the two: an organisation, or every organisation of a kind
    Column("recipient_id", Id),
    Column("recipient_kind", Text),
    _purposes(),
    _classes("classes"),
    # the classes that need the person's permit on top
    _classes("consent_classes"),
    # how long a completed referral stays readable
    Column("retention_days", Integer, nullable=False),
    *_period(),
    # the highest rank of a row that it lets out: N
    Column("confidentiality", SmallInteger, nullable=False, server_default=text("3")),
    Column("legal_basis", Text),
    _version(),
    CheckConstraint("(recipient_id IS NULL) <> (recipient_kind IS NULL)", name="one_recipient"),
    Index("ix_sharing_agreement_parties", "custodian_id", "recipient_id", "recipient_kind"),
)

grant = Table(
    "sharing_grant",
    metadata,
    Column("id", Id, primary_key=True),
    Column("custodian_id", Id, nullable=False),
    Column("recipient_id", Id, nullable=False),
    Column("person_id", Id, nullable=False),
    # null: every case the custodian has of this person
    Column("case_id", Id),
    Column("agreement_id", Id, nullable=False),
    _classes("classes"),
    _purposes(),
    Column("basis", Text, nullable=False),
    Column("basis_id", Id, nullable=False),
    *_period(),
    _version(),
    CheckConstraint(
        "basis IN ('consent','referral','care-team','treatment','emergency','legal')", name="basis"
    ),
    # the decision's own path: who asks, about whom, from whom
    Index("ix_sharing_grant_reader", "recipient_id", "person_id", "custodian_id", "case_id"),
    # the fan-out's path: who may learn of something about this person
    Index("ix_sharing_grant_person", "person_id", "custodian_id"),
    Index("ix_sharing_grant_basis", "basis_id"),
    Index("ix_sharing_grant_agreement", "agreement_id"),
)

consent = Table(
    "sharing_consent",
    metadata,
    Column("id", Id, primary_key=True),
    Column("person_id", Id, nullable=False),
    # null: whoever asks
    Column("recipient_id", Id),
    Column("decision", Text, nullable=False),
    _classes("classes"),
    _purposes(),
    *_period(),
    Column("decided_at", _INSTANT, nullable=False),
    Column("active", Boolean, nullable=False),
    _version(),
    # of two directives decided at the same instant the deeper counts
    Column("depth", SmallInteger, nullable=False, server_default=text("0")),
    # the highest rank of a row that it reaches: V
    Column("confidentiality", SmallInteger, nullable=False, server_default=text("5")),
    # null: every case, and what is under none
    Column("case_id", Id),
    # written as 42 CFR 2.31 asks, and in the name of that law
    Column("part2", Boolean, nullable=False, server_default=text("false")),
    CheckConstraint("decision IN ('permit','deny')", name="decision"),
    Index("ix_sharing_consent_person", "person_id", "decided_at"),
)

# how confidential a case is that is not N: what lies under it is at least that
protection = Table(
    "sharing_protection",
    metadata,
    Column("case_id", Id, primary_key=True),
    Column("confidentiality", SmallInteger, nullable=False),
)

# what case-svc says of a case as a whole: closed to everybody but its custodian
seal = Table(
    "sharing_seal",
    metadata,
    Column("case_id", Id, primary_key=True),
    Column("custodian_id", Id, nullable=False),
    *_period(),
)

# the published policy in force: one row, none before the first publication
policy = Table(
    "sharing_policy",
    metadata,
    Column("id", Id, primary_key=True),
    # the SHA-256 of what it says, in its canonical form
    Column("version", Text, nullable=False),
    Column("canonical", Text, nullable=False),
)
