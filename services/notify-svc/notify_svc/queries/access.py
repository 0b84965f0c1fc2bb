"""What organisations were told of, what of it they may still see, and when to look again."""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, cast

from sharing import sql, tables
from sharing.kept import Statement, given, kept
from sharing.model import Organisation, Reader
from sharing.waiting import waits
from sqlalchemy import ColumnElement, Text, and_, any_, case, or_, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncSession

from notify_svc.domain.readers import PURPOSES
from notify_svc.models import Access, Message

# of a statement that names its readers itself
_NOBODY = Organisation("", "")


class Standing(NamedTuple):
    """What an organisation was told of, and whether it may still see it."""

    access: Access
    sees: bool


_TOLD = text(
    """
    INSERT INTO access
      (organisation_id, subject, custodian_id, person_id, case_id, referral_id, party, times)
    SELECT organisation_id, subject, custodian_id, person_id, case_id, referral_id, party, 0
    FROM unnest(
      CAST(:organisation_id AS text[]), CAST(:subject AS text[]), CAST(:custodian_id AS text[]),
      CAST(:person_id AS text[]), CAST(:case_id AS text[]), CAST(:referral_id AS text[]),
      CAST(:party AS bool[]))
    AS u(organisation_id, subject, custodian_id, person_id, case_id, referral_id, party)
    ON CONFLICT (organisation_id, subject) DO UPDATE SET ended_at = NULL, party = excluded.party
    -- mostly nothing is new, and nothing is written
    WHERE access.ended_at IS NOT NULL OR access.party <> excluded.party
    """
)


async def told(tx: AsyncSession, told: Sequence[tuple[Message, Collection[str]]]) -> None:
    """Note of what the organisations were told, in order: a person, a referral or a case.

    The custodian cannot lose sight of it. Who is told of a case's event as one of its parties sees
    that event and not the case; the sides of a referral see the referral.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for message, organisations in told:
        for row in _noted(message, organisations):
            # by the first it is known, by the last it stands
            known = rows.setdefault((row["organisation_id"], row["subject"]), row)
            known["party"] = row["party"]
    if rows:
        every = list(rows.values())
        await tx.execute(_TOLD, {name: [row[name] for row in every] for name in every[0]})


def _noted(message: Message, organisations: Collection[str]) -> list[dict[str, Any]]:
    about_referral = message.referral_id is not None
    subject = message.referral_id or message.case_id
    if message.subject == message.person_id:
        subject, about_referral = message.person_id, False
    if subject is None or message.person_id is None:
        return []
    known = {
        "subject": subject,
        "custodian_id": message.custodian_id,
        "person_id": message.person_id,
        "case_id": message.case_id,
        "referral_id": message.referral_id if about_referral else None,
    }
    return [
        {**known, "organisation_id": one, "party": one in message.parties}
        for one in organisations
        if one != message.custodian_id and (about_referral or one not in message.parties)
    ]


async def standing(tx: AsyncSession, persons: Collection[str]) -> list[Standing]:
    """Return how it stands with all that anybody was told of these persons, in one order.

    Without the cases of which an event waits: there it stands undecided, and is looked at after.
    """
    found = await _standing.rows(tx, _NOBODY, {"persons": list(persons)})
    return [Standing(*row) for row in found]


@kept
def _standing(_: Reader) -> Statement:
    told_one = tables.organisation.alias()
    sees = [
        and_(
            told_one.c.kind == kind, _sees(Organisation(cast("str", told_one.c.id), kind, purpose))
        )
        for kind, purpose in PURPOSES.items()
    ]
    return (
        select(Access, or_(*sees))
        .join(told_one, told_one.c.id == Access.organisation_id)
        .where(Access.person_id == any_(given("persons", ARRAY(Text))), ~waits(Access.case_id))
        .order_by(Access.organisation_id, Access.subject)
    )


_PROTECTED = sql.protected(case=Access.__table__.c.case_id)


def _sees(reader: Reader) -> ColumnElement[bool]:
    """Return whether the reader sees anything at all of it."""
    mask = case(
        (Access.subject == Access.person_id, _mask(reader, None)),
        else_=_mask(reader, Access.case_id),
    )
    return or_(and_(Access.party, ~sql.sealed(reader, case=Access.case_id)), mask != 0)


def _mask(reader: Reader, of_case: Any) -> ColumnElement[int]:
    return sql.shared(
        reader,
        custodian=Access.custodian_id,
        person=Access.person_id,
        case=of_case,
        referral=Access.referral_id,
        confidentiality=_PROTECTED,
    )


async def reopen(tx: AsyncSession, found: Sequence[Access]) -> None:
    """Note that what had ended may be seen again."""
    await tx.execute(update(Access).where(_these(found)).values(ended_at=None))


async def end(tx: AsyncSession, found: Sequence[Access]) -> None:
    """Note that it ended, once more."""
    ended = {"ended_at": text("now()"), "times": Access.times + 1}
    await tx.execute(update(Access).where(_these(found)).values(ended))


def _these(found: Sequence[Access]) -> ColumnElement[bool]:
    keys = [(one.organisation_id, one.subject) for one in found]
    return tuple_(Access.organisation_id, Access.subject).in_(keys)


# Nobody was told of the person yet: nothing can have ended by now, but at its term it may.
_OF_GRANT = text(
    """
    INSERT INTO access_check (person_id, due_at)
    SELECT person_id, due_at FROM (
        SELECT person_id, now() AS due_at FROM access
        WHERE person_id = :person_id AND organisation_id = :organisation_id
        UNION
        SELECT g.person_id, unnest(ARRAY[g.valid_to, a.valid_to])
        FROM sharing_grant g LEFT JOIN sharing_agreement a ON a.id = g.agreement_id
        WHERE g.id = :grant_id
    ) AS terms WHERE due_at >= now()
    ON CONFLICT DO NOTHING
    """
)
_OF_PERSON = text(
    """
    INSERT INTO access_check (person_id, due_at)
    SELECT person_id, due_at FROM (
        SELECT person_id, now() AS due_at FROM access WHERE person_id = :person_id
        UNION
        SELECT person_id, unnest(ARRAY[valid_from, valid_to])
        FROM sharing_consent WHERE person_id = :person_id AND active
    ) AS terms WHERE due_at >= now()
    ON CONFLICT DO NOTHING
    """
)
_OF_AGREEMENT = text(
    """
    INSERT INTO access_check (person_id, due_at)
    SELECT person_id, due_at FROM (
        SELECT g.person_id, now() AS due_at
        FROM sharing_grant g
        JOIN access x ON x.person_id = g.person_id AND x.organisation_id = g.recipient_id
        WHERE g.agreement_id = :agreement_id
        UNION
        SELECT g.person_id, a.valid_to
        FROM sharing_grant g JOIN sharing_agreement a ON a.id = g.agreement_id
        WHERE a.id = :agreement_id
    ) AS terms WHERE due_at >= now()
    ON CONFLICT DO NOTHING
    """
)
_OF_ALL = """
    INSERT INTO access_check (person_id, due_at)
    SELECT DISTINCT person_id, now() FROM access WHERE person_id IS NOT NULL AND {which}
    ON CONFLICT DO NOTHING
