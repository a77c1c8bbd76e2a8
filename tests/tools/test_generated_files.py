"""The generators: what they write follows from model and declarations, and nothing else."""

from __future__ import annotations

from pathlib import Path

import check_services
import gen_types
import parity
import pytest

from kenja.kernel.declare import Service

SERVICE_TOML = """
name = "sts"
calls = []
[routing]
signing_name = "sts"
endpoint_prefix = "sts"
api_version = "2011-06-15"
protocols = ["query"]
"""


def handler(context: object, request: dict[str, object]) -> dict[str, object]:
    return {}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    """A service folder of its own over a real model."""
    (tmp_path / "service.toml").write_text(SERVICE_TOML)
    (tmp_path / "errors.toml").write_text('[validation]\ncode = "ValidationError"\nstatus = 400\n')
    made = Service(str(tmp_path / "__init__.py"))
    made.operation("AssumeRole", level=2)(handler)
    made.derived("GetCallerIdentity", handler)
    return made


def test_types_have_the_members_of_the_model(service: Service) -> None:
    text = gen_types.render(service)
    space: dict[str, object] = {}
    exec(compile(text, "_types.py", "exec"), space)
    request, credentials = space["AssumeRoleRequest"], space["Credentials"]
    optional = {name for name, kind in request.__annotations__.items() if "NotRequired" in kind.__forward_arg__}
    assert set(request.__annotations__) - optional == {"RoleArn", "RoleSessionName"}
    assert "DurationSeconds" in optional
    assert credentials.__annotations__["Expiration"].__forward_arg__ == "datetime"
    assert "AssumeRoleWithSAMLRequest" not in space


def test_types_are_the_same_every_time(service: Service) -> None:
    assert gen_types.render(service) == gen_types.render(service)


def test_types_of_every_shape_of_a_large_model_are_valid_python(tmp_path: Path) -> None:
    (tmp_path / "service.toml").write_text(SERVICE_TOML.replace('name = "sts"', 'name = "s3"'))
    (tmp_path / "errors.toml").write_text("")
    made = Service(str(tmp_path / "__init__.py"))
    for name in made.model.operation_names:
        made.derived(name, handler)
    space: dict[str, object] = {}
    exec(compile(gen_types.render(made), "_types.py", "exec"), space)
    assert "PutObjectRequest" in space


def test_an_operation_without_a_test_of_its_name_is_reported(service: Service) -> None:
    assert any(
        "AssumeRole is written" in problem for problem in check_services.operation_problems(service, frozenset())
    )
    named = frozenset({"test_assume_role_gives_keys"})
    assert not list(check_services.operation_problems(service, named))


@pytest.mark.parametrize(
    ("test", "tested"),
    [
        ("test_list_objects_v2_pages", {"ListObjectsV2"}),
        ("test_list_objects_pages", {"ListObjects"}),
        ("test_list_objects_and_list_objects_v2_agree", {"ListObjects", "ListObjectsV2"}),
        ("TestListObjects", {"ListObjects"}),
        ("test_listing_objects", set()),
        ("test_list_objectsx", set()),
    ],
)
def test_the_longest_operation_in_a_name_counts(test: str, tested: set[str]) -> None:
    assert check_services.tested_operations(["ListObjects", "ListObjectsV2"], frozenset({test})) == tested


def test_an_error_code_that_aws_does_not_have_is_reported(service: Service) -> None:
    table = service.folder / "errors.toml"
    table.write_text('[validation]\ncode = "ValidationError"\n[denied]\ncode = "NoSuchCodeException"\n')
    found = list(check_services.error_problems(service, set()))
    assert len(found) == 1
    assert "NoSuchCodeException" in found[0]
    assert not list(check_services.error_problems(service, {"NoSuchCodeException"}))
    table.write_text(table.read_text() + 'documented = "API reference, page X"\n')
    assert not list(check_services.error_problems(service, set()))


def test_a_status_other_than_the_models_is_reported(service: Service) -> None:
    (service.folder / "errors.toml").write_text('[validation]\ncode = "MalformedPolicyDocument"\nstatus = 418\n')
    assert any("418" in problem for problem in check_services.error_problems(service, set()))


def test_the_codes_of_sagemakers_waiters_are_known() -> None:
    assert "ValidationException" in check_services.waiter_codes("sagemaker")
    assert check_services.waiter_codes("sts") == set()


def test_a_missing_part_of_a_manifest_is_reported(service: Service) -> None:
    (service.folder / "service.toml").write_text('name = "sts"\n[routing]\nsigning_name = "wrong"\n')
    found = " ".join(check_services.manifest_problems(service, {"sts"}))
    assert "routing.protocols" in found
    assert "'wrong'" in found


def test_readme_keeps_everything_outside_its_region(service: Service) -> None:
    present = f"before\n{parity.BEGIN}\nold\n{parity.END}\nafter\n"
    text = parity.readme([service], present)
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "AssumeRole, GetCallerIdentity" in text
    assert parity.readme([service], text) == text


def test_readme_never_advertises_what_is_only_recorded(service: Service) -> None:
    service.operation("GetSessionToken", level=1)(handler)
    assert "GetSessionToken" not in parity.region([service])


def test_readme_without_markers_is_refused(service: Service) -> None:
    with pytest.raises(ValueError, match=r"markers"):
        parity.readme([service], "nothing")
