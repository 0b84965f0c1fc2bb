"""Routes under /v1/documents. Metadata first, then the bytes: two requests, each safe to repeat."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from sqlalchemy.ext.asyncio import AsyncSession
from starlette.requests import ClientDisconnect
from svckit.db import Database, Read
from svckit.errors import BadRequest, CareloopError, NotFound, UnsupportedMediaType
from svckit.idempotency import Act, Change, Create
from svckit.identity import Caller, requires
from svckit.ids import PATTERN, is_id
from svckit.paging import Paging
from svckit.problems import PROBLEMS

from document_svc import actions, domain, queries, reply
from document_svc.models import Document
from document_svc.queries import Filters
from document_svc.schemas import (
    AttachIn,
    ContentPage,
    Count,
    DocumentIn,
    DocumentOut,
    DocumentPage,
    DocumentPatch,
    WithdrawIn,
)
from document_svc.settings import Settings
from document_svc.storage import Storage

router = APIRouter(prefix="/v1/documents", tags=["documents"])
MayRead = Annotated[Caller, Depends(requires("documents.read"))]
MayWrite = Annotated[Caller, Depends(requires("documents.write"))]


def _settings(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def _storage(request: Request) -> Storage:
    storage: Storage = request.app.state.storage
    return storage


def _document_id(document_id: Annotated[str, Path(max_length=64)]) -> str:
    if not is_id(document_id, "doc"):
        raise NotFound
    return document_id


Config = Annotated[Settings, Depends(_settings)]
Store = Annotated[Storage, Depends(_storage)]
DocumentId = Annotated[str, Depends(_document_id)]
_Id = Annotated[str | None, Query(pattern=PATTERN)]


def _filters(
    case_id: _Id = None,
    referral_id: _Id = None,
    person_id: _Id = None,
    type: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9._-]{1,64}$")] = None,  # noqa: A002 - its name on the wire
) -> Filters:
    return Filters(case_id, referral_id, person_id, type)


Narrowed = Annotated[Filters, Depends(_filters)]


@router.post("", status_code=201, response_model=DocumentOut, responses=PROBLEMS)
async def add_document(
    body: DocumentIn, caller: MayWrite, cmd: Create, settings: Config
) -> Response:
    """Declare a document of a case or referral; its content follows."""

    async def act(tx: AsyncSession) -> Document:
        return await actions.add(
            tx, caller, body, wait_s=settings.replica_wait_s, limit=settings.max_content_bytes
        )

    return await cmd.run(caller, act, reply.created)


@router.get("", response_model=DocumentPage, responses=PROBLEMS)
async def list_documents(
    caller: MayRead, session: Read, page: Paging, filters: Narrowed
) -> Response:
    """List the documents the caller may see, newest first."""
    after = page.after(caller.organisation_id)
    rows = await queries.list_documents(
        session, caller, filters, limit=page.limit, after=str(after[0]) if after else None
    )
    present = await reply.presenter(session, caller, rows)
    return page.reply(caller.organisation_id, rows, key=lambda r: [r.document.id], present=present)


@router.get("/count", responses=PROBLEMS)
async def count_documents(caller: MayRead, session: Read, filters: Narrowed) -> Count:
    """Count the documents the caller may see."""
    return Count(count=await queries.count(session, caller, filters))


@router.get("/{document_id}", response_model=DocumentOut, responses=PROBLEMS)
async def get_document(document_id: DocumentId, caller: MayRead, session: Read) -> Response:
    """Read a document's metadata."""
    seen = await queries.get(session, caller, document_id)
    return (await reply.document(session, caller, seen.document)).response()


@router.patch("/{document_id}", response_model=DocumentOut, responses=PROBLEMS)
async def change_document(
    document_id: DocumentId, body: DocumentPatch, caller: MayWrite, cmd: Change
) -> Response:
    """Change title, type, class, labels or confidentiality."""
    return await cmd.run(
        caller,
        lambda tx: actions.change(tx, caller, document_id, body, cmd.expected),
        reply.document,
    )


@router.post("/{document_id}/attach", response_model=DocumentOut, responses=PROBLEMS)
async def attach_document(
    document_id: DocumentId, body: AttachIn, caller: MayWrite, cmd: Act, settings: Config
) -> Response:
    """Attach a document to one more case or referral about the same person."""

    async def act(tx: AsyncSession) -> Document:
        wait_s = settings.replica_wait_s
        return await actions.attach(tx, caller, document_id, body, cmd.expected, wait_s=wait_s)

    return await cmd.run(caller, act, reply.document)


@router.post("/{document_id}/withdraw", response_model=DocumentOut, responses=PROBLEMS)
async def withdraw_document(
    document_id: DocumentId, body: WithdrawIn, caller: MayWrite, cmd: Act
) -> Response:
    """Withdraw a document: others no longer see it."""
    return await cmd.run(
        caller,
        lambda tx: actions.withdraw(tx, caller, document_id, body, cmd.expected),
        reply.document,
    )


