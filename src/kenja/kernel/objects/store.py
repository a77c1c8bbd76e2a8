"""The object store: buckets and objects as rows, bytes as blobs. What a request may do with them is the S3 service's matter.

A write is acknowledged when its blob is on the disk and its row committed. The row is the truth: a blob without one is
swept, never the other way round. Thread safe, and safe for several processes on one folder and database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, delete, insert, literal, select
from sqlalchemy.exc import IntegrityError

from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.objects import listing, rows
from kenja.kernel.objects.blobs import PIECE, Blobs, Draft, Readable, copy, link_or_copy
from kenja.kernel.objects.errors import BucketExists, BucketNotEmpty, NoSuchBucket, NoSuchKey, Refusal
from kenja.kernel.objects.records import PLAIN, Attributes, BucketInfo, Checksum, ObjectInfo
from kenja.kernel.objects.sweeping import Sweeper
from kenja.kernel.objects.tables import BUCKET, METADATA, OBJECT, PART, RELEASED, UPLOAD
from kenja.kernel.objects.uploads import Uploads

Condition = Callable[[ObjectInfo | None], None]
"""Is given the present object inside the transaction that replaces or deletes it; raises a Refusal to stop that."""

_MD5 = "MD5"


class ObjectStore:
    """Buckets, objects and their bytes. Every call names the account on whose behalf it is made."""

    def __init__(self, folder: Path, database_url: str, clock: Clock) -> None:
        self._clock = clock
        self._blobs = Blobs(folder)
        self._database = Database(database_url, METADATA, "kenja.kernel.objects.migrations")
        self.incoming_folder = self._blobs.incoming
        """Complete files here can be taken over without a copy: see `receive`."""

    @cached_property
    def uploads(self) -> Uploads:
        """Multipart uploads."""
        return Uploads(self._database, self._blobs, self._clock)

    @cached_property
    def sweeper(self) -> Sweeper:
        """Removes files that nothing needs."""
        return Sweeper(self._database, self._blobs, self._clock)

    # -- buckets

    def create_bucket(self, account: str, region: str, name: str) -> BucketInfo:
        """Make a bucket. Raises BucketExists: names are unique over all accounts and regions."""
        info = BucketInfo(name, account, region, float(int(self._clock.virtual())))
        values = {"name": name, "account": account, "region": region, "created": info.created}
        try:
            with self._database.transaction() as connection:
                owner = connection.execute(select(BUCKET.c.account).where(BUCKET.c.name == name)).scalar()
                if owner is not None:
                    raise BucketExists(name, mine=owner == account)
                connection.execute(insert(BUCKET), values)
        except IntegrityError:  # another process was faster
            with self._database.reading() as connection:
                owner = connection.execute(select(BUCKET.c.account).where(BUCKET.c.name == name)).scalar()
            raise BucketExists(name, mine=owner == account) from None
        return info

    def bucket(self, account: str, name: str) -> BucketInfo:
        """The bucket. Raises NoSuchBucket and ForeignBucket."""
        with self._database.reading() as connection:
            return rows.bucket(connection, account, name)

    def buckets(
        self, account: str, *, after: str = "", prefix: str = "", region: str | None = None, limit: int = 10_000
    ) -> list[BucketInfo]:
        """The account's buckets by name, from the first after `after`."""
        query = select(BUCKET).where(BUCKET.c.account == account, BUCKET.c.name > after)
        if prefix:
            query = query.where(BUCKET.c.name.startswith(prefix, autoescape=True))
        if region is not None:
            query = query.where(BUCKET.c.region == region)
        with self._database.reading() as connection:
            found = connection.execute(query.order_by(BUCKET.c.name).limit(limit)).all()
        return [BucketInfo(row.name, row.account, row.region, row.created) for row in found]

    def delete_bucket(self, account: str, name: str) -> None:
        """Remove a bucket and its unfinished uploads. Raises BucketNotEmpty while it has objects."""
        try:
            with self._database.transaction() as connection:
                rows.bucket(connection, account, name)
                if connection.execute(select(OBJECT.c.key).where(OBJECT.c.bucket == name).limit(1)).first() is not None:
                    raise BucketNotEmpty(name)
                blobs = connection.execute(select(PART.c.blob).where(PART.c.bucket == name)).scalars().all()
                rows.release(connection, list(blobs), self._clock.wall())
                connection.execute(delete(PART).where(PART.c.bucket == name))
                connection.execute(delete(UPLOAD).where(UPLOAD.c.bucket == name))
                connection.execute(delete(BUCKET).where(BUCKET.c.name == name))
        except IntegrityError:  # an object came in meanwhile
            raise BucketNotEmpty(name) from None

    # -- objects

    def receive(self, body: bytes | Readable, algorithms: Iterable[str] = ()) -> Draft:
        """A draft of a body's bytes with its MD5 and the other digests asked for; use it in a `with` block.

        A body with a `path` in `incoming_folder` is taken over: its file is moved, not copied. Digests that it brings
        (`digests`, hexadecimal by lower-case name) are not computed again.
        """
        wanted = {_MD5, *algorithms}
        if isinstance(body, bytes):
            return self._blobs.write(body, wanted)
        brought = {name.upper(): bytes.fromhex(value) for name, value in getattr(body, "digests", {}).items()}
        missing = wanted - brought.keys()
        path: Path | None = getattr(body, "path", None)
        if path is not None and path.parent == self.incoming_folder:
            draft = self._blobs.adopt(path, missing)
        elif path is None and 0 <= getattr(body, "size", -1) <= PIECE:
            draft = self._blobs.write(body.read(), missing)
        else:
            draft = self._blobs.receive(body, missing)
        draft.digests = {**brought, **draft.digests}
        return draft

    def copy(self, source: ObjectInfo, algorithms: Iterable[str] = ()) -> Draft:
        """A draft with the bytes of an object, without copying them, with its MD5 and the other digests asked for."""
        wanted = {_MD5, *algorithms}
        known = {} if source.part_sizes else {_MD5: bytes.fromhex(source.etag)}
        draft = self._blobs.again(source.blob, wanted - known.keys())
        draft.digests = {**known, **draft.digests}
        return draft

    def excerpt(self, source: ObjectInfo, offset: int, length: int, algorithms: Iterable[str] = ()) -> Draft:
        """A draft of a range of an object, with its MD5 and the other digests asked for."""
        return self._blobs.excerpt(source.blob, offset, length, {_MD5, *algorithms})

    def put(
        self,
        account: str,
        bucket: str,
        key: str,
        draft: Draft,
        attributes: Attributes = PLAIN,
        *,
        checksum: Checksum | None = None,
        condition: Condition | None = None,
    ) -> ObjectInfo:
        """Make a draft the object of a key, atomically; durable when it returns.

        The entity tag is the MD5 of the bytes. Raises NoSuchBucket, ForeignBucket and what
        `condition` raises.
        """
        etag = draft.digests[_MD5].hex()
        now = float(int(self._clock.virtual()))
        info = ObjectInfo(bucket, key, draft.blob, draft.size, etag, now, attributes, checksum)
        draft.place()
        try:
            with self._database.transaction() as connection:
                rows.lock(connection, bucket, key)
                present = rows.look(connection, account, bucket, key)
                if condition is not None:
                    condition(present)
                rows.write(connection, info, present, self._clock.wall())
        except IntegrityError:  # the bucket went away meanwhile
            raise NoSuchBucket(bucket) from None
        draft.keep()
        return info

    def head(self, account: str, bucket: str, key: str) -> ObjectInfo:
        """The object's description. Raises NoSuchBucket, ForeignBucket and NoSuchKey."""
        with self._database.reading() as connection:
            info = rows.look(connection, account, bucket, key)
        if info is None:
            raise NoSuchKey(key)
        return info

    def path(self, info: ObjectInfo) -> Path:
        """The file with the object's bytes: never write to it. It stays for RELEASE_GRACE after an overwrite or delete."""
        return self._blobs.path(info.blob)

    def read(self, info: ObjectInfo, offset: int = 0, length: int = -1) -> bytes:
        """Bytes of the object: for small ones; large ones are sent from `path`."""
        descriptor = os.open(self.path(info), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, info.size - offset if length < 0 else length, offset)
        finally:
            os.close(descriptor)

    def delete(self, account: str, bucket: str, key: str, condition: Condition | None = None) -> bool:
        """Remove an object; False when there was none. Raises what `condition` raises."""
        outcome = self.delete_many(account, bucket, {key: condition})[key]
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    def delete_many(self, account: str, bucket: str, keys: Mapping[str, Condition | None]) -> dict[str, bool | Refusal]:
        """Remove objects in one transaction; per key whether there was one, or what its condition raised."""
        outcome: dict[str, bool | Refusal] = {}
        released = []
        with self._database.transaction() as connection:
            rows.bucket(connection, account, bucket)
            for key in sorted(keys):  # one order for all, so that two calls do not wait for each other
                rows.lock(connection, bucket, key)
                present = rows.look(connection, account, bucket, key)
                condition = keys[key]
                try:
                    if condition is not None:
                        condition(present)
                except Refusal as refusal:
                    outcome[key] = refusal
                    continue
                outcome[key] = present is not None
                if present is not None:
                    connection.execute(_DELETE, {"of_bucket": bucket, "of_key": key.encode()})
                    released.append(present.blob)
            rows.release(connection, released, self._clock.wall())
        return outcome

    def list(
        self,
        account: str,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str | None = None,
        limit: int = 1000,
    ) -> listing.Page[Any]:
        """One page of a bucket, keys in UTF-8 order; rows are LISTED columns, keys as bytes."""
        with self._database.reading() as connection:
            rows.bucket(connection, account, bucket)

            def fetch(lower: bytes, _id: str, end: bytes | None, most: int) -> Sequence[Any]:
                values = {"of_bucket": bucket, "lower": lower, "end": end, "most": most}
                return connection.execute(_RANGE if end is None else _RANGE_TO, values).all()

            mark = None if after is None else after.encode()
            return listing.page(fetch, prefix=prefix.encode(), delimiter=delimiter.encode(), after=mark, limit=limit)

    # -- jobs

    def link(self, account: str, bucket: str, key: str, destination: Path, *, own_bytes: bool = False) -> ObjectInfo:
        """Give an object's bytes another name in the file system, as a hard link where possible; read-only.

        Whoever may write there as the owner of the file must be given `own_bytes`: a link shares them with the store.
        """
        info = self.head(account, bucket, key)
        (copy if own_bytes else link_or_copy)(self.path(info), destination)
        return info

    # -- upkeep

    def tend(self) -> None:
        """Remove a few of the files that nothing needs any more; for a loop that turns every second or so."""
        self.sweeper.tend()

    def empty(self, account: str) -> None:
        """Remove every bucket of an account with all that is in it."""
        mine = select(BUCKET.c.name).where(BUCKET.c.account == account)
        at = literal(self._clock.wall())
        with self._database.transaction() as connection:
            for table in (OBJECT, PART):
                blobs = select(table.c.blob, at).where(table.c.bucket.in_(mine))
                connection.execute(insert(RELEASED).from_select(["blob", "at"], blobs))
            for table in (OBJECT, PART, UPLOAD):
                connection.execute(delete(table).where(table.c.bucket.in_(mine)))
            connection.execute(delete(BUCKET).where(BUCKET.c.account == account))

    def close(self) -> None:
        """Release the database."""
        self._database.close()


_DELETE = delete(OBJECT).where(OBJECT.c.bucket == bindparam("of_bucket"), OBJECT.c.key == bindparam("of_key"))
_RANGE = (
    select(*rows.LISTED)
    .where(OBJECT.c.bucket == bindparam("of_bucket"), OBJECT.c.key >= bindparam("lower"))
    .order_by(OBJECT.c.key)
    .limit(bindparam("most"))
)
_RANGE_TO = _RANGE.where(OBJECT.c.key < bindparam("end"))
