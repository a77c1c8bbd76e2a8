"""Browser uploads on their way in: which requests are such forms, and how one is received. What it means is S3's matter."""

from __future__ import annotations

from dataclasses import dataclass

from kenja.core.errors import ServiceError
from kenja.kernel.context import Principal
from kenja.kernel.declare import Service
from kenja.kernel.kernel import Kernel
from kenja.server.chain.body import Spool, Spooled
from kenja.server.chain.route import Target
from kenja.server.chain.signature import MAX_OBJECT
from kenja.wire import formdata
from kenja.wire.codec import Codec
from kenja.wire.errors import Malformed
from kenja.wire.message import Response

OPERATION = "PutObject"  # what a form amounts to


@dataclass(frozen=True, slots=True)
class Posted:
    """A form that is being received; its decoder has the fields once the body is complete."""

    target: Target
    bucket: str
    decoder: _Decoder

    def spool(self, kernel: Kernel) -> Spool:
        """What collects the file of the form."""
        return Spool(kernel.objects.incoming_folder, MAX_OBJECT, self.decoder, md5=True, sha256=False)

    def store(
        self, kernel: Kernel, service: Service, wire: Codec, payload: Spooled, request_id: str
    ) -> tuple[Principal, Response]:
        """Who uploaded, and the answer. Raises ServiceError."""
        from kenja.services.s3 import posts

        found = self.decoder
        form = posts.Form(
            self.bucket, found.fields, found.filename, found.has_file, payload, self.target.head.view
        )  # fmt: skip
        return posts.store(kernel, service, wire, form, request_id)


def of(target: Target, service: Service) -> Posted | None:
    """The form that a request carries, or None. Raises ServiceError for a POST to a bucket that is none."""
    head = target.head
    bucket, _, key = target.path.removeprefix("/").partition("/")
    if service.name != "s3" or head.method != "POST" or head.query or key or not bucket:
        return None
    from kenja.services.s3 import posts

    limit = formdata.boundary(head.headers.get("content-type", ""))
    if limit is None:
        raise posts.no_form(service)
    return Posted(target, bucket, _Decoder(limit, service))


class _Decoder(formdata.FormDecoder):
    """Says what is wrong with a form in S3's words."""

    def __init__(self, limit: str, service: Service) -> None:
        super().__init__(limit)
        self._service = service

    def feed(self, data: bytes) -> list[bytes]:
        try:
            return super().feed(data)
        except Malformed as problem:
            raise self._refusal(problem) from None

    def finish(self) -> None:
        try:
            super().finish()
        except Malformed as problem:
            raise self._refusal(problem) from None

    def _refusal(self, problem: Malformed) -> ServiceError:
        from kenja.services.s3 import posts

        return posts.malformed(self._service, problem)
