"""The gateway's private keys: some sign access tokens, others internal identities.

They live in one file (`GATEWAY_KEY_FILE`), made on first use with mode 0600, which every replica
reads and looks at again each second. A key is published, signs from an instant on, and is
withdrawn at another; both instants stand in the file, so that all replicas change at once:

    published ──► signs_from ──► the next key signs ──► ends_at, when its last token has expired

The same file holds the pepper of sandbox secrets and nonces.
"""

import base64
import fcntl
import hmac
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import structlog
from joserfc.errors import JoseError
from joserfc.jwk import ECKey
from svckit.errors import Unavailable

LINES = ("access", "internal")
_PEPPER_BYTES = 32
_LOOK_EVERY_S = 1.0
_log = structlog.get_logger("keys")


class KeyNotRetired(Exception):
    """There is no such key, or no other to sign in its place."""


@dataclass(frozen=True)
class SigningKey:
    """`ends_at` None: until a later key takes over."""

    key: ECKey
    signs_from: float
    ends_at: float | None

    @property
    def kid(self) -> str:
        return str(self.key.kid)

    def is_published(self, at: float) -> bool:
        return self.ends_at is None or self.ends_at > at


@dataclass(frozen=True)
class KeyLine:
    """The keys of one use, in the order in which they sign."""

    keys: tuple[SigningKey, ...]

    def signing(self, at: float) -> ECKey:
        """Return the newest key whose time has come. Raises Unavailable when all have ended."""
        for entry in reversed(self.keys):
            if entry.signs_from <= at and entry.is_published(at):
                return entry.key
        raise Unavailable("No key may sign now.")

    def published(self, at: float) -> list[ECKey]:
        """Return the keys whose tokens are good, and those that will sign soon."""
        return [entry.key for entry in self.keys if entry.is_published(at)]

    def public(self, at: float) -> dict[str, Any]:
        """Return the published keys as a JWK Set of their public parts."""
        found = (key.as_dict(private=False) for key in self.published(at))
        return {"keys": [{**jwk, "alg": "ES256", "use": "sig"} for jwk in found]}


@dataclass(frozen=True)
class KeyRing:
    """`access` is known to partners, `internal` only to our services."""

    access: KeyLine
    internal: KeyLine
    pepper: bytes

    def secret_hash(self, secret: str) -> str:
        """Return the keyed hash under which a secret (256 random bits) is stored."""
        return hmac.new(self.pepper, secret.encode(), "sha256").hexdigest()


class KeyFile:
    """The ring of a file, as it is now. A file that breaks later leaves the last good ring."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ring: KeyRing | None = None
        self._stamp: tuple[int, int] | None = None
        self._look_at = 0.0

    def __call__(self) -> KeyRing:
        """Return the ring. Raises Unavailable when the file cannot be used and never could."""
        if self._ring is None or time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_EVERY_S
            self._look()
        if self._ring is None:
            raise Unavailable("The key file cannot be used.")
        return self._ring

    def _look(self) -> None:
        try:
            if self._ring is not None and _stamp(self._path) == self._stamp:
                return
            ring = load(self._path)
            self._ring, self._stamp = ring, _stamp(self._path)
        except (OSError, Unavailable):
            if self._ring is None:
                raise
            _log.warning("the key file cannot be read; the keys stay as they are")


def load(path: Path) -> KeyRing:
    """Return the keys of the file, making it first if it is absent. Raises Unavailable."""
    if not path.exists():
        _make(path)
    try:
        found = orjson.loads(path.read_bytes())
        lines = [KeyLine(tuple(_entry(e) for e in _entries(found[name]))) for name in LINES]
        ring = KeyRing(lines[0], lines[1], base64.b64decode(found["pepper"]))
    except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
        raise Unavailable("The key file cannot be used.") from error
    if not all(line.keys for line in lines):
        raise Unavailable("The key file holds no key.")
    return ring


def rotate(path: Path, *, wait_s: float, lives_s: float, at: float) -> dict[str, str]:
    """Publish a new key of each use, which signs after `wait_s`; return their ids.

    The key before it stays published for `lives_s` longer, until its last token has expired. Keys
    whose end has passed leave the file.
    """
    load(path)
    with _changing(path) as content:
        fresh: dict[str, str] = {}
        for name in LINES:
            entries = [e for e in _entries(content[name]) if _entry(e).is_published(at)]
            for entry in entries:
                entry["ends_at"] = entry["ends_at"] or at + wait_s + lives_s
            jwk = _fresh()
            entries.append({"jwk": jwk, "signs_from": at + wait_s, "ends_at": None})
            content[name] = entries
            fresh[name] = jwk["kid"]
    return fresh


def retire(path: Path, kid: str, *, at: float) -> None:
    """End a key now, with every token it signed: for a key that leaked. Raises KeyNotRetired."""
    load(path)
    with _changing(path) as content:
        for name in LINES:
            entries = _entries(content[name])
            kept = [e for e in entries if e["jwk"]["kid"] != kid]
            content[name] = kept
            if len(kept) == len(entries):
                continue
            line = KeyLine(tuple(_entry(e) for e in kept))
            if not any(e.signs_from <= at and e.is_published(at) for e in line.keys):
                raise KeyNotRetired("No other key of this use signs yet: rotate first.")
            for entry in kept[-1:]:
                entry["ends_at"] = None
            return
        raise KeyNotRetired("There is no such key.")


def _entries(found: Any) -> list[dict[str, Any]]:
    """Return the entries of a line; a file of the first version holds one bare key for each."""
    if isinstance(found, dict):
        return [{"jwk": found, "signs_from": 0, "ends_at": None}]
    return list(found)


def _entry(found: dict[str, Any]) -> SigningKey:
    ends_at = found["ends_at"]
    key = ECKey.import_key(found["jwk"])
    return SigningKey(key, float(found["signs_from"]), None if ends_at is None else float(ends_at))


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns


def _make(path: Path) -> None:
    """Write a fresh file whole, under its name only when complete; the first of many wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content: dict[str, Any] = {
        name: [{"jwk": _fresh(), "signs_from": 0, "ends_at": None}] for name in LINES
    }
    content["pepper"] = base64.b64encode(secrets.token_bytes(_PEPPER_BYTES)).decode()
    partial = _written(path, content)
    try:
        os.link(partial, path)
    except FileExistsError:
        return
    finally:
        partial.unlink()


@contextmanager
def _changing(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the file's content; what became of it replaces the file whole, one writer at a time."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        content = orjson.loads(path.read_bytes())
        yield content
        _written(path, content).replace(path)
        os.fsync(folder)
    finally:
        os.close(folder)


def _written(path: Path, content: dict[str, Any]) -> Path:
    partial = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(orjson.dumps(content))
        out.flush()
        os.fsync(out.fileno())
    return partial


def _fresh() -> dict[str, Any]:
    key = ECKey.generate_key("P-256", auto_kid=True)
    return dict(key.as_dict(private=True))
