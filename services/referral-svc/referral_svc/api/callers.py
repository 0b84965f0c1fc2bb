"""Who may call what: a permission is the type of an argument."""

from typing import Annotated

from fastapi import Depends, Request
from svckit.identity import Caller, requires

from referral_svc.settings import Settings

MayReadDirectory = Annotated[Caller, Depends(requires("directory.read"))]
MayWriteDirectory = Annotated[Caller, Depends(requires("directory.write"))]
MayRead = Annotated[Caller, Depends(requires("referrals.read"))]
MayWrite = Annotated[Caller, Depends(requires("referrals.write"))]


async def _settings(request: Request) -> Settings:
    found: Settings = request.app.state.settings
    return found


Config = Annotated[Settings, Depends(_settings)]
