"""What a disk or a database can not do just now, told apart from our own bugs: one sentence with a next step. It mends nothing.

Nothing was acknowledged when one of these is raised, and trying again later may work. Database errors are told by the
numbers that their drivers carry (SQLite's result codes, SQLSTATE), so that no driver is imported here.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

FULL = "The disk of Kenja's data folder is full; free some space and try again. Nothing was changed."
READ_ONLY = (
    "Kenja's data folder can not be written to (read-only file system or permissions); make it writable and try again."
)
BROKEN = "The disk of Kenja's data folder reports an input/output error; look at the system's log before you try again."
BUSY = "Kenja's database is locked by another process for longer than it may wait; try again."
AWAY = "Kenja's database can not be reached; see that it runs and try again."
DAMAGED = "Kenja's database is damaged; stop the server and restore a backup with `kenja restore`."
_BY_ERRNO = {
    errno.ENOSPC: FULL, errno.EDQUOT: FULL, errno.EROFS: READ_ONLY, errno.EACCES: READ_ONLY,
    errno.EIO: BROKEN,
}  # fmt: skip
_BY_SQLITE = {  # primary codes; sqlite.org/rescode.html
    5: BUSY, 6: BUSY, 8: READ_ONLY, 10: BROKEN, 11: DAMAGED, 13: FULL, 14: READ_ONLY, 26: DAMAGED,
}  # fmt: skip
_BY_SQLSTATE = {"08": AWAY, "53100": FULL, "57P": AWAY, "25006": READ_ONLY}  # PostgreSQL manual, appendix A; prefixes


def of(error: BaseException) -> str | None:
    """The sentence for an error that has such a cause; None for every other one."""
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno in _BY_ERRNO:
            return _BY_ERRNO[cause.errno]
        code = getattr(cause, "sqlite_errorcode", None)
        if isinstance(code, int) and code & 0xFF in _BY_SQLITE:
            return _BY_SQLITE[code & 0xFF]
        found = _by_state(cause)
        if found is not None:
            return found
    return None


def _by_state(cause: BaseException) -> str | None:
    """By the SQLSTATE of a psycopg error; a connection that could not be made has none."""
    if not hasattr(cause, "sqlstate"):
        return None
    state = cause.sqlstate
    if state is None:
        return AWAY if type(cause).__name__ == "OperationalError" else None
    return next((sentence for prefix, sentence in _BY_SQLSTATE.items() if str(state).startswith(prefix)), None)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what its driver raised, and what each was raised from."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        cause = waiting.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [getattr(cause, "orig", None), cause.__cause__]
