"""What archives of the SDK v3's ModelBuilder have and others do not, without the SDK: a folder of system libraries."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from textwrap import dedent

import pytest

from tests.conftest import RunningServer
from tests.services.sagemaker.endpoints import SKLEARN, Hosting, open_hosting

SCRIPT = """
    import pathlib, shutil
    def model_fn(model_dir):
        libraries = pathlib.Path(model_dir + "/shared_libs")
        if libraries.exists():
            shutil.copytree(libraries, "/lib", dirs_exist_ok=True)
        return "loaded"
    def input_fn(body, content_type): return body
    def predict_fn(data, model): return model
    def output_fn(prediction, accept): return prediction
"""  # the order of steps in the handlers that ModelBuilder packs


@pytest.fixture
def hosting(server: RunningServer) -> Iterator[Hosting]:
    """An account of its own, whose endpoints are gone afterwards."""
    made = open_hosting(server, server.new_account())
    yield made
    for entry in made.sagemaker.list_endpoints()["Endpoints"]:
        made.sagemaker.delete_endpoint(EndpointName=entry["EndpointName"])


def built(*libraries: str) -> bytes:
    """A model archive with the script and a folder of libraries, empty or not."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        folder = tarfile.TarInfo("shared_libs")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(folder)
        for name, text in {
            "code/inference.py": dedent(SCRIPT),
            **{f"shared_libs/{name}": "" for name in libraries},
        }.items():
            info = tarfile.TarInfo(name)
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text.encode()))
    return packed.getvalue()


def test_an_empty_folder_of_libraries_does_not_hold_up_the_handlers(hosting: Hosting) -> None:
    body = built()
    hosting.start("built", body, PrimaryContainer=hosting.container(body, Image=SKLEARN))
    described = hosting.settled("built")
    assert described["EndpointStatus"] == "InService", described.get("FailureReason")
    answer = hosting.runtime.invoke_endpoint(EndpointName="built", Body=b"x", ContentType="text/plain")
    assert answer["Body"].read() == b"loaded"


def test_a_library_that_can_not_be_put_into_the_system_fails_the_endpoint_with_the_reason(hosting: Hosting) -> None:
    body = built("libown.so")
    hosting.start("libraries", body, PrimaryContainer=hosting.container(body, Image=SKLEARN))
    described = hosting.settled("libraries")
    assert described["EndpointStatus"] == "Failed"
    assert "Read-only file system" in described["FailureReason"]
