"""Linux system calls that Python 3.11 lacks, through ctypes. No policy: what to mount or drop is decided by the callers."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import signal
import socket
import struct
from functools import cache
from pathlib import Path

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8  # linux/mount.h
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x00020000, 0x04000000, 0x08000000  # linux/sched.h
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 36, 38, 47, 4
_MNT_DETACH = 2
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_CALL_NUMBERS = {  # clone, pivot_root, mount_setattr, capset; asm/unistd.h
    "x86_64": {"clone": 56, "pivot_root": 155, "mount_setattr": 442, "capset": 126},
    "aarch64": {"clone": 220, "pivot_root": 41, "mount_setattr": 442, "capset": 91},
}
_NEEDED_CAPABILITIES = {"chown": 0, "kill": 5, "setgid": 6, "setuid": 7, "setpcap": 8, "sys_admin": 21}


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user_namespace")]


@cache
def _libc() -> ctypes.PyDLL:
    return ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the interpreter's lock: clone() must not return without it


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _call(name: str, *arguments: object) -> int:
    numbers = _CALL_NUMBERS.get(os.uname().machine)
    if numbers is None or os.uname().sysname != "Linux":
        raise OSError(errno.ENOSYS, f"{name}: known on Linux {' and '.join(_CALL_NUMBERS)} only, this is {os.uname()}")
    ctypes.set_errno(0)
    return int(_libc().syscall(ctypes.c_long(numbers[name]), *arguments))


def clone(flags: int) -> int:
    """fork() into new namespaces. The caller must have one thread only; the child should fork again before real work."""
    zero = ctypes.c_long(0)
    return _checked(_call("clone", ctypes.c_ulong(flags | signal.SIGCHLD), zero, zero, zero, zero), "clone")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    ctypes.set_errno(0)
    result = _libc().mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _checked(result, f"mount {kind or 'bind'} {source} at {target}")


def make_mounts_private() -> None:
    mount("none", "/", "", MS_REC | MS_PRIVATE)


def bind(source: str, target: str, *, writable: bool, devices: bool = False) -> None:
    """Bind `source` and what is mounted below it; no set-user-id programs, and read-only throughout unless `writable`."""
    mount(source, target, "", MS_BIND | MS_REC)
    wanted = _MOUNT_ATTR_NOSUID | (0 if devices else _MOUNT_ATTR_NODEV) | (0 if writable else _MOUNT_ATTR_RDONLY)
    attributes = _MountAttributes(set=wanted)
    result = _call(
        "mount_setattr",
        ctypes.c_int(_AT_FDCWD),
        target.encode(),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    if (
        result < 0 and ctypes.get_errno() == errno.ENOSYS
    ):  # before Linux 5.12: one mount at a time, so take only the top one
        detach(target)
        mount(source, target, "", MS_BIND)
        flags = MS_NOSUID | (0 if devices else MS_NODEV) | (0 if writable else MS_RDONLY)
        mount("none", target, "", MS_REMOUNT | MS_BIND | flags)
    else:
        _checked(result, f"mount_setattr {target}")


def detach(target: str) -> None:
    ctypes.set_errno(0)
    _checked(_libc().umount2(target.encode(), _MNT_DETACH), f"umount {target}")


def pivot_root(new_root: str, old_root: str) -> None:
    _checked(_call("pivot_root", new_root.encode(), old_root.encode()), f"pivot_root {new_root}")


def _prctl(option: int, first: int = 0, second: int = 0) -> int:
    ctypes.set_errno(0)
    zero = ctypes.c_ulong(0)
    return int(_libc().prctl(ctypes.c_int(option), ctypes.c_ulong(first), ctypes.c_ulong(second), zero, zero))


def die_with_parent() -> None:
    """SIGKILL when the parent ends. A change of user clears it, so it is set again afterwards."""
    _checked(_prctl(_PR_SET_PDEATHSIG, signal.SIGKILL), "PR_SET_PDEATHSIG")


def set_dumpable(dumpable: bool) -> None:
    """False closes /proc/PID/{root,fd,mem,environ} and ptrace to other processes of the same user."""
    _checked(_prctl(_PR_SET_DUMPABLE, int(dumpable)), "PR_SET_DUMPABLE")


def adopt_orphans() -> None:
    _checked(_prctl(_PR_SET_CHILD_SUBREAPER, 1), "PR_SET_CHILD_SUBREAPER")


def forbid_new_privileges() -> None:
    _checked(_prctl(_PR_SET_NO_NEW_PRIVS, 1), "PR_SET_NO_NEW_PRIVS")


def drop_privileges(uid: int | None, gid: int | None) -> None:
    """No groups, no capability in any set, none to be gained; with `uid` and `gid` also another user. Checked afterwards."""
    for capability in range(_LAST_CAPABILITY + 1):
        if _prctl(_PR_CAPBSET_DROP, capability) < 0:
            if ctypes.get_errno() != errno.EINVAL:
                _checked(-1, f"PR_CAPBSET_DROP {capability}")
            break
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)  # kernels before 4.3 have no ambient set
    if uid is not None and gid is not None:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    _checked(_call("capset", header, bytes(24)), "capset")
    forbid_new_privileges()
    if effective_capabilities() or (uid is not None and os.getresuid() != (uid, uid, uid)):
        raise PermissionError("The job's process still has privileges after they were dropped; it will not be started.")


def effective_capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0


def is_privileged() -> bool:
    """Whether namespaces and another user can be had without a user namespace."""
    if os.geteuid() != 0:
        return False
    held = effective_capabilities()
    return all(held >> bit & 1 for bit in _NEEDED_CAPABILITIES.values())


def bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        name, flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", name, flags | _IFF_UP))


def set_host_name(name: str) -> None:
    socket.sethostname(name)
