"""Browser uploads (POST Object): a form's fields become a PutObject; its answer is the form's. How forms travel is the wire's.

Amazon S3 API Reference, "POST Object". The policy says who allowed the upload; a form without one comes from nobody,
who may write where an access control list lets everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from kenja.core.config import DEFAULT_REGION
from kenja.core.errors import ServiceError
from kenja.kernel import dispatch
from kenja.kernel.context import ANONYMOUS, Context, HttpView, Principal
from kenja.kernel.declare import Service
from kenja.kernel.kernel import Kernel
from kenja.services.s3 import post_policy
from kenja.wire.codec import Codec
from kenja.wire.errors import Malformed
from kenja.wire.formdata import FieldsTooLong, SeveralFiles
from kenja.wire.message import Body, Request, Response
from kenja.wire.xmltree import escape, local, parse

OPERATION = "PutObject"
_HEADERS = {"acl": "x-amz-acl"}  # fields that have another name than PutObject's header
_PLAIN = ("cache-control", "content-type", "content-disposition", "content-encoding", "content-language", "expires")
_SIGNATURE = ("x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature", "x-amz-security-token")
_OF_URLS = "!#$%&'()*+,-./:;=?@[]_~"  # what a URL has as it is; RFC 3986, section 2
_STATUSES = ("200", "201")  # success_action_status; everything else means 204


@dataclass(frozen=True, slots=True)
class Form:
    """A form that was received: its bucket, its fields in order and its file."""

    bucket: str
    fields: Iterable[tuple[str, str]]  # names as sent
    filename: str
    has_file: bool
    file: Body
    http: HttpView


def malformed(service: Service, problem: Malformed) -> ServiceError:
    """What is wrong with a form that can not be read, as S3 says it."""
    if isinstance(problem, FieldsTooLong):
        return service.error("post_long", "Your POST request fields preceding the upload file were too large.")
    if isinstance(problem, SeveralFiles):
        return service.error("post_files", "POST requires exactly one file upload per request.")
    return service.error(
        "post_malformed", f"The body of your POST request is not well-formed multipart/form-data. {problem}"
    )


def no_form(service: Service) -> ServiceError:
    """A POST to a bucket that is no form."""
    return service.error("post_type", "Bucket POST must be of the enclosure-type multipart/form-data.")


def store(kernel: Kernel, service: Service, wire: Codec, form: Form, request_id: str) -> tuple[Principal, Response]:
    """Who uploaded, and the answer. Raises ServiceError."""
    fields = _expanded(form)
    if not form.has_file:
        raise service.error("post_files", "POST requires exactly one file upload per request.")
    if not fields.get("key"):
        raise service.error(
            "post_key", "Bucket POST must contain a field named 'key'.  If it is specified, please check the order of the fields.",
            ArgumentName="key", ArgumentValue="",
        )  # fmt: skip
    principal, region = _allowed(kernel, service, {**fields, "bucket": form.bucket}, form.file.size)
    key = fields["key"]
    headers = {**_headers(service, fields), "content-length": str(form.file.size)}
    view = replace(form.http, path=f"/{quote(form.bucket)}/{quote(key)}", headers=headers)
    request = Request("PUT", view.path, "", headers, form.file)
    context = Context(kernel, service, OPERATION, principal, region, request_id, view)
    result = dispatch.invoke(context, wire.parse(OPERATION, request, {"Bucket": form.bucket, "Key": key}))
    return principal, _answer(wire, form, fields, result, request_id)


def _expanded(form: Form) -> dict[str, str]:
    """The fields by lower-case name, with the file's name put where they ask for it; the first of a name counts."""
    found: dict[str, str] = {}
    for name, value in form.fields:
        found.setdefault(name.lower(), value.replace("${filename}", form.filename))
    return found


def _allowed(kernel: Kernel, service: Service, fields: Mapping[str, str], size: int) -> tuple[Principal, str]:
    if "policy" not in fields:
        if any(name in fields for name in ("signature", "x-amz-signature")):
            message = "Bucket POST must contain a field named 'Policy'.  If it is specified, please check the order of the fields."
            raise service.error("validation", message, ArgumentName="Policy", ArgumentValue="")
        return ANONYMOUS, DEFAULT_REGION
    principal, region = kernel.identity.verify_form(fields)
    policy = post_policy.read(service, fields["policy"])
    post_policy.check(service, policy, fields, kernel.clock.wall())
    post_policy.check_size(service, policy, size)
    return principal, region


def _headers(service: Service, fields: Mapping[str, str]) -> dict[str, str]:
    """The fields as the headers of a PutObject; the signature's own and unknown ones are left out."""
    headers = {
        _HEADERS.get(name, name): value
        for name, value in fields.items()
        if (name in _HEADERS or name in _PLAIN or name.startswith("x-amz-")) and name not in _SIGNATURE
    }
    if fields.get("tagging"):
        headers["x-amz-tagging"] = _tagging(service, fields["tagging"])
    return headers


def _tagging(service: Service, text: str) -> str:
    """The field `tagging`, an XML document, as the header writes tags."""
    try:
        root = parse(text.encode())
    except Malformed as problem:
        raise service.error("malformed", f"The XML you provided was not well-formed. {problem}") from None
    tags = [element for element in root.iter() if local(element.tag) == "Tag"]
    pairs = []
    for tag in tags:
        members = {local(child.tag): child.text or "" for child in tag}
        if set(members) != {"Key", "Value"}:
            raise service.error("malformed", "A Tag of the field tagging must have a Key and a Value.")
        pairs.append((members["Key"], members["Value"]))
    if local(root.tag) != "Tagging" or not tags:
        raise service.error("malformed", "The field tagging must be a Tagging document with a TagSet of Tags.")
    return urlencode(pairs, quote_via=quote)


def _answer(wire: Codec, form: Form, fields: Mapping[str, str], result: Mapping[str, Any], request_id: str) -> Response:
    stored = wire.serialize(OPERATION, result, request_id)
    stored.headers.pop("content-type", None)
    stored.headers.pop("content-length", None)
    key, etag = fields["key"], str(result["ETag"])
    redirect = fields.get("success_action_redirect") or fields.get("redirect") or ""
    if urlsplit(redirect).scheme in ("http", "https") and urlsplit(redirect).netloc:
        query = urlencode({"bucket": form.bucket, "key": key, "etag": etag}, quote_via=quote)
        place = f"{redirect}{'&' if urlsplit(redirect).query else '?'}{query}"
        return Response(303, {**stored.headers, "location": quote("".join(place.split()), safe=_OF_URLS)})
    location = f"{form.http.base_url}/{quote(form.bucket)}/{quote(key)}"
    if form.http.path == "/":  # the host names the bucket
        location = f"{form.http.base_url}/{quote(key)}"
    headers = {**stored.headers, "location": location}
    status = fields.get("success_action_status", "")
    if status not in _STATUSES:
        return Response(204, headers)
    if status == "200":
        return Response(200, headers)
    members = {"Location": location, "Bucket": form.bucket, "Key": key, "ETag": etag}
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in members.items())
    document = f'<?xml version="1.0" encoding="UTF-8"?>\n<PostResponse>{inner}</PostResponse>'
    return Response(201, {**headers, "content-type": "application/xml"}, document.encode())
