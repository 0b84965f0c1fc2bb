"""Where the bytes live: a folder or an S3-compatible store, behind obstore.

An object is written once under a fresh key and never changed; a row that names the key makes it
count. What no row names is an orphan of a crash, and swept.
"""

import asyncio
import os
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store
from svckit.errors import Unavailable

from document_svc.domain import Span
from document_svc.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Config

# one part of an S3 upload must have at least 5 MiB; two in flight bound an upload to about 15 MiB
_PART = 5 * 1024 * 1024
_IN_FLIGHT = 2
_CHUNK = 256 * 1024
_PREFIX = "documents"


@dataclass(frozen=True)
class Stored:
    """An object as the store lists it."""

    key: str
    modified_at: datetime


class Storage:
    """Bytes by key. Raises Unavailable when the store does not answer."""

    def __init__(self, store: LocalStore | S3Store, folder: Path | None = None) -> None:
        self._store = store
        self._folder = folder

    async def put(self, key: str, chunks: AsyncIterable[bytes]) -> None:
        """Write an object whole, or not at all: what `chunks` raises passes through."""
        try:
            await obstore.put_async(
                self._store, key, chunks, chunk_size=_PART, max_concurrency=_IN_FLIGHT
            )
            if self._folder:
                await asyncio.to_thread(_sync, self._folder / key)
        except (BaseError, OSError) as error:
            raise _unavailable() from error

    async def read(self, key: str, span: Span) -> AsyncIterator[bytes]:
        """Open an object and return an iterator over the bytes of the span.

        Opens before it returns, so that a missing object is an error and not half an answer.
        """
        try:
            found = await obstore.get_async(
                self._store, key, options={"range": (span.first, span.last + 1)}
            )
        except (BaseError, OSError) as error:
            raise _unavailable() from error
        return (bytes(chunk) async for chunk in found.stream(min_chunk_size=_CHUNK))

    async def delete(self, keys: list[str]) -> None:
        """Remove objects; one that is already gone is no error."""
        for key in keys:
            try:
                await obstore.delete_async(self._store, key)
            except FileNotFoundError:
                continue
            except (BaseError, OSError) as error:
                raise _unavailable() from error

    async def pages(self) -> AsyncIterator[list[Stored]]:
        """Yield every stored object, in pages."""
        try:
            async for page in obstore.list(self._store, _PREFIX, chunk_size=500):
                yield [Stored(item["path"], item["last_modified"]) for item in page]
        except (BaseError, OSError) as error:
            raise _unavailable() from error

    async def drop_partial(self, before: datetime) -> int:
        """Remove unfinished uploads that a killed process left in the folder; return how many.

        An S3-compatible store drops unfinished multipart uploads by its own life cycle rule.
        """
        if self._folder is None:
            return 0
        return await asyncio.to_thread(_drop_partial, self._folder / _PREFIX, before.timestamp())


def key_of(document_id: str, content_id: str) -> str:
    """Return the key of one immutable content of a document."""
    return f"{_PREFIX}/{document_id}/{content_id}"


def open_store(settings: Settings) -> Storage:
    """Open the store the settings name. Raises ValueError for a scheme other than file and s3."""
    url = urlsplit(settings.store_url)
    if url.scheme == "file":
        folder = Path(unquote(url.path))
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Storage(LocalStore(folder), folder)
    if url.scheme != "s3":
        raise ValueError("DOCUMENT_STORE_URL must start with file:// or s3://")
    options: S3Config = {"region": settings.store_region}
    if settings.store_endpoint:
        options["endpoint"] = settings.store_endpoint
    if settings.store_access_key and settings.store_secret_key:
        options["access_key_id"] = settings.store_access_key
        options["secret_access_key"] = settings.store_secret_key.get_secret_value()
    plain = bool(settings.store_endpoint and settings.store_endpoint.startswith("http://"))
    return Storage(
        S3Store(
            url.netloc,
            prefix=url.path.strip("/") or None,
            config=options,
            client_options={"allow_http": plain, "timeout": "60s"},
        )
    )


def _sync(path: Path) -> None:
    """Make the file and its name survive a power cut: the store itself only writes and renames."""
    for each in (path, path.parent):
        handle = os.open(each, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _drop_partial(folder: Path, before: float) -> int:
    """Remove `<name>#<number>` files: what the store writes to before it renames."""
    stale = [path for path in folder.glob("*/*#*") if path.stat().st_mtime < before]
    for path in stale:
        path.unlink(missing_ok=True)
    return len(stale)


def _unavailable() -> Unavailable:
    return Unavailable("The document store does not answer just now.")
