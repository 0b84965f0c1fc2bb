"""Fields that several bodies have."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from sharing import classed

from notify_svc.domain.kinds import is_filter, is_sent

Envelope = classed("envelope")
Signature = Literal["v1", "v1a"]
Ordering = Literal["none", "fifo"]
Rate = Annotated[float, Field(ge=0.01, le=1000, allow_inf_nan=False)]


def _known(pattern: str) -> str:
    if not is_filter(pattern):
        raise ValueError("names no event that is told; see contracts/events")
    return pattern


def _sent(pattern: str) -> str:
    if not is_sent(pattern):
        raise ValueError("names nothing that is sent; see contracts/events")
    return pattern


EventType = Annotated[str, Field(max_length=100), AfterValidator(_known)]
SentType = Annotated[str, Field(max_length=100), AfterValidator(_sent)]
Url = Annotated[str, Field(min_length=8, max_length=2048)]
Description = Annotated[str, Field(max_length=200, pattern=r"^[^\x00]*$")]
