"""Every image URI that the sagemaker SDK gives for XGBoost and scikit-learn, of any version, in every AWS partition, has a runtime."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kenja.runtimes import resolve

REPOSITORY = Path(__file__).parents[2]
PROGRAM = """
import json, logging
from pathlib import Path
logging.disable(logging.CRITICAL)
from sagemaker import image_uris
REGIONS = {"us-east-1", "us-gov-west-1", "cn-north-1", "us-iso-east-1", "us-isob-east-1", "us-isof-south-1"}  # one of each partition
found = set()
for framework in ("xgboost", "sklearn"):
    config = json.loads((Path(image_uris.__file__).parent / "image_uri_config" / f"{framework}.json").read_text())
    for scope, versions in (config.items() if "training" in config else [(None, config)]):
        for version, release in versions["versions"].items():
            for region in REGIONS & set(release["registries"]):
                try:
                    uri = image_uris.retrieve(
                        framework, region, version=version, image_scope=scope or release["scope"][0], py_version="py3",
                        instance_type="ml.c5.xlarge",
                    )
                except ValueError as refusal:
                    if "Unsupported" not in str(refusal):
                        raise
                    continue
                found.add(uri)
print(json.dumps(sorted(found)))
"""


@pytest.mark.sdk
def test_every_uri_of_the_sdk_has_a_runtime(tmp_path: Path) -> None:
    command = [sys.executable, str(REPOSITORY / "tools" / "sdk_env.py"), "sdk-v2"]
    python = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    told = subprocess.run([python, "-c", PROGRAM], capture_output=True, text=True, check=True, cwd=tmp_path)
    uris = json.loads(told.stdout.splitlines()[-1])
    assert len(uris) > 60
    assert {uri.rpartition("/")[2].partition(":")[0] for uri in uris} == {
        "sagemaker-xgboost",
        "sagemaker-scikit-learn",
        "xgboost",
    }
    assert [uri for uri in uris if resolve(uri) is None] == []
