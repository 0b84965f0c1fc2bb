"""The SQL that a service's database is asked within a block, on both of its pools."""

import contextlib

from sqlalchemy import event


@contextlib.contextmanager
def collected(db, *, partner=True):
    """Collect the statements; `partner` False: only those that no seat-belt holds.

    Which organisation a connection is told is none of the statements of a request.
    """
    seen = []

    def note(_connection, _cursor, statement, *_):
        if not statement.startswith("SELECT set_config('careloop."):
            seen.append(statement)

    engines = [each.sync_engine for each in (db.engine, db.partner if partner else None) if each]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
