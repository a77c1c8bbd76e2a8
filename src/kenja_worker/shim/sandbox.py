"""What a job sees of the machine: an allowlist of mounts as data. Nothing is mounted here; namespaces.py and bubblewrap.py do that."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kenja_worker.shim.spec import Input, Spec, SpecError

ML, TEMPORARY, RUN, LIBRARY = "/opt/ml", "/tmp", "/run/kenja", "/opt/kenja"
OWN_RUNG = "namespaces"
WRITABLE = {ML: "ml", TEMPORARY: "tmp", RUN: "run"}  # the job's path → the folder inside the job's folder

_SYSTEM_FOLDERS = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_CONFIGURATION = (  # nothing in it is secret; keys, shadow and machine ids stay out
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "alternatives",
    "localtime",
    "timezone",
    "nsswitch.conf",
    "host.conf",
    "resolv.conf",
    "gai.conf",
    "protocols",
    "services",
    "mime.types",
    "locale.alias",
    "fonts",
    "ssl/certs",
    "ssl/openssl.cnf",
    "ca-certificates",
    "ca-certificates.conf",
    "pki/tls/certs",
    "pki/ca-trust/extracted",
)
_HARDWARE = ("/sys/devices/system/cpu", "/sys/devices/system/node")  # read by OpenMP, BLAS and torch to count cores
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_RESERVED = ("/usr", "/etc", "/proc", "/dev", "/sys", "/run", LIBRARY, *(f"/{name}" for name in _SYSTEM_FOLDERS))
_FIRST_USER, _USERS = 61184, 4096  # below 65536, so that it exists where root itself is mapped; systemd's dynamic range


@dataclass(frozen=True)
class Bind:
    source: str
    target: str
    writable: bool = False
    devices: bool = False


@dataclass(frozen=True)
class Text:
    target: str
    content: str


@dataclass(frozen=True)
class Link:
    target: str
    to: str


@dataclass(frozen=True)
class Plan:
    """In the order in which it is built; /proc, /dev/shm and the links of /dev are added by whoever builds it."""

    folder: str  # the job's folder: where the new root is put together
    entries: tuple[Bind | Text | Link, ...]
    isolated_network: bool
    host_name: str
    uid: int
    gid: int


def plan(folder: Path, spec: Spec) -> Plan:
    uid = spec.uid or _FIRST_USER + zlib.crc32(spec.id.encode()) % _USERS
    gid = spec.gid or uid
    entries = (
        *_system(),
        *_configuration(spec, uid, gid),
        *(Bind(f"/dev/{name}", f"/dev/{name}", writable=True, devices=True) for name in _DEVICES),
        *(Bind(path, path, writable=True, devices=True) for path in spec.devices),
        *(Bind(str(folder / name), target, writable=True) for target, name in WRITABLE.items()),
        *_readable(folder, spec),  # after /tmp, below which an environment may lie
        *_inputs(folder, spec),
    )
    return Plan(str(folder), entries, spec.network == "none", host_name(spec), uid, gid)


def host_name(spec: Spec) -> str:
    return spec.env.get("SM_CURRENT_HOST") or next(iter(spec.hosts), "algo-1")


def package_folder() -> str:
    """Where kenja_worker lies, as it was imported."""
    return str(Path(__file__).parent.parent)


def interpreter_paths(python: str) -> list[str]:
    """What a job must be able to read to run `python`: its virtual environment, if it is in one, and its base installation."""
    found: list[str] = []
    environment = Path(os.path.abspath(python)).parent.parent
    if (environment / "pyvenv.cfg").is_file():
        found.append(str(environment))
    installation = str(Path(python).resolve().parent.parent)
    if not _is_below(installation, "/usr"):
        found.append(installation)
    return found


def _system() -> Iterator[Bind | Link]:
    yield Bind("/usr", "/usr")
    for name in _SYSTEM_FOLDERS:
        path = f"/{name}"
        if os.path.islink(path):
            yield Link(path, os.readlink(path))
        elif os.path.isdir(path):
            yield Bind(path, path)
    yield Link("/var/tmp", TEMPORARY)
    yield Link("/var/run", "/run")
    yield from (Bind(path, path) for path in _HARDWARE if os.path.isdir(path))


def _configuration(spec: Spec, uid: int, gid: int) -> Iterator[Bind | Text]:
    for name in _CONFIGURATION:
        source = os.path.realpath(f"/etc/{name}")
        if os.path.exists(source):
            yield Bind(source, f"/etc/{name}")
    owner = uid, gid
    if os.geteuid() != 0:
        owner = os.getuid(), os.getgid()
    yield Text("/etc/passwd", f"root:x:0:0:root:/:/bin/sh\njob:x:{owner[0]}:{owner[1]}:job:{TEMPORARY}:/bin/sh\n")
    yield Text("/etc/group", f"root:x:0:\njob:x:{owner[1]}:\n")
    yield Text("/etc/hostname", f"{host_name(spec)}\n")
    lines = ["127.0.0.1 localhost", "::1 localhost"]
    lines += [f"{address} {name}" for name, address in spec.hosts.items()]
    if host_name(spec) not in spec.hosts:
        lines.append(f"127.0.0.1 {host_name(spec)}")
    if spec.network == "host" and os.path.isfile("/etc/hosts"):
        lines += [Path("/etc/hosts").read_text(errors="replace")]
    yield Text("/etc/hosts", "\n".join(lines) + "\n")


def _readable(folder: Path, spec: Spec) -> Iterator[Bind]:
    package = package_folder()
    yield _guarded(folder, package, f"{LIBRARY}/kenja_worker", "kenja_worker")
    wanted = {os.path.realpath(package)}
    for path in spec.readable:
        wanted |= {os.path.normpath(path), os.path.realpath(path)}
    bound = ["/usr"]
    for path in sorted(wanted):
        if not any(_is_below(path, above) and _is_below(os.path.realpath(path), above) for above in bound):
            yield _guarded(folder, path, path, "readable")
            bound.append(path)


def _inputs(folder: Path, spec: Spec) -> Iterator[Bind]:
    for item in sorted(spec.inputs, key=lambda item: item.target):
        yield _guarded(folder, item.source, check_target(item), "inputs")


def check_target(item: Input) -> str:
    target = os.path.normpath(item.target)
    if target in ("/", "/opt", *WRITABLE) or any(_is_below(target, reserved) for reserved in _RESERVED):
        raise SpecError(f"inputs target {item.target!r} is reserved; use a folder below {ML}.")
    return target


def _guarded(folder: Path, path: str, target: str, member: str) -> Bind:
    source = os.path.realpath(path)
    if not os.path.exists(source):
        raise SpecError(f"{member} names {path!r}, which does not exist.")
    if _is_below(os.path.realpath(folder), source):
        raise SpecError(
            f"{member} names {path!r}, which holds the job's own folder: the data folder would be readable."
        )
    return Bind(source, target)


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith(above.rstrip("/") + "/")
