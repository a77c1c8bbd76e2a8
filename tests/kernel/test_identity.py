"""Accounts, root keys, sessions, credentials of jobs, and the decision that every call passes."""

from __future__ import annotations

import base64
import configparser
import json
import multiprocessing
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from kenja.core.clock import Clock
from kenja.core.errors import ServiceError
from kenja.kernel.context import HttpView, Principal
from kenja.kernel.identity import Expected, Identity, actions, policies
from kenja.kernel.resources.store import Scope, Store

ROLE = "arn:aws:iam::123456789012:role/KenjaExecutionRole"


@dataclass(frozen=True)
class Ahead(Clock):
    """A clock that is `seconds` ahead of the system's; signatures are made by the system's."""

    seconds: float = 0.0

    def wall(self) -> float:
        return super().wall() + self.seconds


@pytest.fixture
def store(database_url: str) -> Iterator[Store]:
    opened = Store(database_url, Clock())
    yield opened
    opened.close()


@pytest.fixture
def identity(store: Store) -> Identity:
    found = Identity(store, Clock())
    found.create_account("123456789012")
    return found


def head(keys: Any, service: str = "sts") -> HttpView:
    """A signed GET of "/", as the server sees it."""
    request = AWSRequest("GET", "http://localhost/", headers={"host": "localhost"})
    (S3SigV4Auth if service == "s3" else SigV4Auth)(keys, service, "us-east-1").add_auth(request)
    return HttpView("GET", "/", "", {name.lower(): value for name, value in request.headers.items()}, "")


