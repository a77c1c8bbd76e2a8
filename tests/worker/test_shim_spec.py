"""spec.json: what is allowed is read as it is, what is not is refused by name."""

from __future__ import annotations

from typing import Any

import pytest

from kenja_worker.shim.spec import Input, SpecError, parse_spec

GOOD: dict[str, Any] = {
    "version": 1,
    "id": "a",
    "name": "a",
    "kind": "training",
    "python": "/usr/bin/python3",
    "module": "m.n",
    "log_segment": "/log",
}


def test_defaults_and_values_are_read() -> None:
    spec = parse_spec(GOOD | {"inputs": [{"source": "/a", "target": "/opt/ml/input/data/a"}], "limits": {"cpus": 0.5}})
    assert spec.inputs == (Input("/a", "/opt/ml/input/data/a"),)
    assert (spec.limits.cpus, spec.limits.pids, spec.network, spec.rung) == (0.5, 0, "host", "auto")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"version": 2}, "version"),
        ({"kind": "pet"}, "kind"),
        ({"network": "vpc"}, "network"),
        ({"rung": "docker"}, "rung"),
        ({"python": "python3"}, "python"),
        ({"module": "os; import x"}, "module"),
        ({"readable": ["/a/../b"]}, "readable"),
        ({"readable": "/a"}, "readable"),
        ({"env": {"A": 1}}, "env"),
        ({"env": {"A=B": "1"}}, "env"),
        ({"argv": ["a\0b"]}, "argv"),
        ({"inputs": [{"source": "/a"}]}, "inputs"),
        ({"pipes": [{"channel": "a"}]}, "pipes"),
        ({"pipes": [{"channel": "../a", "plan": "/p"}]}, "pipes has the channel '../a'"),
        ({"pipes": [{"channel": "a", "plan": "p"}]}, "pipes plan"),
        ({"inputs": [{"source": "/a", "target": "relative"}]}, "inputs target"),
        ({"hosts": {"a\nb": "127.0.0.1"}}, "hosts"),
        ({"hosts": {"a": "127.0.0.1 evil"}}, "hosts"),
        ({"limits": {"pids": -1}}, "limits.pids"),
        ({"limits": {"gpus": 1}}, "limits"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"uid": 0}, "uid"),
        ({"surprise": 1}, "surprise"),
        ({"log_segment": ""}, "log_segment"),
    ],
)
def test_bad_member_is_refused_by_name(change: dict[str, Any], named: str) -> None:
    with pytest.raises(SpecError, match=named):
        parse_spec(GOOD | change)


@pytest.mark.parametrize("document", [None, [], "text", 1])
def test_other_documents_are_refused(document: object) -> None:
    with pytest.raises(SpecError, match="object"):
        parse_spec(document)
