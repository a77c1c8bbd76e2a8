"""The object store: buckets and objects as rows, bytes as blobs. What a request may do with them is the S3 service's matter.

A write is acknowledged when its blob is on the disk and its row committed; small blobs are committed with their rows. The
row is the truth: a blob without one is swept, never the other way round. Thread safe, and safe for several processes on
one folder and database.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
from sqlalchemy import delete, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.events.outbox import Outbox
from kenja.kernel.objects import blobs as files
from kenja.kernel.objects import listing, rows, small, versions
from kenja.kernel.objects.blobs import PIECE, Blobs, Readable, copy, link_or_copy, write
from kenja.kernel.objects.documents import Documents
from kenja.kernel.objects.errors import BucketExists, BucketNotEmpty, NoSuchBucket, Refusal, TooManyBuckets
from kenja.kernel.objects.records import PLAIN, Announce, Attributes, BucketInfo, Checksum, ObjectInfo, Removal, Removed
from kenja.kernel.objects.small import SmallDraft
from kenja.kernel.objects.sweeping import Sweeper
from kenja.kernel.objects.tables import BUCKET, DOCUMENT, METADATA, OBJECT, OUTBOX, PART, RELEASED, UPLOAD, VERSION
from kenja.kernel.objects.uploads import Uploads

Condition = Callable[[ObjectInfo | None], None]
"""Is given the present object inside the transaction that replaces or deletes it; raises a Refusal to stop that."""

Draft = files.Draft | SmallDraft
"""Bytes that no row names yet."""

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
    def documents(self) -> Documents:
        """Configurations of buckets."""
        return Documents(self._database)

    @cached_property
    def outbox(self) -> Outbox:
        """Events of objects that are still to be delivered."""
        return Outbox(self._database, self._clock, OUTBOX)

    @cached_property
    def sweeper(self) -> Sweeper:
        """Removes files that nothing needs."""
        return Sweeper(self._database, self._blobs, self._clock)

    # -- buckets

    def changing(self) -> AbstractContextManager[Any]:
        """Several changes of buckets and their documents as one: all of them or none."""
        return self._database.transaction()

    def create_bucket(
        self, account: str, region: str, name: str, *, settings: Mapping[str, Any] | None = None, most: int = 0
    ) -> BucketInfo:
        """Make a bucket. Raises BucketExists (names are unique over all accounts and regions) and TooManyBuckets.

        An account may have `most` buckets; 0 is no limit.
        """
        info = BucketInfo(name, account, region, float(int(self._clock.virtual())), settings=settings or {})
        text = orjson.dumps(dict(info.settings)).decode()
        values = {"name": name, "account": account, "region": region, "created": info.created, "settings": text}
        count = select(func.count()).select_from(BUCKET).where(BUCKET.c.account == account)
        try:
            with self._database.transaction() as connection:
                owner = connection.execute(select(BUCKET.c.account).where(BUCKET.c.name == name)).scalar()
                if owner is not None:
                    raise BucketExists(name, mine=owner == account)
                if most and connection.execute(count).scalar_one() >= most:
                    raise TooManyBuckets(most)
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
        return [rows.bucket_info(row, account, row.name) for row in found]

    def configure(self, account: str, name: str, change: Callable[[BucketInfo], BucketInfo]) -> BucketInfo:
        """Change the versioning and the settings of a bucket, atomically. Raises what `change` raises."""
        with self._database.transaction() as connection:
            rows.lock(connection, name, "")  # the empty key, which no object has, stands for the bucket
            info = change(rows.bucket(connection, account, name))
            text = orjson.dumps(dict(info.settings)).decode()
            query = update(BUCKET).where(BUCKET.c.name == name)
            connection.execute(query.values(versioning=info.versioning, settings=text))
        return info

    def delete_bucket(self, account: str, name: str) -> None:
        """Remove a bucket and its unfinished uploads. Raises BucketNotEmpty while it has objects or versions."""
        try:
            with self._database.transaction() as connection:
                rows.bucket(connection, account, name)
                for table in (OBJECT, VERSION):
                    if connection.execute(select(table.c.key).where(table.c.bucket == name).limit(1)).first():
                        raise BucketNotEmpty(name)
                blobs = connection.execute(select(PART.c.blob).where(PART.c.bucket == name)).scalars().all()
                rows.release(connection, list(blobs), self._clock.wall())
                connection.execute(delete(PART).where(PART.c.bucket == name))
                connection.execute(delete(UPLOAD).where(UPLOAD.c.bucket == name))
                connection.execute(delete(DOCUMENT).where(DOCUMENT.c.bucket == name))
                connection.execute(delete(BUCKET).where(BUCKET.c.name == name))
        except IntegrityError:  # an object came in meanwhile
            raise BucketNotEmpty(name) from None

    # -- objects

    def receive(self, body: bytes | Readable, algorithms: Iterable[str] = ()) -> Draft:
        """A draft of an object's bytes with its MD5 and the other digests asked for; use it in a `with` block.

        Small ones go into the database, see `small`; else as `receive_file`.
        """
        wanted = {_MD5, *algorithms}
        if isinstance(body, bytes):
            return SmallDraft(body, wanted) if len(body) <= small.LIMIT else self._blobs.write(body, wanted)
        if getattr(body, "path", None) is None and 0 <= getattr(body, "size", -1) <= small.LIMIT:
            brought = _brought(body)
            draft = SmallDraft(body.read(), wanted - brought.keys())
            draft.digests = {**brought, **draft.digests}
            return draft
        return self.receive_file(body, algorithms)

    def receive_file(self, body: bytes | Readable, algorithms: Iterable[str] = ()) -> files.Draft:
        """The same in a file, however small: parts of uploads are joined as files.

        A body with a `path` in `incoming_folder` is taken over: its file is moved, not copied. Digests that it brings
        (`digests`, hexadecimal by lower-case name) are not computed again.
        """
        wanted = {_MD5, *algorithms}
        if isinstance(body, bytes):
            return self._blobs.write(body, wanted)
        brought = _brought(body)
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
        missing = wanted - known.keys()
        is_small = small.is_small(source.blob)
        draft = SmallDraft(self.read(source), missing) if is_small else self._blobs.again(source.blob, missing)
        draft.digests = {**known, **draft.digests}
        return draft

    def excerpt(self, source: ObjectInfo, offset: int, length: int, algorithms: Iterable[str] = ()) -> files.Draft:
        """A draft of a range of an object in a file, with its MD5 and the other digests asked for."""
        if small.is_small(source.blob):
            return self.receive_file(self.read(source, offset, length), algorithms)
        return self._blobs.excerpt(source.blob, offset, length, {_MD5, *algorithms})

    def put(  # noqa: PLR0913 - each says something else of the one write
        self,
        account: str,
        bucket: str,
        key: str,
        draft: Draft,
        attributes: Attributes = PLAIN,
        *,
        checksum: Checksum | None = None,
        condition: Condition | None = None,
        announce: Announce | None = None,
    ) -> ObjectInfo:
        """Make a draft the object of a key, atomically; durable when it returns.

        The entity tag is the MD5 of the bytes. Raises NoSuchBucket, ForeignBucket and what `condition` raises.
        """
        etag = draft.digests[_MD5].hex()
        now = float(int(self._clock.virtual()))
        info = ObjectInfo(bucket, key, draft.blob, draft.size, etag, now, attributes, checksum)
        draft.place()
        try:
            with self._database.transaction() as connection:
                rows.lock(connection, bucket, key)
                found = rows.look(connection, account, bucket, key)
                if condition is not None:
                    condition(found.object)
                if isinstance(draft, SmallDraft):
                    draft.record(connection)
                info = versions.write(connection, found, info, self._clock, announce)
        except IntegrityError:  # the bucket went away meanwhile
            raise NoSuchBucket(bucket) from None
        draft.keep()
        return info

    def head(self, account: str, bucket: str, key: str, version: str | None = None) -> ObjectInfo:
        """The description of the object or of one version.

        Raises NoSuchBucket, ForeignBucket, NoSuchKey, NoSuchVersion and IsDeleteMarker.
        """
        with self._database.reading() as connection:
            return versions.find(connection, rows.look(connection, account, bucket, key), key, version)

    def amend(
        self, account: str, bucket: str, key: str, version: str | None, change: Callable[[ObjectInfo], Attributes]
    ) -> ObjectInfo:
        """Give an object or one version other attributes, atomically; bytes and dates stay. Raises as `head` does."""
        with self._database.transaction() as connection:
            rows.lock(connection, bucket, key)
            found = rows.look(connection, account, bucket, key)
            info = versions.find(connection, found, key, version)
            info = replace(info, attributes=change(info))
            versions.amend(connection, found, info)
        return info

    def path(self, info: ObjectInfo) -> Path:
        """The file with the object's bytes: never write to it. It stays for RELEASE_GRACE after an overwrite or delete."""
        path = self._blobs.path(info.blob)
        if small.is_small(info.blob) and not path.exists():
            self._blobs.materialise(info.blob, self.read(info))
        return path

    def read(self, info: ObjectInfo, offset: int = 0, length: int = -1) -> bytes:
        """Bytes of the object: for small ones; large ones are sent from `path`."""
        if small.is_small(info.blob):
            with self._database.reading() as connection:
                data = small.read(connection, info.blob)
            return data[offset:] if length < 0 else data[offset : offset + length]
        descriptor = os.open(self._blobs.name(info.blob), os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, info.size - offset if length < 0 else length, offset)
        finally:
            os.close(descriptor)

    def delete(self, account: str, bucket: str, removal: Removal, announce: Announce | None = None) -> Removed:
        """Remove an object, or one version for ever; none is no error. Raises what the condition raises."""
        (outcome,) = self.delete_many(account, bucket, [removal], announce)
        if isinstance(outcome, Refusal):
            raise outcome
        return outcome

    def delete_many(
        self, account: str, bucket: str, removals: Sequence[Removal], announce: Announce | None = None
    ) -> list[Removed | Refusal]:
        """Remove objects and versions in one transaction; for each what was done, or what its condition raised."""
        outcome: dict[int, Removed | Refusal] = {}
        with self._database.transaction() as connection:
            rows.bucket(connection, account, bucket)
            # one order for all, so that two calls do not wait for each other
            for place in sorted(range(len(removals)), key=lambda number: removals[number].key):
                removal = removals[place]
                rows.lock(connection, bucket, removal.key)
                found = rows.look(connection, account, bucket, removal.key)
                try:
                    outcome[place] = versions.remove(connection, found, removal, self._clock, announce)
                except Refusal as refusal:
                    outcome[place] = refusal
        return [outcome[place] for place in range(len(removals))]

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
                return rows.listed(connection, bucket, lower, end, most)

            mark = None if after is None else after.encode()
            return listing.page(fetch, prefix=prefix.encode(), delimiter=delimiter.encode(), after=mark, limit=limit)

    def list_versions(
        self,
        account: str,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str | None = None,
        after_version: str = "",
        limit: int = 1000,
    ) -> listing.Page[versions.VersionRow]:
        """One page of a bucket's versions and delete markers: keys in UTF-8 order, the newest of a key first.

        `after_version` is the id of a version of the key `after` and lets the page begin within that key.
        """
        with self._database.reading() as connection:
            rows.bucket(connection, account, bucket)
            rank = None
            if after is not None and after_version:
                found = rows.look(connection, account, bucket, after)
                rank = versions.rank_of(connection, found, after, after_version)

            def fetch(lower: bytes, mark: str, end: bytes | None, most: int) -> Sequence[versions.VersionRow]:
                return versions.fetch(connection, bucket, lower, mark, end, most)

            return listing.page(
                fetch,
                prefix=prefix.encode(),
                delimiter=delimiter.encode(),
                after=None if after is None else after.encode(),
                limit=limit,
                after_id="" if rank is None else str(rank),
            )

    # -- jobs

    def link(self, account: str, bucket: str, key: str, destination: Path, *, own_bytes: bool = False) -> ObjectInfo:
        """Give an object's bytes a name elsewhere in the file system, read-only: a hard link, or a copy of small ones.

        Whoever may write there as the owner of the file must be given `own_bytes`: a link shares them with the store.
        """
        info = self.head(account, bucket, key)
        if small.is_small(info.blob):
            write(self.read(info), destination)
        else:
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
            for table in (OBJECT, VERSION, PART):
                blobs = select(table.c.blob, at).where(table.c.bucket.in_(mine), table.c.blob != "")
                connection.execute(insert(RELEASED).from_select(["blob", "at"], blobs))
            for table in (OBJECT, VERSION, PART, UPLOAD, DOCUMENT):
                connection.execute(delete(table).where(table.c.bucket.in_(mine)))
            connection.execute(delete(BUCKET).where(BUCKET.c.account == account))

    def close(self) -> None:
        """Release the database."""
        self._database.close()


def _brought(body: object) -> dict[str, bytes]:
    """Digests that were computed while a body came in."""
    return {name.upper(): bytes.fromhex(value) for name, value in getattr(body, "digests", {}).items()}