def caller(identity: Identity, keys: Any, dialect: Any = "query", service: str = "sts") -> Principal:
    found = identity.authenticate(head(keys, service), Expected(dialect, service))
    found.check("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    return found.principal


def refusal(identity: Identity, keys: Any, dialect: Any = "query", service: str = "sts") -> str:
    with pytest.raises(ServiceError) as caught:
        caller(identity, keys, dialect, service)
    return caught.value.code


def test_an_account_has_keys_that_act_as_its_root(identity: Identity) -> None:
    keys = identity.create_account()
    assert len(keys.account) == 12
    assert keys.account.isdigit()
    who = caller(identity, Credentials(keys.access_key_id, keys.secret_access_key))
    assert who == Principal(keys.account, f"arn:aws:iam::{keys.account}:root", keys.account, keys.access_key_id)
    assert identity.accounts() == ["123456789012", keys.account]


@pytest.mark.parametrize(
    "account", ["", "12345678901", "1234567890123", "12345678901a", "１２３４５６７８９０１２", "123456789012"]
)
def test_a_bad_or_taken_account_number_is_refused(identity: Identity, account: str) -> None:
    with pytest.raises(ValueError, match="account"):
        identity.create_account(account)
    assert identity.accounts() == ["123456789012"]


def test_the_first_start_writes_the_root_keys_for_their_owner_only(identity: Identity, tmp_path: Path) -> None:
    keys = identity.ensure_root_credentials(tmp_path / "new")
    file = tmp_path / "new" / "credentials"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    parsed = configparser.ConfigParser()
    parsed.read(file)
    assert dict(parsed["default"]) == {
        "aws_access_key_id": keys.access_key_id,
        "aws_secret_access_key": keys.secret_access_key,
    }
    assert keys.account == "000000000000"
    file.write_text("[default]\naws_access_key_id = other\n")
    assert identity.ensure_root_credentials(tmp_path / "new") == keys
    assert keys.access_key_id in file.read_text()
    assert [path.name for path in file.parent.iterdir()] == ["credentials"]


def _start(url: str, data: str) -> tuple[str, str]:
    """A gateway's start: its root keys, and the secret of a session that any gateway must know."""
    store = Store(url, Clock())
    identity = Identity(store, Clock())
    keys = identity.ensure_root_credentials(Path(data))
    session = identity.execution_role_session()
    principal = caller(identity, Credentials(session.access_key_id, session.secret_access_key, session.session_token))
    store.close()
    return keys.access_key_id, principal.user_id.partition(":")[0]


def test_gateways_that_start_together_end_with_the_same_keys(store: Store, database_url: str, tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        found = pool.starmap(_start, [(database_url, str(tmp_path / "data"))] * 3)
    assert len(set(found)) == 1
    assert found[0][0] in (tmp_path / "data" / "credentials").read_text()


def test_every_account_has_the_execution_role(identity: Identity, store: Store) -> None:
    for account in ("123456789012", "000000000000"):
        session = identity.execution_role_session(account, "me")
        who = caller(identity, Credentials(session.access_key_id, session.secret_access_key, session.session_token))
        assert who.arn == f"arn:aws:sts::{account}:assumed-role/KenjaExecutionRole/me"
        assert who.user_id.startswith("AROA")
        assert who.user_id.endswith(":me")
        assert store.get(Scope(account, ""), "iam:Role", "kenjaexecutionrole") is not None
    with pytest.raises(ValueError, match="no account '999999999999'"):
        identity.execution_role_session("999999999999")


def test_another_process_verifies_a_session_and_nothing_was_written(
    identity: Identity, store: Store, database_url: str
) -> None:
    identity.execution_role_session("123456789012")
    before = store.everywhere("identity:AccessKey")
    session = identity.begin_session("123456789012", "R", "AROA1", "s", 60)
    assert store.everywhere("identity:AccessKey") == before
    other_store = Store(database_url, Clock())
    keys = Credentials(session.access_key_id, session.secret_access_key, session.session_token)
    assert caller(Identity(other_store, Clock()), keys).user_id == "AROA1:s"
    other_store.close()


@pytest.mark.parametrize(
    ("dialect", "service", "code"),
    [("query", "sts", "ExpiredToken"), ("s3", "s3", "ExpiredToken"), ("json", "logs", "ExpiredTokenException")],
)
def test_an_ended_session_is_refused(identity: Identity, store: Store, dialect: str, service: str, code: str) -> None:
    session = identity.begin_session("123456789012", "R", "AROA1", "s", 60)
    keys = Credentials(session.access_key_id, session.secret_access_key, session.session_token)
    assert caller(identity, keys, dialect, service).access_key == session.access_key_id
    later = Identity(store, Ahead(seconds=58))
    caller(later, keys, dialect, service)
    assert refusal(Identity(store, Ahead(seconds=61)), keys, dialect, service) == code
    object.__setattr__(later._clock, "seconds", 61)
    assert refusal(later, keys, dialect, service) == code, "a remembered session must end too"


@pytest.mark.parametrize(
    ("dialect", "service", "bad_token", "unknown"),
    [
        ("query", "sts", "InvalidClientTokenId", "InvalidClientTokenId"),
        ("s3", "s3", "InvalidToken", "InvalidAccessKeyId"),
        ("json", "logs", "UnrecognizedClientException", "UnrecognizedClientException"),
    ],
)
def test_a_token_is_good_with_its_own_key_only(
    identity: Identity, dialect: str, service: str, bad_token: str, unknown: str
) -> None:
    one, two = (identity.begin_session("123456789012", "R", "AROA1", name, 60) for name in ("one", "two"))
    assert (
        refusal(identity, Credentials(one.access_key_id, one.secret_access_key, two.session_token), dialect, service)
        == bad_token
    )
    assert refusal(identity, Credentials(one.access_key_id, one.secret_access_key), dialect, service) == unknown
    root = identity.create_account()
    assert (
        refusal(identity, Credentials(root.access_key_id, root.secret_access_key, one.session_token), dialect, service)
        == bad_token
    )


def test_no_byte_of_a_token_can_change(identity: Identity) -> None:
    session = identity.begin_session("123456789012", "R", "AROA1", "s", 60)
    token = session.session_token
    for place in range(len(token)):
        for other in "Ab-":
            if token[place] != other:
                changed = token[:place] + other + token[place + 1 :]
                keys = Credentials(session.access_key_id, session.secret_access_key, changed)
                assert refusal(identity, keys) == "InvalidClientTokenId", place
    for changed in (token + "=", token[:-4], "x", "é", token + "AAAA"):
        assert (
            refusal(identity, Credentials(session.access_key_id, session.secret_access_key, changed))
            == "InvalidClientTokenId"
        )


def test_claims_sealed_by_another_server_are_refused(identity: Identity, tmp_path: Path) -> None:
    stranger = Identity(Store(f"sqlite:///{tmp_path / 'other.db'}", Clock()), Clock())
    session = stranger.begin_session("123456789012", "R", "AROA1", "s", 60)
    keys = Credentials(session.access_key_id, session.secret_access_key, session.session_token)
    assert caller(stranger, keys).account == "123456789012"
    assert refusal(identity, keys) == "InvalidClientTokenId"
    stranger._store.close()


def test_a_service_acts_as_a_session_of_the_role(identity: Identity) -> None:
    who = identity.service_session(ROLE, "sagemaker")
    assert who.arn == "arn:aws:sts::123456789012:assumed-role/KenjaExecutionRole/SageMaker"
    other = identity.service_session("arn:aws:iam::123456789012:role/service-role/Unknown", "sagemaker")
    assert other.arn == "arn:aws:sts::123456789012:assumed-role/Unknown/SageMaker"
    assert other == identity.service_session("arn:aws:iam::123456789012:role/service-role/Unknown", "sagemaker")
    for wrong in ("", "Unknown", "arn:aws:iam::1:role/x", "arn:aws:iam::123456789012:user/x", ROLE + "/"):
        with pytest.raises(ValueError, match="not the ARN of a role"):
            identity.service_session(wrong, "sagemaker")


def test_a_role_of_another_account_can_not_be_passed(identity: Identity) -> None:
    me = Principal("123456789012", "arn:aws:iam::123456789012:root", "123456789012")
    assert identity.passed_role_problem(me, ROLE) == ""
    assert "Cross-account" in identity.passed_role_problem(me, ROLE.replace("123456789012", "210987654321"))
    assert "not the ARN" in identity.passed_role_problem(me, "role")


def test_a_job_fetches_refreshing_keys_of_its_role(identity: Identity) -> None:
    path, token = identity.container_credentials_token("123456789012", ROLE, "us-east-1", "job-1")
    assert path.startswith("/_kenja/credentials/")
    path_id = path.rpartition("/")[2]
    first, second = (identity.container_credentials(path_id, token) for _ in range(2))
    assert first["AccessKeyId"] != second["AccessKeyId"]
    for keys in (first, second):
        who = caller(identity, Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["Token"]))
        assert who.arn == "arn:aws:sts::123456789012:assumed-role/KenjaExecutionRole/job-1"
        left = datetime.fromisoformat(keys["Expiration"]).timestamp() - Clock().wall()
        assert 3500 < left <= 3600
    json.dumps(first)


def test_a_job_can_not_fetch_the_keys_of_another(identity: Identity) -> None:
    path, token = identity.container_credentials_token("123456789012", ROLE, "us-east-1", "job-1")
    other_path, _ = identity.container_credentials_token("123456789012", ROLE, "us-east-1", "job-2")
    session = identity.begin_session("123456789012", "R", "AROA1", "s", 60)
    mine, other = path.rpartition("/")[2], other_path.rpartition("/")[2]
    bad_id = base64.urlsafe_b64encode(b"x" * 12).decode()
    for path_id, authorization in (
        (other, token),
        (bad_id, token),
        ("", token),
        (mine, ""),
        (mine, "é"),
        (mine, token[:-4]),
        (mine, session.session_token),
        ("", session.session_token),
        ("é", token),
    ):
        with pytest.raises(ServiceError) as caught:
            identity.container_credentials(path_id, authorization)
        assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)
    with pytest.raises(ValueError, match="not a role of account"):
        identity.container_credentials_token("210987654321", ROLE, "us-east-1", "job-1")