@router.get("/{document_id}/versions", response_model=ContentPage, responses=PROBLEMS)
async def list_versions(
    document_id: DocumentId, caller: MayRead, session: Read, page: Paging
) -> Response:
    """List the immutable contents of a document, newest first."""
    seen = await queries.get(session, caller, document_id)
    after = page.after(caller.organisation_id)
    rows = await queries.list_contents(
        session, seen.document, limit=page.limit, after=int(after[0]) if after else None
    )
    return page.reply(
        caller.organisation_id,
        rows,
        key=lambda r: [r.number],
        present=lambda r: reply.content(seen, r),
    )


_BYTES = {"schema": {"type": "string", "format": "binary"}}
_BODY = {"requestBody": {"required": True, "content": {"application/octet-stream": _BYTES}}}
_Digest = Annotated[
    str | None, Header(alias="Content-Digest", description="sha-256=:<base64>: (RFC 9530)")
]


@router.put(
    "/{document_id}/content",
    response_model=DocumentOut,
    responses=PROBLEMS,
    openapi_extra=_BODY,
)
async def put_content(
    document_id: DocumentId,
    request: Request,
    caller: MayWrite,
    cmd: Change,
    *,
    settings: Config,
    storage: Store,
    content_digest: _Digest = None,
) -> Response:
    """Upload the first or a further content, streamed; it must match the digest declared."""
    if "content-encoding" in request.headers:
        raise UnsupportedMediaType("Send the content as it is, without Content-Encoding.")
    limit = settings.max_content_bytes
    db: Database = request.app.state.db
    # no connection is held while the bytes arrive: slow senders must not empty the pool
    async with db.read_as(caller.organisation_id) as session:
        upload = await actions.expect(
            session,
            caller,
            document_id,
            cmd.expected,
            digest=domain.parse_content_digest(content_digest or ""),
            length=_length(request),
            content_type=_media_type(request),
            limit=limit,
        )
    size = await actions.receive(storage, upload, _chunks(request), limit)
    try:
        return await cmd.run(
            caller, lambda tx: actions.keep(tx, caller, upload, size), reply.document
        )
    except CareloopError:
        # only a refusal is certain to have committed nothing; anything else is for the sweep
        await storage.delete([upload.key])
        raise


_PARTIAL: dict[int | str, dict[str, Any]] = {
    **PROBLEMS,
    # the type is the one the content was stored with
    200: {"content": {"*/*": _BYTES}, "description": "The content"},
    206: {"content": {"*/*": _BYTES}, "description": "The range asked for"},
    304: {"description": "The content named by If-None-Match is the current one"},
    416: {**PROBLEMS[422], "description": "Range not satisfiable"},
}
_Number = Annotated[int | None, Query(ge=1, le=2**31 - 1, description="Default: the newest")]


@router.get("/{document_id}/content", response_class=Response, responses=_PARTIAL)
async def get_content(
    document_id: DocumentId,
    request: Request,
    caller: MayRead,
    storage: Store,
    version: _Number = None,
) -> Response:
    """Download a content, whole or one range of it."""
    db: Database = request.app.state.db
    async with db.read_as(caller.organisation_id) as session:
        (document, _), content = await actions.readable(session, caller, document_id, version)
        headers = await reply.content_headers(session, caller, document, content)
    async with db.begin() as tx:
        await actions.leave(tx, caller, content)
    if domain.is_same(headers["ETag"], request.headers.get("if-none-match")):
        return Response(status_code=304, headers=reply.validators(headers))
    reply.disclose("content", queries.Seen(document, document.required))
    wanted = request.headers.get("range")
    if request.headers.get("if-range", headers["ETag"]) != headers["ETag"]:
        wanted = None
    span = domain.parse_range(wanted, content.size_bytes)
    whole = domain.Span(0, content.size_bytes - 1)
    chunks = await storage.read(content.object_key, span or whole)
    headers |= reply.span_headers(content, span)
    return StreamingResponse(chunks, 206 if span else 200, headers)


@router.head("/{document_id}/content", response_class=Response, responses=_PARTIAL)
async def head_content(
    document_id: DocumentId, caller: MayRead, session: Read, version: _Number = None
) -> Response:
    """Read length, digest and type of a content."""
    seen, content = await actions.readable(session, caller, document_id, version)
    reply.disclose("document", seen)
    headers = await reply.content_headers(session, caller, seen.document, content)
    headers |= reply.span_headers(content, None)
    return Response(status_code=200, headers=headers)


def _length(request: Request) -> int | None:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() else None


def _media_type(request: Request) -> str | None:
    """Return the type the sender states; the generic one states nothing."""
    stated = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if not stated or stated == "application/octet-stream":
        return None
    if not domain.is_media_type(stated):
        raise UnsupportedMediaType("The Content-Type is no media type.")
    return stated


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            if chunk:
                yield chunk
    except ClientDisconnect as error:
        raise BadRequest("The content ended early.", code="content-incomplete") from error
