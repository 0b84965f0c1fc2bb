"""The SQL that a service's database is asked within a block, on both of its pools."""

import contextlib
import re

from sqlalchemy import event

_BESIDE = re.compile(r"^SELECT set_config\('careloop\.|FROM (sharing_policy|watermark)\b")


@contextlib.contextmanager
def collected(db, *, partner=True):
    """Collect the statements; `partner` False: only those that no seat-belt holds.

    None of the statements of a request: which organisation a connection is told, and what a process
    asks now and then for all of its requests.
    """
    seen = []

    def note(_connection, _cursor, statement, *_):
        if not _BESIDE.search(statement):
            seen.append(statement)

    engines = [each.sync_engine for each in (db.engine, db.partner if partner else None) if each]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