def test_a_session_token_and_a_job_token_are_not_each_other(identity: Identity) -> None:
    _, token = identity.container_credentials_token("123456789012", ROLE, "us-east-1", "job-1")
    assert refusal(identity, Credentials("ASIAAAAAAAAAAAAAAAAA", "secret", token)) == "InvalidClientTokenId"


def test_threads_may_share_an_identity(identity: Identity) -> None:
    sessions = [identity.begin_session("123456789012", "R", "AROA1", f"s{n}", 60) for n in range(40)]
    keys = [Credentials(s.access_key_id, s.secret_access_key, s.session_token) for s in sessions]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda key: caller(identity, key).user_id, keys * 5))
    assert found == [f"AROA1:s{n}" for n in range(40)] * 5


def test_every_valid_key_may_do_everything_so_far(identity: Identity) -> None:
    me = Principal("123456789012", "arn:aws:iam::123456789012:root", "123456789012")
    assert identity.decide(me, "s3:GetObject", "arn:aws:s3:::b/k").allowed
    deny = policies.parse(
        '{"Statement": {"Effect": "Deny", "Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"}}', "identity", name="p"
    )
    assert identity.decide(me, "s3:GetObject", "arn:aws:s3:::b/k", [deny]).effect == "explicitDeny"
    assert identity.decide(me, "s3:PutObject", "arn:aws:s3:::b/k", [deny]).allowed


@pytest.mark.parametrize(
    ("service", "operation", "action"),
    [
        ("s3", "HeadObject", "s3:GetObject"),
        ("s3", "ListObjectsV2", "s3:ListBucket"),
        ("s3", "PutObject", "s3:PutObject"),
        ("sagemaker", "InvokeEndpoint", "sagemaker:InvokeEndpoint"),
        ("monitoring", "PutMetricData", "cloudwatch:PutMetricData"),
    ],
)
def test_operations_need_the_actions_that_aws_documents(service: str, operation: str, action: str) -> None:
    assert actions.action(service, operation) == action


def statement(**parts: Any) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"} | parts]}
    )