"""
_OF_CASE = text(_OF_ALL.format(which="case_id = :case_id"))
_OF_ORGANISATION = text(_OF_ALL.format(which=":organisation_id IN (organisation_id, custodian_id)"))
_OF_EVERYBODY = text(_OF_ALL.format(which="true"))


async def check_grant(
    tx: AsyncSession, *, grant_id: str, person_id: str, organisation_id: str
) -> None:
    """Let it be looked at what a grant's recipient may see, now and at the grant's end."""
    which = {"grant_id": grant_id, "person_id": person_id, "organisation_id": organisation_id}
    await tx.execute(_OF_GRANT, which)


async def check_person(tx: AsyncSession, person_id: str) -> None:
    """Likewise for all who were told of the person, and whenever one of its directives begins or ends."""
    await tx.execute(_OF_PERSON, {"person_id": person_id})


async def check_agreement(tx: AsyncSession, agreement_id: str) -> None:
    """Likewise for all grants under the agreement."""
    await tx.execute(_OF_AGREEMENT, {"agreement_id": agreement_id})


async def check_case(tx: AsyncSession, case_id: str) -> None:
    """Likewise for the person of a case, of which somebody was told."""
    await tx.execute(_OF_CASE, {"case_id": case_id})


async def check_organisation(tx: AsyncSession, organisation_id: str) -> None:
    """Likewise for all that the organisation was told, and all that was told of its persons."""
    await tx.execute(_OF_ORGANISATION, {"organisation_id": organisation_id})


async def check_everybody(tx: AsyncSession) -> None:
    """Likewise for all that was ever told."""
    await tx.execute(_OF_EVERYBODY)


_IS_DUE = text(
    "SELECT EXISTS (SELECT FROM access_check"
    " WHERE due_at <= now() - make_interval(secs => :settle_s))"
)
_TAKE = text(
    """
    DELETE FROM access_check WHERE (person_id, due_at) IN (
        SELECT person_id, due_at FROM access_check
        WHERE due_at <= now() - make_interval(secs => :settle_s)
        ORDER BY due_at LIMIT :limit
    ) RETURNING person_id
    """
)


async def is_due(session: AsyncSession, settle_s: float) -> bool:
    """Tell whether there is anything to look at."""
    return bool(await session.scalar(_IS_DUE, {"settle_s": settle_s}))


async def take_due(tx: AsyncSession, settle_s: float, limit: int) -> set[str]:
    """Take the persons that are to be looked at."""
    return set(await tx.scalars(_TAKE, {"settle_s": settle_s, "limit": limit}))
