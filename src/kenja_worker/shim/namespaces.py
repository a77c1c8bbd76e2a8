"""The rungs "warm" and "namespaces": a sandbox from our own system calls. Root gives the job another user, others a user namespace."""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from kenja_worker.shim import system
from kenja_worker.shim.child import Child, Ends, Program, close_ends, pipes
from kenja_worker.shim.keeper import close_all_but, keep, reset_signals
from kenja_worker.shim.sandbox import ML, Bind, Link, Plan, Text

_OLD_ROOT = "/.old"
_ROOT_SIZE = "16m"  # folders, links and a few small files
_READ_ONLY_PROC = (
    "sys",
    "sysrq-trigger",
    "irq",
    "bus",
    "fs",
)  # what the file modes of /proc alone leave to root's user id
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}


def start(plan: Plan, program: Program) -> Child:
    """Fork into new namespaces; the child waits for `go()`. Raises OSError where the kernel refuses."""
    privileged = system.is_privileged()
    flags = system.CLONE_NEWNS | system.CLONE_NEWPID | system.CLONE_NEWIPC | system.CLONE_NEWUTS
    flags |= 0 if privileged else system.CLONE_NEWUSER
    flags |= system.CLONE_NEWNET if plan.isolated_network else 0
    user = os.geteuid(), os.getegid()
    ends, own = pipes()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = system.clone(flags)
        if pid == 0:
            _inside(plan, program, ends, None if privileged else user)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        close_ends(ends)
    return Child(pid, *own)


def _inside(plan: Plan, program: Program, ends: Ends, mapped: tuple[int, int] | None) -> NoReturn:
    """`mapped`: the user and group to keep in a user namespace; None where the shim is root."""
    try:
        close_all_but(ends.numbers())
        reset_signals()
        system.die_with_parent()
        ends.wait_for_go()
        if mapped is not None:
            _map_user(*mapped)
    except BaseException as error:
        ends.send("failed", error=f"{type(error).__name__}: {error}")
        os._exit(1)
    enter(plan, program, ends, change_user=mapped is None)


def enter(plan: Plan, program: Program, ends: Ends, *, change_user: bool) -> NoReturn:
    """From the first process of new namespaces, with the rights to mount: build the root, give the rights up, run the job.

    `change_user`: to the plan's user, where the shim is root; otherwise a user namespace holds the shim's own.
    """
    owner = (plan.uid, plan.gid) if change_user else None
    try:
        build(plan, owner)
        if plan.isolated_network:
            system.bring_up_loopback()
        system.set_host_name(plan.host_name)
        system.drop_privileges(*(owner or (None, None)))
        system.set_dumpable(False)
        system.die_with_parent()
        keep(program, ends, isolated=True)
    except BaseException as error:
        ends.send("failed", error=f"{type(error).__name__}: {error}")
    finally:
        os._exit(1)


def _map_user(uid: int, gid: int) -> None:
    for name, content in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as handle:
            handle.write(content)


def build(plan: Plan, owner: tuple[int, int] | None) -> None:
    """A fresh root with nothing in it but the plan; the old one is gone when this returns."""
    system.make_mounts_private()
    system.mount("tmpfs", plan.folder, "tmpfs", system.MS_NOSUID | system.MS_NODEV, f"mode=0755,size={_ROOT_SIZE}")
    os.mkdir(plan.folder + _OLD_ROOT, 0o700)
    system.pivot_root(plan.folder, plan.folder + _OLD_ROOT)
    os.chdir("/")
    for entry in plan.entries:
        _place(entry, owner)
    _kernel_folders()
    system.detach(_OLD_ROOT)
    os.rmdir(_OLD_ROOT)
    system.mount(
        "none", "/", "", system.MS_REMOUNT | system.MS_BIND | system.MS_RDONLY | system.MS_NOSUID | system.MS_NODEV
    )


def _place(entry: Bind | Text | Link, owner: tuple[int, int] | None) -> None:
    _make_folders(os.path.dirname(entry.target), owner)
    if isinstance(entry, Link):
        os.symlink(entry.to, entry.target)
    elif isinstance(entry, Text):
        with open(entry.target, "x") as handle:
            handle.write(entry.content)
    else:
        source = _OLD_ROOT + entry.source
        if os.path.isdir(source):
            _make_folders(entry.target, owner)
        elif not os.path.exists(entry.target):
            os.close(os.open(entry.target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
        system.bind(source, entry.target, writable=entry.writable, devices=entry.devices)


def _make_folders(path: str, owner: tuple[int, int] | None) -> None:
    """Inside the new root, so that links which a former attempt left in /opt/ml lead nowhere else."""
    if os.path.isdir(path):
        return
    _make_folders(os.path.dirname(path), owner)
    os.mkdir(path, 0o755)
    if owner is not None and path.startswith(f"{ML}/"):
        os.chown(path, *owner, follow_symlinks=False)


def _kernel_folders() -> None:
    for path in ("/proc", "/dev/shm"):
        os.makedirs(path, exist_ok=True)
    harmless = system.MS_NOSUID | system.MS_NODEV
    system.mount("proc", "/proc", "proc", harmless | system.MS_NOEXEC)
    for name in _READ_ONLY_PROC:
        if os.path.exists(f"/proc/{name}"):
            system.bind(f"/proc/{name}", f"/proc/{name}", writable=False)
    system.mount("tmpfs", "/dev/shm", "tmpfs", harmless, "mode=1777")
    for name, to in _DEVICE_LINKS.items():
        os.symlink(to, f"/dev/{name}")
