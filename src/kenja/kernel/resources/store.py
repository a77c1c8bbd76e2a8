"""Where resources live: one row each, a JSON document with indexed columns, changed only by compare-and-set.

SQLite and PostgreSQL behave alike here; the same contract tests run on both. Thread safe.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.resources import documents, pages
from kenja.kernel.resources.pages import Query
from kenja.kernel.resources.tables import IDEMPOTENCY, METADATA, RESOURCE, SECRET, TAG

__all__ = ["AlreadyExists", "Query", "Record", "Scan", "Scope", "Store"]


TOKEN_LIFE = 24 * 60 * 60  # seconds; Amazon EC2 API, "Ensuring idempotency": 24 hours, where a service names no other


class AlreadyExists(Exception):  # noqa: N818 - reads as what happened
    """A resource of this kind already has this name in this account and region."""


class Scope(NamedTuple):
    """The world that a resource belongs to; global resources have an empty region, partition-wide ones no account."""

    account: str
    region: str


@dataclass(frozen=True, slots=True)
class Record:
    """One stored resource. `body` is the document; changing it changes nothing in the store."""

    scope: Scope
    kind: str  # "service:Kind", e.g. "sagemaker:TrainingJob"
    name: str
    arn: str
    status: str | None
    body: dict[str, Any]
    created: float = 0.0  # seconds since the epoch, virtual clock
    modified: float = 0.0  # seconds since the epoch, virtual clock
    version: int = 1
    id: int = 0  # rises with every insert; ties of a listing are broken by it


class Scan(NamedTuple):
    """What was found, and the (sort value, id) behind which to go on when not everything was looked at."""

    records: list[Record]
    reached: tuple[Any, int] | None


class Store:
    """All resources of all accounts and regions, their tags, and the few secrets of the platform itself."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.database = Database(url, METADATA, "kenja.kernel.resources.migrations")
        self._clock = clock

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything that is written inside the block, jobs and events included, is kept whole or not at all."""
        with self.database.transaction():
            yield

    def insert(self, record: Record, tags: Mapping[str, str] | None = None) -> Record:
        """Store a new resource. Raises AlreadyExists when its kind has this name already."""
        now = self._clock.virtual()
        try:
            with self.database.transaction() as connection:
                if connection.execute(_FIND, _key(record)).first() is not None:
                    raise AlreadyExists(record.name)
                row = connection.execute(
                    insert(RESOURCE).returning(RESOURCE.c.id),
                    {
                        **_key(record),
                        "arn": record.arn,
                        "status": record.status,
                        "created": now,
                        "modified": now,
                        "version": 1,
                        "body": documents.dumps(record.body),
                    },
                ).one()
                if tags:
                    connection.execute(
                        insert(TAG), [{"arn": record.arn, "key": k, "value": v} for k, v in tags.items()]
                    )
        except IntegrityError as error:  # another process was faster
            raise AlreadyExists(record.name) from error
        return Record(
            record.scope, record.kind, record.name, record.arn, record.status, record.body, now, now, 1, row.id
        )

    def get(self, scope: Scope, kind: str, name: str) -> Record | None:
        """The resource of this name, or None."""
        key = {"account": scope.account, "region": scope.region, "kind": kind, "name": name}
        with self.database.reading() as connection:
            row = connection.execute(_GET, key).first()
        return None if row is None else _record(row)

    def by_arn(self, arn: str, kind: str | None = None) -> Record | None:
        """The resource with this ARN (of this kind, where several kinds could share it), or None."""
        query = select(*pages.COLUMNS).where(RESOURCE.c.arn == arn)
        if kind is not None:
            query = query.where(RESOURCE.c.kind == kind)
        with self.database.reading() as connection:
            row = connection.execute(query.limit(1)).first()
        return None if row is None else _record(row)

    def change(
        self,
        record: Record,
        *,
        status: str | None = None,
        sources: frozenset[str] | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> Record | None:
        """Compare and set: move to `status` and merge `members` into the body if nobody changed it since `record` was read.

        With `sources`, the present status only has to be one of them, whatever the version: the move of a state
        machine. A member set to None is removed. Returns the changed record, or None when the comparison failed.
        """
        with self.database.transaction() as connection:
            row = connection.execute(_LOCK if not self.database.is_sqlite else _GET, _key(record)).first()
            if row is None or row.id != record.id:
                return None
            if row.status not in sources if sources is not None else row.version != record.version:
                return None
            body = documents.loads(row.body)
            for name, value in (members or {}).items():
                if value is None:
                    body.pop(name, None)
                else:
                    body[name] = value
            now = self._clock.virtual()
            new_status = row.status if status is None else status
            connection.execute(
                _UPDATE,
                {
                    "row": row.id,
                    "status": new_status,
                    "modified": now,
                    "version": row.version + 1,
                    "body": documents.dumps(body),
                },
            )
        return Record(
            record.scope, row.kind, row.name, row.arn, new_status, body, row.created, now, row.version + 1, row.id
        )

    def delete(self, record: Record) -> bool:
        """Remove a resource and its tags; False when it was gone already."""
        with self.database.transaction() as connection:
            gone = connection.execute(delete(RESOURCE).where(RESOURCE.c.id == record.id)).rowcount
            connection.execute(delete(TAG).where(TAG.c.arn == record.arn))
        return bool(gone)

    def page(self, query: Query) -> list[Record]:
        """At most `query.limit` records in order; time does not grow with the number of pages before."""
        rows: list[Any] = []
        with self.database.reading() as connection:
            for stretch in pages.stretches(query):
                rows += connection.execute(pages.whole(query, stretch, query.limit - len(rows))).all()
        return [_record(row) for row in rows]

    def scan(self, query: Query) -> Scan:
        """Like `page`, but looks at no more than `pages.WINDOWS` records, whatever the filters leave of them.

        Its time grows neither with the pages before nor with the number of records that no index leads around.
        """
        found: list[Record] = []
        for window in pages.WINDOWS:
            rows, reached = self._window(query, query.limit - len(found), window)
            found += rows
            if reached is None or len(found) == query.limit:
                return Scan(found, None)
            query = replace(query, after=reached)
        return Scan(found, reached)

    def _window(self, query: Query, limit: int, window: int) -> Scan:
        rows: list[Any] = []
        with self.database.reading() as connection:
            for stretch in pages.stretches(query):
                rows += connection.execute(pages.windowed(query, stretch, limit - len(rows), window)).all()
                if len(rows) == limit:
                    break
                if pages.has_window(query):
                    last = connection.execute(pages.end(query, stretch, window)).first()
                    if last is not None:
                        return Scan([_record(row) for row in rows], (last.value, last.id))
        return Scan([_record(row) for row in rows], None)

    def count(self, scope: Scope, kind: str, statuses: Sequence[str] | None = None) -> int:
        """How many resources of a kind there are (in one of `statuses`)."""
        query = select(func.count()).select_from(RESOURCE).where(*_in_scope(scope, kind))
        if statuses is not None:
            query = query.where(RESOURCE.c.status.in_(statuses))
        with self.database.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def everywhere(self, kind: str, statuses: Sequence[str] | None = None) -> list[Record]:
        """All resources of a kind in every account and region: for the platform's own loops, never for a caller."""
        query = select(*pages.COLUMNS).where(RESOURCE.c.kind == kind).order_by(RESOURCE.c.id)
        if statuses is not None:
            query = query.where(RESOURCE.c.status.in_(statuses))
        with self.database.reading() as connection:
            return [_record(row) for row in connection.execute(query)]

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a resource, by key."""
        with self.database.reading() as connection:
            rows = connection.execute(select(TAG.c.key, TAG.c.value).where(TAG.c.arn == arn).order_by(TAG.c.key))
            return {row.key: row.value for row in rows}

    def tag(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags, replacing those with the same keys."""
        if not tags:
            return
        with self.database.transaction() as connection:
            connection.execute(delete(TAG).where(TAG.c.arn == arn, TAG.c.key.in_(list(tags))))
            connection.execute(insert(TAG), [{"arn": arn, "key": k, "value": v} for k, v in tags.items()])

    def untag(self, arn: str, keys: Sequence[str]) -> None:
        """Remove the tags with these keys; keys that are not there are no error, as on AWS."""
        with self.database.transaction() as connection:
            connection.execute(delete(TAG).where(TAG.c.arn == arn, TAG.c.key.in_(list(keys))))

    def secret(self, name: str, fresh: str) -> str:
        """The platform's secret of this name; `fresh` becomes it when there is none yet."""
        query = select(SECRET.c.value).where(SECRET.c.name == name)
        with self.database.reading() as connection:
            present = connection.execute(query).scalar()
        if present is not None:
            return str(present)
        with self.database.transaction() as connection:
            connection.execute(self.database.insert_new(SECRET), {"name": name, "value": fresh})
            return str(connection.execute(query).scalar_one())

    def remembered(self, scope: Scope, operation: str, token: str) -> tuple[str, Any] | None:
        """(digest, answer) of an earlier call with this idempotency token, or None.

        Inside a transaction another call with the token waits here until it ends, as SQLite makes every writer wait.
        """
        query = select(IDEMPOTENCY.c.digest, IDEMPOTENCY.c.answer).where(
            IDEMPOTENCY.c.account == scope.account,
            IDEMPOTENCY.c.region == scope.region,
            IDEMPOTENCY.c.operation == operation,
            IDEMPOTENCY.c.token == token,
        )
        with self.database.reading() as connection:
            if not self.database.is_sqlite:
                key = documents.dumps([*scope, operation, token])
                connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
            row = connection.execute(query).first()
        return None if row is None else (row.digest, documents.loads(row.answer))

    def remember(self, scope: Scope, operation: str, token: str, digest: str, answer: Any) -> None:
        """Keep the answer of a call for `remembered`; belongs into the transaction of the call itself."""
        values = {
            "account": scope.account,
            "region": scope.region,
            "operation": operation,
            "token": token,
            "digest": digest,
            "answer": documents.dumps(answer),
            "at": self._clock.virtual(),
        }
        with self.database.transaction() as connection:
            connection.execute(insert(IDEMPOTENCY), values)

    def forget_tokens(self) -> int:
        """Drop the answers of calls that are older than TOKEN_LIFE by the virtual clock; how many."""
        old = IDEMPOTENCY.c.at < self._clock.virtual() - TOKEN_LIFE
        with self.database.reading() as connection:
            if connection.execute(select(IDEMPOTENCY.c.at).where(old).limit(1)).first() is None:
                return 0
        with self.database.transaction() as connection:
            return connection.execute(delete(IDEMPOTENCY).where(old)).rowcount

    def empty(self, account: str) -> None:
        """Remove every resource and tag of an account; what runs is stopped by its own loop, which finds no row."""
        with self.database.transaction() as connection:
            arns = select(RESOURCE.c.arn).where(RESOURCE.c.account == account)
            connection.execute(delete(TAG).where(TAG.c.arn.in_(arns)))
            connection.execute(delete(RESOURCE).where(RESOURCE.c.account == account))
            connection.execute(delete(IDEMPOTENCY).where(IDEMPOTENCY.c.account == account))

    def close(self) -> None:
        """Release the database."""
        self.database.close()


_BY_KEY = and_(
    RESOURCE.c.account == bindparam("account"),
    RESOURCE.c.region == bindparam("region"),
    RESOURCE.c.kind == bindparam("kind"),
    RESOURCE.c.name == bindparam("name"),
)
_GET = select(*pages.COLUMNS).where(_BY_KEY)
_LOCK = _GET.with_for_update()
_FIND = select(RESOURCE.c.id).where(_BY_KEY)
_UPDATE = (
    update(RESOURCE)
    .where(RESOURCE.c.id == bindparam("row"))
    .values(
        status=bindparam("status"), modified=bindparam("modified"), version=bindparam("version"), body=bindparam("body")
    )
)


def _key(record: Record) -> dict[str, str]:
    return {"account": record.scope.account, "region": record.scope.region, "kind": record.kind, "name": record.name}


def _in_scope(scope: Scope, kind: str) -> list[ColumnElement[bool]]:
    return [RESOURCE.c.account == scope.account, RESOURCE.c.region == scope.region, RESOURCE.c.kind == kind]


def _record(row: Any) -> Record:
    return Record(
        Scope(row.account, row.region), row.kind, row.name, row.arn, row.status, documents.loads(row.body),
        row.created, row.modified, row.version, row.id,
    )  # fmt: skip
