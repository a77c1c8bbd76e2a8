"""Multipart uploads: begun, filled part by part, completed into one blob or aborted. Parts belong to no object before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, tuple_
from sqlalchemy.exc import IntegrityError

from kenja.core import ids
from kenja.core.clock import Clock
from kenja.kernel.database import Database
from kenja.kernel.objects import checksums, listing, rows, versions
from kenja.kernel.objects.blobs import Blobs, Draft
from kenja.kernel.objects.errors import InvalidPart, NoSuchBucket, NoSuchUpload, PartTooSmall
from kenja.kernel.objects.records import PLAIN, Announce, Attributes, Checksum, ObjectInfo, PartInfo, UploadInfo
from kenja.kernel.objects.tables import PART, UPLOAD

SMALLEST_PART = 5 * 1024 * 1024  # bytes of every part but the last; Amazon S3 multipart upload limits


@dataclass(frozen=True, slots=True)
class Claim:
    """A part as the caller lists it when completing."""

    number: int
    etag: str  # without quotes
    checksum: str = ""  # base64; compared when given


class Uploads:
    """Thread safe. An upload is found by bucket, key and id together."""

    def __init__(self, database: Database, blobs: Blobs, clock: Clock) -> None:
        self._database = database
        self._blobs = blobs
        self._clock = clock

    def create(
        self,
        account: str,
        bucket: str,
        key: str,
        *,
        initiator: str,
        attributes: Attributes = PLAIN,
        checksum: Checksum | None = None,
        implied: bool = False,
    ) -> UploadInfo:
        """Begin an upload. Raises NoSuchBucket and ForeignBucket."""
        now = float(int(self._clock.virtual()))
        info = UploadInfo(bucket, key, ids.token(64), now, initiator, attributes, checksum, implied)
        values = {
            "bucket": bucket,
            "key": key.encode(),
            "id": info.id,
            "initiated": info.initiated,
            "initiator": initiator,
            "storage_class": attributes.storage_class,
            "checksum": rows.checksum_text(checksum) + (rows.IMPLIED if implied else ""),
            "document": rows.attributes_text(attributes),
        }
        try:
            with self._database.transaction() as connection:
                rows.bucket(connection, account, bucket)
                connection.execute(insert(UPLOAD), values)
        except IntegrityError:  # the bucket went away meanwhile
            raise NoSuchBucket(bucket) from None
        return info

    def find(self, account: str, bucket: str, key: str, upload: str) -> UploadInfo:
        """The upload. Raises NoSuchBucket, ForeignBucket and NoSuchUpload."""
        with self._database.reading() as connection:
            rows.bucket(connection, account, bucket)
            return _find(connection, bucket, key, upload)

    def put_part(self, upload: UploadInfo, number: int, draft: Draft, algorithm: str | None = None) -> PartInfo:
        """Make a draft one part of an upload; durable when it returns. The last one of a number counts.

        The part shows its checksum in the upload's algorithm, or in `algorithm` when the upload has none; the draft
        must have that digest and the MD5. Raises NoSuchUpload.
        """
        shown = upload.checksum.algorithm if upload.checksum else algorithm
        value = checksums.encoded(draft.digests, shown) if shown else ""
        own = checksums.encoded(draft.digests, algorithm) if algorithm not in (None, shown) else ""
        etag = draft.digests["MD5"].hex()
        part = PartInfo(number, draft.blob, draft.size, etag, float(int(self._clock.virtual())), value, own)
        values = {"blob": part.blob, "size": part.size, "etag": etag, "modified": part.modified}
        values["checksum"] = f"{value} {own}".rstrip()
        key = {"bucket": upload.bucket, "key": upload.key.encode(), "upload": upload.id, "number": number}
        draft.place()
        try:
            with self._database.transaction() as connection:
                rows.lock(connection, upload.bucket, upload.key)
                _find(connection, upload.bucket, upload.key, upload.id)
                here = _of(upload, PART.c.number == number)
                earlier = connection.execute(select(PART.c.blob).where(here)).scalars().all()
                connection.execute(delete(PART).where(here))
                rows.release(connection, list(earlier), self._clock.wall())
                connection.execute(insert(PART), {**key, **values})
        except IntegrityError:  # aborted or completed meanwhile
            raise NoSuchUpload(upload.id) from None
        draft.keep()
        return part

    def parts(self, upload: UploadInfo, *, after: int = 0, limit: int = 10_000) -> list[PartInfo]:
        """Parts by number, from the first above `after`."""
        query = select(PART).where(_of(upload, PART.c.number > after)).order_by(PART.c.number).limit(limit)
        with self._database.reading() as connection:
            return [_part(row) for row in connection.execute(query)]

    def complete(
        self,
        account: str,
        upload: UploadInfo,
        claims: Sequence[Claim],
        *,
        value: str = "",
        condition: Callable[[ObjectInfo | None], None] | None = None,
        announce: Announce | None = None,
    ) -> ObjectInfo:
        """Join the listed parts into the object; the upload and all its parts are gone when it returns.

        `value` is the checksum of the whole that `whole_checksum` gave. Raises NoSuchUpload, InvalidPart, PartTooSmall
        and what `condition` raises; the upload is still there then.
        """
        chosen = self.chosen(upload, claims)
        etag = checksums.whole_etag([part.etag for part in chosen])
        checksum = upload.checksum._replace(value=value) if upload.checksum else None
        with self._joined(upload, chosen) as draft:
            info = ObjectInfo(
                upload.bucket, upload.key, draft.blob, draft.size, etag, float(int(self._clock.virtual())),
                upload.attributes, checksum, tuple(part.size for part in chosen), upload.id, _part_checksums(upload, chosen),
            )  # fmt: skip
            draft.place()
            with self._database.transaction() as connection:
                rows.lock(connection, upload.bucket, upload.key)
                found = rows.look(connection, account, upload.bucket, upload.key)
                if condition is not None:
                    condition(found.object)
                self._remove(connection, upload)
                info = versions.write(connection, found, info, self._clock, announce)
            draft.keep()
        return info

    def chosen(self, upload: UploadInfo, claims: Sequence[Claim]) -> list[PartInfo]:
        """The parts that are claimed. Raises NoSuchUpload, InvalidPart and PartTooSmall."""
        present = {part.number: part for part in self.parts(upload)}
        chosen = []
        for claim in claims:
            part = present.get(claim.number)
            if part is None or part.etag != claim.etag or claim.checksum not in ("", part.checksum, part.own):
                with self._database.reading() as connection:  # completed or aborted meanwhile?
                    _find(connection, upload.bucket, upload.key, upload.id)
                raise InvalidPart(upload.id, claim.number, claim.etag)
            chosen.append(part)
        for part in chosen[:-1]:
            if part.size < SMALLEST_PART:
                raise PartTooSmall(part.number, part.etag, part.size, SMALLEST_PART)
        return chosen

    def abort(self, upload: UploadInfo) -> None:
        """Forget an upload and its parts. Raises NoSuchUpload."""
        with self._database.transaction() as connection:
            rows.lock(connection, upload.bucket, upload.key)
            self._remove(connection, upload)

    def list(
        self,
        account: str,
        bucket: str,
        *,
        prefix: str = "",
        delimiter: str = "",
        after: str | None = None,
        after_id: str = "",
        limit: int = 1000,
    ) -> listing.Page[Any]:
        """One page of a bucket's uploads by key and id; rows have the columns of the table `upload`."""
        with self._database.reading() as connection:
            rows.bucket(connection, account, bucket)

            def fetch(lower: bytes, mark: str, end: bytes | None, most: int) -> Sequence[Any]:
                beyond = tuple_(UPLOAD.c.key, UPLOAD.c.id) > tuple_(bindparam("lower", lower), bindparam("mark", mark))
                query = select(UPLOAD).where(UPLOAD.c.bucket == bucket, beyond)
                if end is not None:
                    query = query.where(UPLOAD.c.key < end)
                return connection.execute(query.order_by(UPLOAD.c.key, UPLOAD.c.id).limit(most)).all()

            mark = None if after is None else after.encode()
            return listing.page(
                fetch, prefix=prefix.encode(), delimiter=delimiter.encode(), after=mark, limit=limit, after_id=after_id
            )

    def _joined(self, upload: UploadInfo, parts: Sequence[PartInfo]) -> Draft:
        try:
            return self._blobs.joined([part.blob for part in parts])
        except FileNotFoundError:  # completed or aborted by another call, and swept
            raise NoSuchUpload(upload.id) from None

    def _remove(self, connection: Connection, upload: UploadInfo) -> None:
        _find(connection, upload.bucket, upload.key, upload.id)
        blobs = connection.execute(select(PART.c.blob).where(_of(upload))).scalars().all()
        rows.release(connection, list(blobs), self._clock.wall())
        connection.execute(delete(PART).where(_of(upload)))
        connection.execute(delete(UPLOAD).where(_is(upload.bucket, upload.key, upload.id)))


