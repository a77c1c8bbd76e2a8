"""STS over a real socket: who is calling, temporary keys, and what is refused."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
)


@dataclass
class Temporary:
    """Temporary keys against one server."""

    endpoint: str

    def client(self, service: str, credentials: dict[str, Any]) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name="eu-central-1",
            aws_access_key_id=credentials["AccessKeyId"],
            aws_secret_access_key=credentials["SecretAccessKey"],
            aws_session_token=credentials.get("SessionToken"),
            config=Config(retries={"max_attempts": 0}),
        )


@pytest.fixture
def temporary(server: Any) -> Temporary:
    return Temporary(server.endpoint)


@pytest.fixture
def role(client: Any) -> dict[str, Any]:
    return client("iam").create_role(
        RoleName="trainer", Path="/team/", AssumeRolePolicyDocument=TRUST, MaxSessionDuration=7200
    )["Role"]


def code(caught: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_get_caller_identity_names_the_account_of_the_key(client: Any, account: Any) -> None:
    answer = client("sts").get_caller_identity()
    assert (answer["Account"], answer["UserId"], answer["Arn"]) == (
        account.account,
        account.account,
        f"arn:aws:iam::{account.account}:root",
    )
    assert answer["ResponseMetadata"]["RequestId"]


def test_assume_role_gives_keys_that_act_as_the_role(
    client: Any, account: Any, role: dict[str, Any], temporary: Temporary
) -> None:
    answer = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me@work", SourceIdentity="alice")
    user = answer["AssumedRoleUser"]
    assert user == {
        "AssumedRoleId": f"{role['RoleId']}:me@work",
        "Arn": f"arn:aws:sts::{account.account}:assumed-role/trainer/me@work",
    }
    assert answer["SourceIdentity"] == "alice"
    assert "PackedPolicySize" not in answer
    keys = answer["Credentials"]
    assert keys["AccessKeyId"].startswith("ASIA")
    assert 3590 < (keys["Expiration"] - datetime.now(UTC)).total_seconds() <= 3600
    who = temporary.client("sts", keys).get_caller_identity()
    assert (who["Arn"], who["UserId"], who["Account"]) == (user["Arn"], user["AssumedRoleId"], account.account)
    assert temporary.client("iam", keys).get_role(RoleName="trainer")["Role"]["Arn"] == role["Arn"]


def test_two_sessions_of_a_role_have_different_keys(client: Any, role: dict[str, Any]) -> None:
    one, two = (client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me")["Credentials"] for _ in range(2))
    assert one["AccessKeyId"] != two["AccessKeyId"]
    assert one["SecretAccessKey"] != two["SecretAccessKey"]


@pytest.mark.parametrize("duration", [900, 7200])
def test_assume_role_keeps_to_the_duration_that_is_asked_for(client: Any, role: dict[str, Any], duration: int) -> None:
    keys = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me", DurationSeconds=duration)["Credentials"]
    assert abs((keys["Expiration"] - datetime.now(UTC)).total_seconds() - duration) < 10


@pytest.mark.parametrize(
    "changes",
    [
        {"DurationSeconds": 899},
        {"DurationSeconds": 43201},
        {"DurationSeconds": 7201},
        {"DurationSeconds": 0},
        {"RoleSessionName": "x"},
        {"RoleSessionName": "a b"},
        {"RoleSessionName": "x" * 65},
        {"RoleSessionName": "é" * 3},
        {"RoleArn": "arn:aws:iam::1:role/trainer"},
        {"RoleArn": "x"},
        {"RoleArn": "arn:aws:iam::123456789012:user/trainer"},
        {"RoleArn": "x" * 3000},
        {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
        {"PolicyArns": [{"arn": f"arn:aws:iam::aws:policy/P{n}"} for n in range(11)]},
    ],
)
def test_assume_role_refuses_bad_parameters(client: Any, role: dict[str, Any], changes: dict[str, Any]) -> None:
    sts = client("sts", parameter_validation=False)
    with pytest.raises(ClientError) as caught:
        sts.assume_role(**{"RoleArn": role["Arn"], "RoleSessionName": "me"} | changes)
    assert code(caught) == ("ValidationError", 400)


@pytest.mark.parametrize("missing", ["RoleArn", "RoleSessionName"])
def test_assume_role_needs_a_role_and_a_session_name(client: Any, role: dict[str, Any], missing: str) -> None:
    request = {"RoleArn": role["Arn"], "RoleSessionName": "me"}
    del request[missing]
    with pytest.raises(ClientError) as caught:
        client("sts", parameter_validation=False).assume_role(**request)
    assert code(caught) == ("ValidationError", 400)


def test_assume_role_does_not_tell_which_roles_exist(client: Any, account: Any, role: dict[str, Any]) -> None:
    wrong = (
        f"arn:aws:iam::{account.account}:role/nobody",
        role["Arn"].replace("/team/", "/"),
        "arn:aws:iam::999999999999:role/KenjaExecutionRole",
    )
    for arn in wrong:
        with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole on resource") as caught:
            client("sts").assume_role(RoleArn=arn, RoleSessionName="me")
        assert code(caught) == ("AccessDenied", 403)


def test_assume_role_crosses_accounts_only_where_the_trust_policy_says_so(
    server: Any, client: Any, account: Any, role: dict[str, Any], temporary: Temporary
) -> None:
    other = server.new_account()
    stranger = server.client("sts", other)
    with pytest.raises(ClientError) as caught:
        stranger.assume_role(RoleArn=role["Arn"], RoleSessionName="me")
    assert code(caught) == ("AccessDenied", 403)
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{other.account}:root"}, "Action": "sts:AssumeRole"}
        ],
    }
    shared = client("iam").create_role(RoleName="shared", AssumeRolePolicyDocument=json.dumps(trust))["Role"]
    keys = stranger.assume_role(RoleArn=shared["Arn"], RoleSessionName="guest")["Credentials"]
    assert temporary.client("sts", keys).get_caller_identity()["Account"] == account.account


def test_assume_role_from_a_role_lasts_an_hour_at_most(client: Any, role: dict[str, Any], temporary: Temporary) -> None:
    keys = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me")["Credentials"]
    chained = temporary.client("sts", keys)
    assert chained.assume_role(RoleArn=role["Arn"], RoleSessionName="again", DurationSeconds=3600)["Credentials"]
    with pytest.raises(ClientError, match="role chaining") as caught:
        chained.assume_role(RoleArn=role["Arn"], RoleSessionName="again", DurationSeconds=3601)
    assert code(caught) == ("ValidationError", 400)


def test_assume_role_checks_session_policies(client: Any, role: dict[str, Any]) -> None:
    sts = client("sts")
    policy = json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
    )
    assert sts.assume_role(RoleArn=role["Arn"], RoleSessionName="me", Policy=policy)["PackedPolicySize"] >= 1
    for text, expected in (
        ("{", "MalformedPolicyDocument"),
        ('{"Statement": []}', "MalformedPolicyDocument"),
        (policy + " " * 2048, "PackedPolicyTooLarge"),
    ):
        with pytest.raises(ClientError) as caught:
            sts.assume_role(RoleArn=role["Arn"], RoleSessionName="me", Policy=text)
        assert code(caught) == (expected, 400)


@pytest.mark.parametrize("operation", ["assume_role", "get_session_token"])
def test_mfa_is_refused_since_there_are_no_devices(client: Any, role: dict[str, Any], operation: str) -> None:
    request = {"RoleArn": role["Arn"], "RoleSessionName": "me"} if operation == "assume_role" else {}
    with pytest.raises(ClientError, match="MultiFactorAuthentication") as caught:
        getattr(client("sts"), operation)(
            **request, SerialNumber="arn:aws:iam::123456789012:mfa/me", TokenCode="123456"
        )
    assert code(caught) == ("AccessDenied", 403)


def test_get_session_token_gives_keys_of_the_caller_itself(client: Any, account: Any, temporary: Temporary) -> None:
    keys = client("sts").get_session_token(DurationSeconds=129600)["Credentials"]
    assert (keys["Expiration"] - datetime.now(UTC)).total_seconds() <= 3600, "a root user's sessions last an hour"
    assert temporary.client("sts", keys).get_caller_identity()["Arn"] == f"arn:aws:iam::{account.account}:root"
    with pytest.raises(ClientError, match="session credentials") as caught:
        temporary.client("sts", keys).get_session_token()
    assert code(caught) == ("AccessDenied", 403)


@pytest.mark.parametrize("duration", [899, 129601, -1])
def test_get_session_token_refuses_bad_durations(client: Any, duration: int) -> None:
    with pytest.raises(ClientError) as caught:
        client("sts", parameter_validation=False).get_session_token(DurationSeconds=duration)
    assert code(caught) == ("ValidationError", 400)


def test_wrong_keys_and_tokens_are_refused(
    client: Any, account: Any, role: dict[str, Any], temporary: Temporary
) -> None:
    keys = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="me")["Credentials"]
    for changes, expected in (
        ({"SecretAccessKey": "wrong"}, "SignatureDoesNotMatch"),
        ({"SessionToken": "wrong"}, "InvalidClientTokenId"),
        ({"SessionToken": None}, "InvalidClientTokenId"),
        ({"AccessKeyId": "ASIAAAAAAAAAAAAAAAAA"}, "InvalidClientTokenId"),
        ({"AccessKeyId": account.access_key}, "InvalidClientTokenId"),
    ):
        with pytest.raises(ClientError) as caught:
            temporary.client("sts", keys | changes).get_caller_identity()
        assert code(caught) == (expected, 403), changes


def test_env_keys_answer_get_caller_identity_as_the_execution_role(server: Any, temporary: Temporary) -> None:
    from kenja.cli.env import variables
    from kenja.core.config import Config as Settings

    found = variables(Settings(server.data), "us-east-1", "000000000000")
    keys = {
        "AccessKeyId": found["AWS_ACCESS_KEY_ID"],
        "SecretAccessKey": found["AWS_SECRET_ACCESS_KEY"],
        "SessionToken": found["AWS_SESSION_TOKEN"],
    }
    arn = temporary.client("sts", keys).get_caller_identity()["Arn"]
    assert arn.startswith("arn:aws:sts::000000000000:assumed-role/KenjaExecutionRole/")


def test_botocore_fetches_a_jobs_keys_and_calls_with_them(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from kenja.core.config import Config as Settings
    from kenja.kernel.kernel import Kernel

    kernel = Kernel(Settings(server.data))
    role_arn = "arn:aws:iam::000000000000:role/KenjaExecutionRole"
    path, token = kernel.identity.container_credentials_token("000000000000", role_arn, "us-east-1", "job-7")
    kernel.close()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.endpoint}{path}")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", token)
    session = boto3.Session(region_name="us-east-1")
    who = session.client("sts", endpoint_url=server.endpoint).get_caller_identity()
    assert who["Arn"] == "arn:aws:sts::000000000000:assumed-role/KenjaExecutionRole/job-7"
    assert session.get_credentials().method == "container-role"
    assert session.get_credentials()._expiry_time.timestamp() > time.time() + 3500
