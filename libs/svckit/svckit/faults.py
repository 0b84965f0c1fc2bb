"""Which failures may pass by themselves, and which will meet the same record again and again."""

from asyncpg.exceptions import InterfaceError as DriverInterfaceError
from asyncpg.exceptions import InternalClientError, PostgresConnectionError, PostgresError
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from svckit.errors import TooManyRequests, Unavailable
from svckit.eventlog import LogError

# What a database that is away, or ends a session, makes its drivers raise. A server that dies while
# it greets makes asyncpg take the rest of its words for an error of its own: InternalClientError.
DRIVER_AWAY = (OSError, PostgresError, DriverInterfaceError, InternalClientError)
AWAY = (SQLAlchemyError, *DRIVER_AWAY)
PASSING = (
    OSError,  # with ConnectionError and TimeoutError
    Unavailable,
    TooManyRequests,
    LogError,
    PoolTimeout,
    DisconnectionError,
    InterfaceError,
    DriverInterfaceError,
    InternalClientError,
    PostgresConnectionError,
)
# SQLSTATE classes: connection, transaction rollback (deadlock, serialisation), resources,
# operator's intervention, object in use (lock timeout), system error.
_PASSING_STATES = ("08", "40", "53", "55", "57", "58")
# What an older schema answers while a deployment is under way: waiting beats parking.
_MISSING_STATES = ("42P01", "42703")


def is_transient(error: BaseException) -> bool:
    """Tell whether waiting may help; anything else would fail the same way again."""
    if isinstance(error, PASSING):
        return True
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        state = str(getattr(error.orig, "sqlstate", None) or "")
        return state.startswith(_PASSING_STATES) or state in _MISSING_STATES
    return False
