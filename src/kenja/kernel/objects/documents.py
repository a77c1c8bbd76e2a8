"""Configurations of buckets as documents by kind and id. What they say is their service's matter; small ones that every
write has to know are kept in `BucketInfo.settings` instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import and_, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from kenja.kernel.database import Database
from kenja.kernel.objects import rows
from kenja.kernel.objects.errors import NoSuchBucket, TooManyDocuments
from kenja.kernel.objects.records import BucketInfo
from kenja.kernel.objects.tables import BUCKET, DOCUMENT
from kenja.kernel.resources import documents


class Documents:
    """Thread safe. Every call but `seen` names the account whose bucket it must be."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, account: str, bucket: str, kind: str, id: str = "") -> Any | None:
        """One document, or None. Raises NoSuchBucket and ForeignBucket."""
        info, document = self._look(bucket, kind, id)
        return document if rows.bucket_info(info, account, bucket) else None

    def seen(self, bucket: str, kind: str) -> Any | None:
        """One document, whoever asks; None without it or without the bucket."""
        return self._look(bucket, kind, "")[1]

    def put(self, account: str, bucket: str, kind: str, document: Any, *, id: str = "", most: int = 1) -> None:
        """Write a document, of which a bucket may have `most`. Raises NoSuchBucket, ForeignBucket and TooManyDocuments."""
        text = documents.dumps(document)
        here = _is(bucket, kind, id)
        try:
            with self._database.transaction() as connection:
                rows.lock(connection, bucket, "")
                rows.bucket(connection, account, bucket)
                if connection.execute(update(DOCUMENT).where(here).values(document=text)).rowcount:
                    return
                of_kind = select(func.count()).select_from(DOCUMENT).where(
                    DOCUMENT.c.bucket == bucket, DOCUMENT.c.kind == kind
                )  # fmt: skip
                if most > 1 and connection.execute(of_kind).scalar_one() >= most:
                    raise TooManyDocuments(bucket, kind, most)
                values = {"bucket": bucket, "kind": kind, "id": id, "document": text}
                connection.execute(insert(DOCUMENT), values)
        except IntegrityError:  # the bucket went away meanwhile
            raise NoSuchBucket(bucket) from None

    def delete(self, account: str, bucket: str, kind: str, id: str = "") -> bool:
        """Remove a document; False when there was none. Raises NoSuchBucket and ForeignBucket."""
        with self._database.transaction() as connection:
            rows.bucket(connection, account, bucket)
            return bool(connection.execute(delete(DOCUMENT).where(_is(bucket, kind, id))).rowcount)

    def list(self, account: str, bucket: str, kind: str, *, after: str, limit: int) -> list[tuple[str, Any]]:
        """Ids and documents of a kind by id, from the first after `after`. Raises NoSuchBucket and ForeignBucket."""
        query = select(DOCUMENT.c.id, DOCUMENT.c.document).where(
            DOCUMENT.c.bucket == bucket, DOCUMENT.c.kind == kind, DOCUMENT.c.id > after
        )
        with self._database.reading() as connection:
            rows.bucket(connection, account, bucket)
            found: Sequence[Any] = connection.execute(query.order_by(DOCUMENT.c.id).limit(limit)).all()
        return [(row.id, documents.loads(row.document)) for row in found]

    def owned(self, bucket: str) -> BucketInfo | None:
        """A bucket, whoever asks; None when there is none."""
        with self._database.reading() as connection:
            row: Any = connection.execute(select(BUCKET).where(BUCKET.c.name == bucket)).first()
        return None if row is None else rows.bucket_info(row, row.account, bucket)

    def _look(self, bucket: str, kind: str, id: str) -> tuple[Any, Any | None]:
        """The bucket's row, or None, and the document in one statement."""
        here = and_(DOCUMENT.c.bucket == BUCKET.c.name, DOCUMENT.c.kind == kind, DOCUMENT.c.id == id)
        query = select(BUCKET, DOCUMENT.c.document).select_from(BUCKET.outerjoin(DOCUMENT, here))
        with self._database.reading() as connection:
            row: Any = connection.execute(query.where(BUCKET.c.name == bucket)).first()
        return row, None if row is None or row.document is None else documents.loads(row.document)


def _is(bucket: str, kind: str, id: str) -> Any:
    return and_(DOCUMENT.c.bucket == bucket, DOCUMENT.c.kind == kind, DOCUMENT.c.id == id)
