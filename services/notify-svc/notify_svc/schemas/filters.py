"""What narrows the feed, the stream and what goes to an endpoint."""

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from svckit.http import In, Out

from notify_svc.domain.filters import NEED_CATEGORIES, TRANSITIONS
from notify_svc.schemas.fields import Envelope

_LETTERS = "[0-9a-hjkmnp-tv-z]{26}"
MOST = 20
CaseId = Annotated[str, Field(pattern=f"^cas_{_LETTERS}$")]
ReferralId = Annotated[str, Field(pattern=f"^ref_{_LETTERS}$")]


def _one_of(codes: Sequence[str]) -> AfterValidator:
    def known(code: str) -> str:
        if code not in codes:
            raise ValueError("is none of the codes")
        return code

    return AfterValidator(known)


def _listed(codes: Sequence[str]) -> Any:
    return Field(json_schema_extra={"enum": list(codes)})


NeedCategory = Annotated[str, _listed(NEED_CATEGORIES), _one_of(NEED_CATEGORIES)]
Transition = Annotated[str, _listed(TRANSITIONS), _one_of(TRANSITIONS)]


class FiltersIn(In):
    """Every list that is not empty narrows; of one list any value will do.

    By a field that you are not shown of an event (its need category, its status) you get nothing.
    """

    case_ids: list[CaseId] = Field(default=[], max_length=MOST)
    referral_ids: list[ReferralId] = Field(default=[], max_length=MOST)
    need_categories: list[NeedCategory] = Field(default=[], max_length=MOST)
    transitions: list[Transition] = Field(
        default=[], max_length=MOST, description="Statuses that something moved to or began in"
    )


class FiltersOut(Out):
    case_ids: Annotated[list[str], Envelope]
    referral_ids: Annotated[list[str], Envelope]
    need_categories: Annotated[list[str], Envelope]
    transitions: Annotated[list[str], Envelope]
