"""IAM over a real socket: roles, their policies, and the simulator."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": "arn:aws:s3:::b/*"}],
}
MANAGED = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"


@pytest.fixture
def iam(client: Any) -> Any:
    return client("iam", parameter_validation=False)


@pytest.fixture
def role(iam: Any) -> dict[str, Any]:
    return make(iam, "trainer")


def make(iam: Any, name: str, **more: Any) -> dict[str, Any]:
    return iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST), **more)["Role"]


def refused(call: Any, /, **request: Any) -> tuple[str, int]:
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Message"]
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def test_create_role_and_get_role_answer_the_same(iam: Any, account: Any) -> None:
    made = make(
        iam, "My.Role@1", Path="/a/b/", Description="ü", MaxSessionDuration=43200, Tags=[{"Key": "team", "Value": "ml"}]
    )
    assert made["Arn"] == f"arn:aws:iam::{account.account}:role/a/b/My.Role@1"
    assert re.fullmatch(r"AROA[A-Z2-7]{17}", made["RoleId"])
    assert made["AssumeRolePolicyDocument"] == TRUST
    assert (made["Path"], made["Description"], made["MaxSessionDuration"], made["Tags"]) == (
        "/a/b/",
        "ü",
        43200,
        [{"Key": "team", "Value": "ml"}],
    )
    assert iam.get_role(RoleName="My.Role@1")["Role"] == made


def test_create_role_without_options_has_awss_defaults(iam: Any) -> None:
    made = make(iam, "plain")
    assert (made["Path"], made["MaxSessionDuration"]) == ("/", 3600)
    assert "Tags" not in made
    assert "Description" not in made


def test_create_role_refuses_a_taken_name_in_any_case(iam: Any, role: dict[str, Any]) -> None:
    for name in ("trainer", "TRAINER", "KenjaExecutionRole", "kenjaexecutionrole"):
        assert refused(iam.create_role, RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST)) == (
            "EntityAlreadyExists",
            409,
        )
    assert iam.get_role(RoleName="trainer")["Role"]["RoleId"] == role["RoleId"]


def test_create_role_gives_a_name_once_to_many_requests(iam: Any) -> None:
    def attempt(_: int) -> str:
        try:
            return str(make(iam, "wanted")["RoleId"])
        except ClientError as error:
            return str(error.response["Error"]["Code"])

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(attempt, range(16)))
    assert sorted(found)[1:] == ["EntityAlreadyExists"] * 15


@pytest.mark.parametrize(
    "changes",
    [
        {"RoleName": ""},
        {"RoleName": "a b"},
        {"RoleName": "a/b"},
        {"RoleName": "x" * 65},
        {"RoleName": "日本"},
        {"Path": "a"},
        {"Path": "/a"},
        {"Path": "/a b/"},
        {"MaxSessionDuration": 3599},
        {"MaxSessionDuration": 43201},
        {"Description": "x" * 1001},
        {"PermissionsBoundary": "x"},
        {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]},
        {"Tags": [{"Key": "aws:x", "Value": "1"}]},
        {"Tags": [{"Key": str(n), "Value": ""} for n in range(51)]},
        {"AssumeRolePolicyDocument": ""},
        {"AssumeRolePolicyDocument": None},
    ],
)
def test_create_role_refuses_bad_parameters(iam: Any, changes: dict[str, Any]) -> None:
    request = {"RoleName": "r", "AssumeRolePolicyDocument": json.dumps(TRUST)} | changes
    given = {name: value for name, value in request.items() if value is not None}
    assert refused(iam.create_role, **given) == ("ValidationError", 400)
    assert [found["RoleName"] for found in iam.list_roles()["Roles"]] == ["KenjaExecutionRole"]


@pytest.mark.parametrize(
    "document", ["{", "[]", "x", '{"Statement": []}', json.dumps(POLICY), json.dumps(TRUST).replace("Allow", "Maybe")]
)
def test_create_role_refuses_a_malformed_trust_policy(iam: Any, document: str) -> None:
    assert refused(iam.create_role, RoleName="r", AssumeRolePolicyDocument=document) == ("MalformedPolicyDocument", 400)


def test_create_role_refuses_a_trust_policy_beyond_the_quota(iam: Any) -> None:
    document = json.dumps(TRUST) + " " * 2048
    assert refused(iam.create_role, RoleName="r", AssumeRolePolicyDocument=document) == ("LimitExceeded", 409)


def test_get_role_finds_the_execution_role_and_no_unknown_one(iam: Any, account: Any) -> None:
    found = iam.get_role(RoleName="KenjaExecutionRole")["Role"]
    assert found["Arn"] == f"arn:aws:iam::{account.account}:role/KenjaExecutionRole"
    assert refused(iam.get_role, RoleName="nobody") == ("NoSuchEntity", 404)
    assert refused(iam.get_role, RoleName="no body") == ("ValidationError", 400)
    assert refused(iam.get_role) == ("ValidationError", 400)


def test_accounts_do_not_see_each_others_roles_and_regions_do(server: Any, account: Any, role: dict[str, Any]) -> None:
    assert (
        server.client("iam", account, region="ap-northeast-1").get_role(RoleName="trainer")["Role"]["Arn"]
        == role["Arn"]
    )
    assert refused(server.client("iam", server.new_account()).get_role, RoleName="trainer") == ("NoSuchEntity", 404)


def test_list_roles_pages_in_the_order_of_names(iam: Any) -> None:
    names = [f"role-{n:02}" for n in range(25)]
    for name in reversed(names):
        make(iam, name, Path="/odd/" if int(name[-2:]) % 2 else "/even/")
    everything = sorted(["KenjaExecutionRole", *names], key=str.lower)
    for size in (1, 7, 26, 1000):
        pages = list(iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": size}))
        assert [found["RoleName"] for page in pages for found in page["Roles"]] == everything
        assert [page["IsTruncated"] for page in pages] == [True] * (len(pages) - 1) + [False]
    odd = iam.get_paginator("list_roles").paginate(PathPrefix="/odd/", PaginationConfig={"PageSize": 5})
    assert [found["RoleName"] for page in odd for found in page["Roles"]] == names[1::2]
    assert iam.list_roles(PathPrefix="/none/")["Roles"] == []


def test_list_roles_refuses_bad_parameters(iam: Any) -> None:
    for n in range(3):
        make(iam, f"r{n}")
    for request in ({"MaxItems": 0}, {"MaxItems": 1001}, {"PathPrefix": "x"}, {"Marker": "x"}, {"Marker": ""}):
        assert refused(iam.list_roles, **request) == ("ValidationError", 400), request
    marker = iam.list_roles(MaxItems=1)["Marker"]
    assert refused(iam.list_roles, Marker=marker, PathPrefix="/other/") == ("ValidationError", 400)


def test_put_role_policy_keeps_the_document(iam: Any, role: dict[str, Any]) -> None:
    iam.put_role_policy(RoleName="trainer", PolicyName="p", PolicyDocument=json.dumps(POLICY))
    assert iam.get_role_policy(RoleName="trainer", PolicyName="p")["PolicyDocument"] == POLICY
    deny = json.loads(json.dumps(POLICY).replace("Allow", "Deny"))
    iam.put_role_policy(RoleName="trainer", PolicyName="p", PolicyDocument=json.dumps(deny))
    assert iam.get_role_policy(RoleName="trainer", PolicyName="p")["PolicyDocument"] == deny
    assert iam.list_role_policies(RoleName="trainer")["PolicyNames"] == ["p"]
    assert "InlinePolicies" not in iam.get_role(RoleName="trainer")["Role"]


def test_put_role_policy_refuses_bad_input(iam: Any, role: dict[str, Any]) -> None:
    good = {"RoleName": "trainer", "PolicyName": "p", "PolicyDocument": json.dumps(POLICY)}
    for changes, expected in (
        ({"RoleName": "nobody"}, ("NoSuchEntity", 404)),
        ({"PolicyName": "a b"}, ("ValidationError", 400)),
        ({"PolicyDocument": ""}, ("ValidationError", 400)),
        ({"PolicyDocument": "{"}, ("MalformedPolicyDocument", 400)),
        ({"PolicyDocument": json.dumps(TRUST)}, ("MalformedPolicyDocument", 400)),
        ({"PolicyDocument": json.dumps(POLICY).replace("b/*", "b" * 10241)}, ("LimitExceeded", 409)),
    ):
        assert refused(iam.put_role_policy, **good | changes) == expected, changes
    assert iam.list_role_policies(RoleName="trainer")["PolicyNames"] == []


def test_put_role_policy_by_many_at_once_loses_none(iam: Any, role: dict[str, Any]) -> None:
    def put(n: int) -> None:
        iam.put_role_policy(RoleName="trainer", PolicyName=f"p{n:02}", PolicyDocument=json.dumps(POLICY))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(put, range(20)))
    pages = iam.get_paginator("list_role_policies").paginate(RoleName="trainer", PaginationConfig={"PageSize": 6})
    assert [name for page in pages for name in page["PolicyNames"]] == [f"p{n:02}" for n in range(20)]


@pytest.mark.parametrize("operation", ["get_role_policy", "delete_role_policy"])
def test_get_role_policy_and_delete_role_policy_refuse_bad_input(
    iam: Any, role: dict[str, Any], operation: str
) -> None:
    call = getattr(iam, operation)
    assert refused(call, RoleName="trainer", PolicyName="p") == ("NoSuchEntity", 404)
    assert refused(call, RoleName="nobody", PolicyName="p") == ("NoSuchEntity", 404)
    assert refused(call, RoleName="trainer", PolicyName="") == ("ValidationError", 400)
    assert refused(call, RoleName="trainer") == ("ValidationError", 400)


def test_delete_role_policy_removes_one(iam: Any, role: dict[str, Any]) -> None:
    for name in ("p", "q"):
        iam.put_role_policy(RoleName="trainer", PolicyName=name, PolicyDocument=json.dumps(POLICY))
    iam.delete_role_policy(RoleName="trainer", PolicyName="p")
    assert iam.list_role_policies(RoleName="trainer")["PolicyNames"] == ["q"]


def test_list_role_policies_refuses_bad_parameters(iam: Any, role: dict[str, Any]) -> None:
    assert refused(iam.list_role_policies, RoleName="nobody") == ("NoSuchEntity", 404)
    assert refused(iam.list_role_policies, RoleName="trainer", Marker="x") == ("ValidationError", 400)
    assert refused(iam.list_role_policies, RoleName="trainer", MaxItems=0) == ("ValidationError", 400)


def test_attach_role_policy_and_detach_role_policy(iam: Any, role: dict[str, Any]) -> None:
    other = "arn:aws:iam::aws:policy/service-role/AWSGlueServiceRole"
    for arn in (MANAGED, other, MANAGED):
        iam.attach_role_policy(RoleName="trainer", PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName="trainer")["AttachedPolicies"]
    assert attached == [
        {"PolicyName": "AWSGlueServiceRole", "PolicyArn": other},
        {"PolicyName": "AmazonSageMakerFullAccess", "PolicyArn": MANAGED},
    ]
    under = iam.list_attached_role_policies(RoleName="trainer", PathPrefix="/service-role/")["AttachedPolicies"]
    assert [found["PolicyArn"] for found in under] == [other]
    iam.detach_role_policy(RoleName="trainer", PolicyArn=MANAGED)
    assert [
        found["PolicyArn"] for found in iam.list_attached_role_policies(RoleName="trainer")["AttachedPolicies"]
    ] == [other]
    assert refused(iam.detach_role_policy, RoleName="trainer", PolicyArn=MANAGED) == ("NoSuchEntity", 404)


def test_attach_role_policy_refuses_bad_input(iam: Any, role: dict[str, Any]) -> None:
    for name, arn, expected in (
        ("nobody", MANAGED, ("NoSuchEntity", 404)),
        ("trainer", "arn:aws:iam::123456789012:policy/mine", ("NoSuchEntity", 404)),
        ("trainer", "AmazonSageMakerFullAccess", ("InvalidInput", 400)),
        ("trainer", "arn:aws:s3:::bucket/policy/of-mine", ("InvalidInput", 400)),
        ("trainer", "x", ("ValidationError", 400)),
        ("trainer", None, ("ValidationError", 400)),
    ):
        request = {"RoleName": name} | ({"PolicyArn": arn} if arn else {})
        assert refused(iam.attach_role_policy, **request) == expected, request
    for n in range(10):
        iam.attach_role_policy(RoleName="trainer", PolicyArn=f"arn:aws:iam::aws:policy/P{n}")
    assert refused(iam.attach_role_policy, RoleName="trainer", PolicyArn=MANAGED) == ("LimitExceeded", 409)


def test_detach_role_policy_refuses_bad_input(iam: Any, role: dict[str, Any]) -> None:
    assert refused(iam.detach_role_policy, RoleName="nobody", PolicyArn=MANAGED) == ("NoSuchEntity", 404)
    assert refused(iam.detach_role_policy, RoleName="trainer", PolicyArn="not-an-arn-at-all-really") == (
        "InvalidInput",
        400,
    )


def test_list_attached_role_policies_refuses_bad_parameters(iam: Any, role: dict[str, Any]) -> None:
    assert refused(iam.list_attached_role_policies, RoleName="nobody") == ("NoSuchEntity", 404)
    assert refused(iam.list_attached_role_policies, RoleName="trainer", PathPrefix="x") == ("ValidationError", 400)
    assert refused(iam.list_attached_role_policies, RoleName="trainer", Marker="x") == ("ValidationError", 400)


def test_delete_role_waits_for_its_policies_to_go(iam: Any, role: dict[str, Any]) -> None:
    iam.attach_role_policy(RoleName="trainer", PolicyArn=MANAGED)
    iam.put_role_policy(RoleName="trainer", PolicyName="p", PolicyDocument=json.dumps(POLICY))
    assert refused(iam.delete_role, RoleName="trainer") == ("DeleteConflict", 409)
    iam.detach_role_policy(RoleName="trainer", PolicyArn=MANAGED)
    assert refused(iam.delete_role, RoleName="trainer") == ("DeleteConflict", 409)
    iam.delete_role_policy(RoleName="trainer", PolicyName="p")
    iam.delete_role(RoleName="trainer")
    assert refused(iam.get_role, RoleName="trainer") == ("NoSuchEntity", 404)
    assert refused(iam.delete_role, RoleName="trainer") == ("NoSuchEntity", 404)
    assert make(iam, "trainer")["RoleId"] != role["RoleId"]


def test_delete_role_keeps_the_execution_role(iam: Any) -> None:
    assert refused(iam.delete_role, RoleName="KenjaExecutionRole") == ("UnmodifiableEntity", 400)
    assert refused(iam.delete_role, RoleName="") == ("ValidationError", 400)


def test_simulate_principal_policy_allows_what_requests_may_do(iam: Any, role: dict[str, Any]) -> None:
    wanted = ["sagemaker:CreateTrainingJob", "s3:GetObject"]
    answer = iam.simulate_principal_policy(PolicySourceArn=role["Arn"], ActionNames=wanted)
    assert [
        (found["EvalActionName"], found["EvalResourceName"], found["EvalDecision"])
        for found in answer["EvaluationResults"]
    ] == [(action, "*", "allowed") for action in wanted]
    assert answer["IsTruncated"] is False


def test_simulate_principal_policy_evaluates_the_policies_it_is_given(iam: Any, role: dict[str, Any]) -> None:
    deny = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Action": "s3:Delete*", "Resource": "arn:aws:s3:::keep/*"}],
    }
    answer = iam.simulate_principal_policy(
        PolicySourceArn=role["Arn"],
        ActionNames=["s3:DeleteObject", "s3:GetObject"],
        ResourceArns=["arn:aws:s3:::keep/x", "arn:aws:s3:::other/x"],
        PolicyInputList=[json.dumps(deny)],
    )
    assert [found["EvalDecision"] for found in answer["EvaluationResults"]] == [
        "explicitDeny",
        "allowed",
        "allowed",
        "allowed",
    ]
    assert answer["EvaluationResults"][0]["MatchedStatements"] == [
        {"SourcePolicyId": "PolicyInputList.1", "SourcePolicyType": "none"}
    ]


def test_simulate_principal_policy_pages(iam: Any, role: dict[str, Any]) -> None:
    wanted = [f"s3:Action{n}" for n in range(23)]
    pages = list(
        iam.get_paginator("simulate_principal_policy").paginate(
            PolicySourceArn=role["Arn"], ActionNames=wanted, PaginationConfig={"PageSize": 5}
        )
    )
    assert len(pages) == 5
    assert [found["EvalActionName"] for page in pages for found in page["EvaluationResults"]] == wanted


def test_simulate_principal_policy_refuses_bad_input(iam: Any, account: Any, role: dict[str, Any]) -> None:
    good = {"PolicySourceArn": role["Arn"], "ActionNames": ["s3:GetObject"]}
    for changes, expected in (
        ({"PolicySourceArn": role["Arn"] + "x"}, ("NoSuchEntity", 404)),
        ({"PolicySourceArn": f"arn:aws:iam::{account.account}:user/me"}, ("NoSuchEntity", 404)),
        ({"PolicySourceArn": "arn:aws:iam::000000000000:role/KenjaExecutionRole"}, ("NoSuchEntity", 404)),
        ({"PolicySourceArn": f"arn:aws:sts::{account.account}:assumed-role/trainer/me"}, ("InvalidInput", 400)),
        ({"PolicySourceArn": f"arn:aws:iam::{account.account}:root"}, ("InvalidInput", 400)),
        ({"PolicySourceArn": "trainer"}, ("ValidationError", 400)),
        ({"ActionNames": ["GetObject"]}, ("InvalidInput", 400)),
        ({"ActionNames": ["s3:Get Object"]}, ("InvalidInput", 400)),
        ({"ActionNames": ["*"]}, ("ValidationError", 400)),
        ({"PolicyInputList": ["{"]}, ("InvalidInput", 400)),
        ({"Marker": "x"}, ("ValidationError", 400)),
        ({"MaxItems": 0}, ("ValidationError", 400)),
    ):
        assert refused(iam.simulate_principal_policy, **good | changes) == expected, changes
    assert refused(iam.simulate_principal_policy, PolicySourceArn=role["Arn"]) == ("ValidationError", 400)
