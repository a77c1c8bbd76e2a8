"""What a hostile job tries, run inside the sandbox. Prints one JSON object: attack → what came of it ("denied: …" or "DONE")."""

import ctypes
import json
import os
import stat
import subprocess
import sys

TARGET = "/opt/ml/input/data/train/object.csv"
FOLDER = os.path.dirname(TARGET)
DATA, HOST_PID = sys.argv[1], sys.argv[2]  # the data folder's path and the shim's pid, both of the host
SECRET = "SECRET-ROW"
libc = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_BIND, MS_REC = 1, 32, 4096, 16384
results = {}


def attack(function):
    try:
        function()
    except BaseException as error:
        results[function.__name__] = f"denied: {error!r}"
    else:
        results[function.__name__] = "DONE"


def checked(value, what):
    if value < 0:
        raise OSError(ctypes.get_errno(), what)
    return value


def call_mount(source, target, kind, flags):
    checked(libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None), "mount")


def in_child(function):
    """Run in a fork, so that a change of namespaces does not disturb the other attacks."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            function()
            os.write(write, b"DONE")
        except BaseException as error:
            os.write(write, repr(error).encode())
        os._exit(0)
    os.close(write)
    answer = b"".join(iter(lambda: os.read(read, 4096), b""))
    os.waitpid(pid, 0)
    if answer != b"DONE":
        raise PermissionError(answer.decode())


def write_target():
    with open(TARGET, "w") as handle:
        handle.write("CHANGED")


@attack
def write_input():
    write_target()


@attack
def chmod_and_write():
    os.chmod(TARGET, 0o666)
    write_target()


@attack
def change_times():
    os.utime(TARGET, (0, 0))


@attack
def delete_input():
    os.unlink(TARGET)


@attack
def rename_input():
    os.rename(TARGET, FOLDER + "/other")


@attack
def new_file_beside_input():
    open(FOLDER + "/new", "w").close()


@attack
def hard_link_and_write():
    os.link(TARGET, "/opt/ml/model/link")
    with open("/opt/ml/model/link", "w") as handle:
        handle.write("CHANGED")


@attack
def truncate():
    os.truncate(TARGET, 0)


@attack
def reopen_through_descriptor():
    number = os.open(TARGET, os.O_RDONLY)
    with open(f"/proc/self/fd/{number}", "w") as handle:
        handle.write("CHANGED")


@attack
def extended_attribute():
    os.setxattr(TARGET, "user.kenja", b"x")


@attack
def remount():
    call_mount("none", FOLDER, "", MS_REMOUNT | MS_BIND)
    write_target()


@attack
def unmount_input():
    checked(libc.umount2(FOLDER.encode(), 2), "umount")


@attack
def unmount_proc():
    checked(libc.umount2(b"/proc", 2), "umount")


@attack
def unmount_root():
    checked(libc.umount2(b"/", 2), "umount")


@attack
def user_namespace_and_remount():
    def inside():
        uid, gid = os.getuid(), os.getgid()
        checked(libc.unshare(0x10000000 | 0x00020000), "unshare")
        for name, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
            with open(f"/proc/self/{name}", "w") as handle:
                handle.write(content)
        try:
            call_mount("none", FOLDER, "", MS_REMOUNT | MS_BIND)
        except OSError:
            checked(libc.umount2(FOLDER.encode(), 2), "umount")
        write_target()

    in_child(inside)


@attack
def user_namespace_and_bind_elsewhere():
    def inside():
        uid = os.getuid()
        checked(libc.unshare(0x10000000 | 0x00020000), "unshare")
        for name, content in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1")):
            with open(f"/proc/self/{name}", "w") as handle:
                handle.write(content)
        os.makedirs("/tmp/elsewhere", exist_ok=True)
        call_mount(FOLDER, "/tmp/elsewhere", "", MS_BIND | MS_REC)
        call_mount("none", "/tmp/elsewhere", "", MS_REMOUNT | MS_BIND)
        with open("/tmp/elsewhere/object.csv", "w") as handle:
            handle.write("CHANGED")

    in_child(inside)


@attack
def become_root():
    os.setresuid(0, 0, 0)
    write_target()


@attack
def set_user_id_program():
    output = subprocess.run(["su", "-c", "id"], capture_output=True, stdin=subprocess.DEVNULL, timeout=5, check=True)
    if b"uid=0" not in output.stdout:
        raise PermissionError("not root")


@attack
def make_set_user_id_file():
    path = "/opt/ml/model/root"
    with open(path, "w") as handle:
        handle.write("#!/bin/sh\n")
    os.chmod(path, 0o4755)
    if os.stat(path).st_uid == 0:
        os.execv(path, [path])
    raise PermissionError("owned by nobody in particular")


@attack
def make_block_device():
    os.mknod("/opt/ml/model/disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0))


@attack
def make_memory_device():
    os.mknod("/tmp/mem", 0o666 | stat.S_IFCHR, os.makedev(1, 1))


@attack
def root_of_first_process():
    os.listdir("/proc/1/root/")
    if not os.path.exists("/proc/1/root" + DATA):
        raise PermissionError("it is the job's own root")


@attack
def descriptors_of_first_process():
    names = [os.readlink(f"/proc/1/fd/{name}") for name in os.listdir("/proc/1/fd")]
    if not any(name.startswith("/") and not name.startswith("/dev/") for name in names):
        raise PermissionError("no files among them")


@attack
def memory_of_first_process():
    open("/proc/1/mem", "rb").close()


@attack
def environment_of_first_process():
    with open("/proc/1/environ", "rb") as handle:
        if b"PYTHONPATH" not in handle.read():  # the shim's own
            raise PermissionError("nothing of the shim in it")


@attack
def trace_first_process():
    checked(libc.ptrace(16, 1, None, None), "ptrace")  # PTRACE_ATTACH
    libc.waitpid(1, None, 0x40000000)  # __WALL
    libc.ptrace(17, 1, None, None)  # PTRACE_DETACH: a stopped first process would keep everything waiting


@attack
def namespaces_of_first_process():
    number = os.open("/proc/1/ns/mnt", os.O_RDONLY)
    checked(libc.setns(number, 0), "setns")


@attack
def kill_first_process():
    os.kill(1, 9)
    raise PermissionError("ignored")  # still here


@attack
def see_host_process():
    os.kill(int(HOST_PID), 0)


@attack
def read_data_folder():
    with open(DATA + "/kenja.db") as handle:
        assert SECRET in handle.read()


@attack
def list_data_folder():
    os.listdir(DATA + "/objects")


@attack
def data_folder_through_old_root():
    for path in ("/.old", "/old_root", "/proc/self/root/..", "/proc/thread-self/root/../..", ".."):
        if os.path.exists(path + DATA + "/kenja.db"):
            return
    raise PermissionError("not there")


@attack
def climb_out_by_descriptors():
    for name in os.listdir("/proc/self/fd"):
        number = int(name)
        try:
            os.stat("../../../kenja.db", dir_fd=number)
            return
        except (OSError, ValueError):
            continue
    raise PermissionError("no descriptor leads out")


@attack
def walk_everything():
    """Look for the secret in every file that can be read."""
    for folder, names, files in os.walk("/"):
        if folder == "/":
            names[:] = [
                name for name in names if name not in ("usr", "proc", "sys", "dev", "lib", "lib64", "bin", "sbin")
            ]
        names[:] = [name for name in names if name not in ("site-packages", "versions", "program")]
        for name in files:
            try:
                with open(os.path.join(folder, name), "rb") as handle:
                    if SECRET.encode() in handle.read(1 << 16):
                        return
            except OSError:
                continue
    raise PermissionError("not found")


@attack
def file_handle():
    checked(libc.open_by_handle_at(-100, ctypes.create_string_buffer(64), 0), "open_by_handle_at")


@attack
def change_root_and_escape():
    os.chroot("/tmp")


@attack
def write_kernel_settings():
    os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))  # opened only: a test must not change its machine


@attack
def trigger_kernel():
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))


@attack
def write_system():
    for path in ("/usr/x", "/etc/x", "/x", "/opt/x", "/opt/kenja/kenja_worker/x"):
        try:
            open(path, "w").close()
            return
        except OSError:
            continue
    raise PermissionError("all of it is read-only")


@attack
def write_hosts():
    with open("/etc/hosts", "a") as handle:
        handle.write("1.2.3.4 example.com\n")


@attack
def read_passwords():
    open("/etc/shadow").close()


@attack
def change_host_name():
    checked(libc.sethostname(b"pwned", 5), "sethostname")


@attack
def regain_capabilities():
    with open("/proc/self/status") as handle:
        values = dict(line.split(":\t") for line in handle.read().splitlines() if line.startswith(("Cap", "NoNew")))
    if values["NoNewPrivs"] == "1" and all(
        int(values[name], 16) == 0 for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")
    ):
        raise PermissionError("none is left")


os.makedirs("/opt/ml/output", exist_ok=True)
os.symlink(DATA + "/kenja.db", "/opt/ml/output/failure")  # the shim must not follow it
print(json.dumps(results), flush=True)
