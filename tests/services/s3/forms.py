"""Browser uploads as tests send them: forms by urllib3, policies signed here by hand. Not the code under test."""

from __future__ import annotations

import base64
import datetime
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from typing import Any

import urllib3

FILE = ("file", ("photo.txt", b"bar", "text/plain"))


def later(seconds: float = 600, spelling: str = "%Y-%m-%dT%H:%M:%SZ") -> str:
    """A moment that many seconds from now."""
    return (datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)).strftime(spelling)


def policy(conditions: Any, /, **members: Any) -> str:
    """A policy in base64; `members` replace or add members of the document, None leaves one out."""
    document = {"expiration": later(), "conditions": conditions, **members}
    text = json.dumps({name: value for name, value in document.items() if value is not None})
    return base64.b64encode(text.encode()).decode()


def signed_v2(keys: Any, encoded: str, **fields: str) -> dict[str, str]:
    """The fields of a form whose policy is signed by version 2."""
    signature = base64.b64encode(hmac.new(keys.secret_key.encode(), encoded.encode(), hashlib.sha1).digest()).decode()
    return {"AWSAccessKeyId": keys.access_key, "policy": encoded, "signature": signature, **fields}


def post(
    url: str,
    fields: Mapping[str, str] | Sequence[tuple[str, Any]],
    *files: Any,
    headers: Mapping[str, str] | None = None,
) -> Any:
    """Send a form; the file comes last."""
    pairs = list(fields.items() if isinstance(fields, Mapping) else fields)
    with urllib3.PoolManager() as pool:
        return pool.request(
            "POST", url, fields=[*pairs, *(files or (FILE,))], headers=headers, redirect=False, retries=False
        )


def code(answer: Any) -> str:
    """The code of an error document."""
    return str(answer.data.decode().partition("<Code>")[2].partition("</Code>")[0])


def message(answer: Any) -> str:
    """The message of an error document."""
    return str(answer.data.decode().partition("<Message>")[2].partition("</Message>")[0])