def whole_checksum(upload: UploadInfo, parts: Sequence[PartInfo]) -> str:
    """The checksum of the object that the parts make, in the upload's algorithm and kind; empty without one."""
    if upload.checksum is None:
        return ""
    if upload.checksum.kind == checksums.COMPOSITE:
        return checksums.composite(upload.checksum.algorithm, [part.checksum for part in parts])
    return checksums.joined(upload.checksum.algorithm, [(part.checksum, part.size) for part in parts])


def _part_checksums(upload: UploadInfo, parts: Sequence[PartInfo]) -> tuple[str, ...]:
    """What the object will show of its parts: nothing where nobody asked for checksums."""
    return tuple(part.checksum for part in parts) if upload.checksum is not None and not upload.implied else ()


def _find(connection: Connection, bucket: str, key: str, upload: str) -> UploadInfo:
    row: Any = connection.execute(select(UPLOAD).where(_is(bucket, key, upload))).first()
    if row is None:
        raise NoSuchUpload(upload)
    return UploadInfo(
        bucket, key, upload, row.initiated, row.initiator,
        rows.attributes(row.document, row.storage_class), rows.checksum(row.checksum), row.checksum.endswith(rows.IMPLIED),
    )  # fmt: skip


def _is(bucket: str, key: str, upload: str) -> Any:
    return and_(UPLOAD.c.bucket == bucket, UPLOAD.c.key == key.encode(), UPLOAD.c.id == upload)


def _of(upload: UploadInfo, *more: Any) -> Any:
    return and_(PART.c.bucket == upload.bucket, PART.c.key == upload.key.encode(), PART.c.upload == upload.id, *more)


def _part(row: Any) -> PartInfo:
    checksum, _, own = row.checksum.partition(" ")
    return PartInfo(row.number, row.blob, row.size, row.etag, row.modified, checksum, own)
