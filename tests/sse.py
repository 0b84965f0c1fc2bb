"""A reader of server-sent events, written from WHATWG HTML s9.2.6."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Reader:
    """Takes line after line; `last_id` is what a browser would send as Last-Event-ID."""

    last_id: str = ""
    items: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    retry_ms: int | None = None
    _id: str = ""
    _data: list[str] = field(default_factory=list)

    def take(self, line: str) -> None:
        """Take one line without its end; an empty one ends a block."""
        if not line:
            self._dispatch()
            return
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not name:
            self.comments.append(value)
        elif name == "id":
            self._id = value
        elif name == "data":
            self._data.append(value)
        elif name == "retry":
            self.retry_ms = int(value)
        else:
            raise AssertionError(f"a field that nobody knows: {name}")

    def _dispatch(self) -> None:
        self.last_id = self._id or self.last_id
        if self._data:
            self.items.append(json.loads("\n".join(self._data)))
            self.ids.append(self.last_id)
        self._data = []

    def headers(self) -> dict[str, str]:
        """Return what a reader that connects again sends."""
        accept = {"Accept": "text/event-stream"}
        return accept | ({"Last-Event-ID": self.last_id} if self.last_id else {})