@pytest.mark.parametrize(
    ("text", "action", "resource", "effect"),
    [
        (statement(), "s3:GetObject", "arn:aws:s3:::b", "allowed"),
        (statement(), "sts:AssumeRole", "*", "implicitDeny"),
        (statement(Action="S3:getobject"), "s3:GetObject", "*", "allowed"),
        (statement(Action=["s3:Get?bject"]), "s3:GetObject", "*", "allowed"),
        (statement(Resource="arn:aws:s3:::b/*"), "s3:GetObject", "arn:aws:s3:::b/a/b", "allowed"),
        (statement(Resource="arn:aws:s3:::b/*"), "s3:GetObject", "arn:aws:s3:::B/a", "implicitDeny"),
        (statement(Resource="arn:aws:s3:::b.c"), "s3:GetObject", "arn:aws:s3:::bxc", "implicitDeny"),
        (statement(Effect="Deny"), "s3:GetObject", "*", "explicitDeny"),
    ],
)
def test_a_policy_says_what_its_statements_cover(text: str, action: str, resource: str, effect: str) -> None:
    assert policies.evaluate([policies.parse(text, "identity")], action, resource).effect == effect


def test_not_action_and_not_resource_turn_a_statement_round() -> None:
    policy = policies.parse(
        '{"Statement":[{"Effect":"Allow","NotAction":"s3:Put*","NotResource":"arn:aws:s3:::secret/*"}]}', "identity"
    )
    assert policies.evaluate([policy], "s3:GetObject", "arn:aws:s3:::b/k").allowed
    assert not policies.evaluate([policy], "s3:PutObject", "arn:aws:s3:::b/k").allowed
    assert not policies.evaluate([policy], "s3:GetObject", "arn:aws:s3:::secret/k").allowed


def test_a_deny_wins_over_an_allow_and_is_named() -> None:
    allow = policies.parse(statement(), "identity", name="allow")
    deny = policies.parse(statement(Effect="Deny", Action="s3:DeleteBucket"), "identity", name="deny")
    decision = policies.evaluate([allow, deny], "s3:DeleteBucket", "*")
    assert (decision.effect, [policy.name for policy in decision.sources]) == ("explicitDeny", ["deny"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "1",
        "{}",
        '{"Statement": []}',
        '{"Statement": "x"}',
        '{"Statement": [1]}',
        '{"Version": "2020-01-01", "Statement": {}}',
        '{"Stmt": []}',
        statement(Effect="allow"),
        statement(Effect=None),
        statement(Action=""),
        statement(Action=[]),
        statement(Action="GetObject"),
        statement(Action=1),
        statement(Resource="bucket"),
        statement(Resource=[1]),
        statement(NotAction="s3:*"),
        statement(NotResource="*"),
        statement(Principal="*"),
        statement(Condition=[]),
        statement(Sids="x"),
        '{"Statement": [{"Effect": "Allow", "Action": "s3:*"}]}',
    ],
)
def test_a_malformed_policy_is_told_from_a_good_one(text: str) -> None:
    with pytest.raises(policies.Malformed) as caught:
        policies.parse(text, "identity")
    assert str(caught.value)


@pytest.mark.parametrize("principal", [None, "me", {}, {"Aws": "*"}, {"AWS": []}, {"AWS": 1}])
def test_a_trust_policy_must_say_whom_it_trusts(principal: Any) -> None:
    text = json.dumps({"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": principal}]})
    with pytest.raises(policies.Malformed):
        policies.parse(text, "trust")


@pytest.mark.parametrize(
    ("named", "trusted"),
    [
        ("*", True),
        ("123456789012", True),
        ("arn:aws:iam::123456789012:root", True),
        ("arn:aws:iam::123456789012:role/R", True),
        ("arn:aws:sts::123456789012:assumed-role/R/s", True),
        ("arn:aws:iam::123456789012:role/Q", False),
        ("210987654321", False),
    ],
)
def test_a_trust_policy_trusts_those_whom_it_names(named: str, trusted: bool) -> None:
    who = Principal("123456789012", "arn:aws:sts::123456789012:assumed-role/R/s", "AROA1:s")
    text = json.dumps({"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": [named]}}]})
    assert policies.trusts(policies.parse(text, "trust"), who) is trusted
    denying = json.dumps(
        {
            "Statement": [
                {"Effect": effect, "Action": "sts:AssumeRole", "Principal": "*"} for effect in ("Allow", "Deny")
            ]
        }
    )
    assert not policies.trusts(policies.parse(denying, "trust"), who)


def test_a_condition_never_opens_what_it_would_have_to_be_asked_for() -> None:
    condition = {"StringEquals": {"sts:ExternalId": "secret"}}
    who = Principal("123456789012", "arn:aws:iam::123456789012:root", "123456789012")
    trust = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}, "Condition": condition}
    assert not policies.trusts(policies.parse(json.dumps({"Statement": [trust]}), "trust"), who)
    allow = policies.parse(statement(Condition=condition), "identity")
    deny = policies.parse(statement(Condition=condition, Effect="Deny"), "identity")
    assert policies.evaluate([allow], "s3:GetObject", "*").effect == "implicitDeny"
    assert policies.evaluate([deny], "s3:GetObject", "*").effect == "explicitDeny"
