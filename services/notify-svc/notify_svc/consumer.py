"""What reaches this service: everything that is told onward, and who may see what."""

from collections.abc import Iterator, Mapping, Sequence

from sharing import policy, replica
from sharing.model import Grant
from sqlalchemy.ext.asyncio import AsyncSession
from svckit.consume import Handler, Received
from svckit.inbox import Together

from notify_svc.actions import fanout, inbox
from notify_svc.domain.kinds import TOLD, full, short
from notify_svc.queries import access, audience

TOPICS = tuple(TOLD)


async def _tell(tx: AsyncSession, events: Sequence[Received]) -> None:
    """Tell everyone who may learn of it, and the workers whom it asks for something."""
    for run in runs(events):
        of_cases = [event for event in run if event.type in replica.OF_CASES]
        for event in of_cases:
            await _REPLICA[event.type](tx, event)
        await fanout.tell(tx, run)
        for event in run:
            await inbox.learn(tx, event)
        for event in of_cases:
            if event.type in _SEALING or "confidentiality" in event.data["change"].get(
                "fields", ()
            ):
                await access.check_case(tx, event.data["id"])


tell = Together(_tell)


def runs(events: Sequence[Received]) -> Iterator[Sequence[Received]]:
    """Split events where one by one they would be decided otherwise than together.

    A case's own event says who may see what of the case, a label what was told of its subject.
    """
    run: list[Received] = []
    cases: set[str] = set()
    subjects: dict[str, bool] = {}
    for event in events:
        labels = short(event.type) in fanout.LABELLING
        if (event.type in replica.OF_CASES and event.data["id"] in cases) or (
            event.subject in subjects and (labels or subjects[event.subject])
        ):
            yield run
            run, cases, subjects = [], set(), {}
        run.append(event)
        cases.add(event.data.get("case_id") or event.subject)
        subjects[event.subject] = labels
    if run:
        yield run


async def grant_changed(tx: AsyncSession, grant: Grant) -> None:
    """What it shows by now is told, and what it showed may have ended."""
    await fanout.tell_missed(tx, grant)
    await access.check_grant(
        tx, grant_id=grant.id, person_id=grant.person_id, organisation_id=grant.recipient_id
    )


_REPLICA = replica.handlers(on_grant=grant_changed)
CONSENT = "org.careloop.consent.recorded.v1"
WITHDRAWN = "org.careloop.consent.withdrawn.v1"
AGREEMENT = "org.careloop.agreement.published.v1"
ENDED = "org.careloop.agreement.ended.v1"
ORGANISATION = "org.careloop.organisation.changed.v1"
POLICY = "org.careloop.policy.published.v1"


async def consent_recorded(tx: AsyncSession, event: Received) -> None:
    """A permit lets grants show more: tell what they show now. A deny lets them show less."""
    await _REPLICA[CONSENT](tx, event)
    for grant in await audience.grants_of(tx, person_id=event.data["person_id"]):
        await fanout.tell_missed(tx, grant)
    await access.check_person(tx, event.data["person_id"])


async def consent_withdrawn(tx: AsyncSession, event: Received) -> None:
    """Nothing rests on it any more."""
    await _REPLICA[WITHDRAWN](tx, event)
    await access.check_person(tx, event.data["person_id"])


async def agreement_published(tx: AsyncSession, event: Received) -> None:
    """A grant may have come before the agreement that it rests on, or now shows less."""
    await _REPLICA[AGREEMENT](tx, event)
    for grant in await audience.grants_of(tx, agreement_id=event.data["id"]):
        await fanout.tell_missed(tx, grant)
    await access.check_agreement(tx, event.data["id"])


async def agreement_ended(tx: AsyncSession, event: Received) -> None:
    """Its grants show nothing any more."""
    await _REPLICA[ENDED](tx, event)
    await access.check_agreement(tx, event.data["id"])


async def organisation_changed(tx: AsyncSession, event: Received) -> None:
    """What kind it is, and whether it is a Part 2 program, decides with the rest."""
    await _REPLICA[ORGANISATION](tx, event)
    await access.check_organisation(tx, event.data["id"])


async def policy_published(tx: AsyncSession, event: Received) -> None:
    """What happened under the policy may have come before it."""
    await _REPLICA[POLICY](tx, event)
    if policy.in_force().policy is not None:
        await fanout.tell_since(tx, event.time)
        await access.check_everybody(tx)


_SEALING = (replica.SEALED, replica.UNSEALED)
HANDLERS: Mapping[str, Handler] = {
    **_REPLICA,
    CONSENT: consent_recorded,
    WITHDRAWN: consent_withdrawn,
    AGREEMENT: agreement_published,
    ENDED: agreement_ended,
    ORGANISATION: organisation_changed,
    POLICY: policy_published,
    **{full(kind): tell for kinds in TOLD.values() for kind in kinds},
    **dict.fromkeys(replica.OF_CASES, tell),
}
