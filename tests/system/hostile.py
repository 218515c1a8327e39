#!/usr/bin/python3
"""A handler that turns on its keepers: what it got and how it was refused goes into a file.

    exec:.../hostile.py REPORT [NAME=PATH ...]

A message "!hostile ATTEMPT" makes it try something; "!hostile look" everything that only looks.  Speaks just enough
of proto/README.md.  Every byte that it could read lies in REPORT.bytes, for who searches them.
"""

import ctypes
import errno
import fcntl
import glob
import io
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time

import msgpack

READY, EVENT, ACK, DRAIN, PING, PONG = 0x02, 0x10, 0x11, 0x30, 0x31, 0x32
REPORT, PATHS = sys.argv[1], dict(word.split("=", 1) for word in sys.argv[2:])



def is_open(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


STARTED = {"fds": [n for n in range(1024) if is_open(n)], "environ": dict(os.environ),
           "parent": os.getppid(), "pid": os.getpid()}
libc = ctypes.CDLL(None, use_errno=True)
link = socket.socket(fileno=3)
received = bytearray()
collected = io.BytesIO()


def send(*fields):
    frame = msgpack.packb(fields)
    link.sendall(struct.pack(">I", len(frame)) + frame)


def next_message():
    while True:
        if len(received) >= 4 and len(received) >= 4 + struct.unpack_from(">I", received)[0]:
            n = 4 + struct.unpack_from(">I", received)[0]
            frame = bytes(received[4:n])
            del received[:n]
            return msgpack.unpackb(frame)
        data = link.recv(65536)
        if not data:
            sys.exit(0)
        received.extend(data)


def name_of(number):
    return errno.errorcode.get(number, str(number))


def tried(what, *args):
    """What it got ("" counts), or the name of the error."""
    try:
        got = what(*args)
    except OSError as e:
        return name_of(e.errno)
    if isinstance(got, bytes):
        collected.write(got)
        return f"GOT {len(got)}"
    return f"GOT {got}" if got is not None else "GOT"


def read(path, most=4 << 20):
    with open(path, "rb", buffering=0) as file:
        return file.read(most)


def call(number, *args):
    """A system call by a function of libc, or by its number on x86-64 and arm64."""
    done = number(*args)
    if done == -1:
        raise OSError(ctypes.get_errno(), "")
    return done


def memory(pid):
    """The parts of its memory that may be read, up to a sum: what a sanitizer maps has no end."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as file:
        maps = file.read().splitlines()
    got = bytearray()                   # a sanitizer maps hundreds of megabytes
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            start, end = (int(x, 16) for x in line.split()[0].split("-"))
            try:
                mem.seek(start)
                got += mem.read(min(end - start, 8 << 20, (32 << 20) - len(got)))
            except (OSError, OverflowError, ValueError):
                pass
    return bytes(got)


def vm_read(pid):
    class Iovec(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
    buf = ctypes.create_string_buffer(4096)
    here, there = Iovec(ctypes.addressof(buf), 4096), Iovec(ctypes.addressof(buf), 4096)
    call(libc.process_vm_readv, pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return buf.raw


def trace(pid):
    call(libc.ptrace, 0x4206, pid, None, None)          # PTRACE_SEIZE: it would not even stop


def descriptors(pid):
    got = b""
    for n in os.listdir(f"/proc/{pid}/fd"):
        try:
            fd = os.open(f"/proc/{pid}/fd/{n}", os.O_RDONLY | os.O_NONBLOCK)
        except OSError as e:
            if e.errno == errno.ENXIO:          # a socket
                continue
            raise
        try:
            got += os.read(fd, 65536)
        except BlockingIOError:
            pass
        finally:
            os.close(fd)
    return got


def signal_by_proc(pid):
    """Where a directory of /proc does for a pidfd."""
    fd = os.open(f"/proc/{pid}", os.O_RDONLY | os.O_DIRECTORY)
    try:
        signal.pidfd_send_signal(fd, 0)
    finally:
        os.close(fd)


def signal_by_io(pid):
    """As the owner of a socket, which is signalled when something comes."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fcntl.fcntl(ours, fcntl.F_SETOWN, pid)


def io_priority(which, who):
    """To what it is where nobody changed it."""
    call(libc.syscall, {"x86_64": 251}.get(os.uname().machine, 30), which, who, 0)


def join_group(pid):
    """A child joins the group, where it could signal all of it."""
    child = os.fork()
    if child == 0:
        time.sleep(600)
        os._exit(0)
    try:
        os.setpgid(child, os.getpgid(pid))
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def of_process(pid):
    return {
        "environ": tried(read, f"/proc/{pid}/environ"), "cmdline": tried(read, f"/proc/{pid}/cmdline"),
        "memory": tried(memory, pid), "vm_read": tried(vm_read, pid), "ptrace": tried(trace, pid),
        "descriptors": tried(descriptors, pid), "signal": tried(os.kill, pid, 0), "signal proc": tried(signal_by_proc, pid),
        "signal io": tried(signal_by_io, pid), "signal all": tried(os.kill, -1, 0), "join": tried(join_group, pid),
        "limits": tried(resource.prlimit, pid, resource.RLIMIT_CPU),
        # To what they are: whoever may do that may do worse.
        "niceness": tried(os.setpriority, os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid)),
        "niceness all": tried(os.setpriority, os.PRIO_USER, 0, os.getpriority(os.PRIO_PROCESS, 0)),
        "io priority": tried(io_priority, 1, pid), "io priority all": tried(io_priority, 3, os.getuid()),
        "cpus": tried(os.sched_setaffinity, pid, os.sched_getaffinity(pid)),
    }


def made_in(directory):
    path = f"{directory}/hostile"
    with open(path, "w", encoding="ascii") as file:
        file.write("x")
    os.unlink(path)


def opened_groups():
    """Control groups, to be written: who has one ends what is in it."""
    for path in glob.glob("/sys/fs/cgroup/cgroup.procs") + glob.glob("/sys/fs/cgroup/*/cgroup.procs"):
        os.close(os.open(path, os.O_WRONLY))


def control(how):
    """Ask on the control socket for a stop, as a child, a grandchild, an orphan, a very late descendant, by
    a dead one's connection."""
    words = [PATHS["ctl"], "-s", PATHS["socket"], "--no-wait", "stop"]
    # A leak checker would have to trace itself.
    os.environ["ASAN_OPTIONS"] = "detect_leaks=0"
    if how in ("itself", "grandchild"):
        command = words if how == "itself" else ["/bin/sh", "-c", '"$@"; exit $?', "sh", *words]
        done = subprocess.run(command, capture_output=True, timeout=20, check=False)
        return f"{done.returncode} {done.stderr.decode()}"
    out = f"{REPORT}.{how}"
    if how in ("orphan", "deep"):
        if os.fork() == 0:
            os.setsid()
            if how == "orphan":
                if os.fork() != 0:
                    os._exit(0)
                mother = os.getppid()
                while os.getppid() == mother and mother != STARTED["parent"]:
                    time.sleep(0.01)
            else:
                for _ in range(100):
                    if os.fork() != 0:
                        os.wait()
                        os._exit(0)
            done = subprocess.run(words, capture_output=True, timeout=20, check=False)
            with open(out + ".new", "w", encoding="utf-8") as file:
                file.write(f"{done.returncode} {done.stderr.decode()}")
            os.rename(out + ".new", out)
            os._exit(0)
        os.wait()
        for _ in range(2000):
            if os.path.exists(out):
                with open(out, encoding="utf-8") as file:
                    return file.read()
            time.sleep(0.01)
        return "no answer"
    # The one who connected is dead before the connection is looked at: the supervisor is slower than this only
    # now and then, so many times.
    answers = set()
    for _ in range(50):
        sock = socket.socket(socket.AF_UNIX)
        if os.fork() == 0:
            try:
                sock.connect(PATHS["socket"])
            finally:
                os._exit(0)
        os.wait()
        sock.settimeout(10)
        try:
            answers.add(sock.recv(4096)[4:].decode(errors="replace"))
        except OSError:
            answers.add("never connected")
        sock.close()
    return " | ".join(sorted(answers))


def look(*relatives):
    report = {"started": STARTED, "processes": {}, "files": {}, "made": {}, "control": {}}
    for name, pid in [("supervisor", STARTED["parent"]), *(word.split("=") for word in relatives)]:
        report["processes"][name] = of_process(int(pid))
    for name, path in PATHS.items():
        if name not in ("ctl", "open"):
            report["files"][name] = tried(read, path)
    for how in ("itself", "grandchild", "orphan", "deep", "dead"):
        report["control"][how] = control(how)
    # The last: where only its user could keep it from that, nobody can connect afterwards.
    run = os.path.dirname(PATHS["journal"])
    report["made"] = {"runtime_dir": tried(made_in, run), "beside the secrets": tried(made_in, os.path.dirname(PATHS["conf"])),
                      "journal moved": tried(os.rename, PATHS["journal"], f"{run}/gone"),
                      "socket removed": tried(os.unlink, PATHS["socket"]), "elsewhere": tried(made_in, PATHS["open"])}
    report["groups"] = tried(opened_groups)
    report["mount"] = tried(lambda: call(libc.mount, b"none", PATHS["open"].encode(), b"tmpfs", 0, None))
    report["typing"] = tried(lambda: fcntl.ioctl(0, 0x5412, b"x"))
    report["regained"] = tried(lambda: call(libc.setuid, 0)) if os.getuid() else "root"
    return report


def exhaust():
    """Descriptors and memory: what its limits let it have, and no more."""
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError as e:
        result = f"{name_of(e.errno)} after {len(taken)}"
    for fd in taken:
        os.close(fd)
    bytes_ = bytearray(256 << 20)
    bytes_[::4096] = b"x" * len(bytes_[::4096])
    return {"descriptors": result, "memory": len(bytes_)}


def noise(megabytes):
    """So many lines on stderr."""
    line = b"noise " * 170 + b"\n"
    n = 0
    while n < int(megabytes) << 20:
        n += os.write(2, line * 60)
    return {"bytes": n}


def fork():
    """Processes that get away from the group and ignore what they can."""
    born = []
    result = "all"
    for _ in range(300):
        try:
            pid = os.fork()
        except OSError as e:
            result = name_of(e.errno)
            break
        if pid == 0:
            os.setsid()
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            for fd in range(5):
                os.close(fd)
            time.sleep(600)
            os._exit(0)
        born.append(pid)
    return {"born": born, "end": result}


def flood():
    """PINGs as fast as the link takes them, answers unread."""
    link.setblocking(False)
    frame = msgpack.packb((PING, 1))
    frame = struct.pack(">I", len(frame)) + frame
    end, n = time.monotonic() + 2, 0
    while time.monotonic() < end:
        try:
            n += link.send((frame * 1000)[n % len(frame):])
        except BlockingIOError:
            time.sleep(0.001)
    link.setblocking(True)
    if n % len(frame):
        link.sendall(frame[n % len(frame):])
    return {"bytes": n}


def garbage():
    # The length of a frame first, one above the cap: a smaller one would only be waited for.
    link.sendall(b"\xff" + os.urandom(65535))


ATTEMPTS = {"look": look, "exhaust": exhaust, "noise": noise, "fork": fork, "flood": flood, "garbage": garbage}


def main():
    next_message()
    send(READY, 1, b"", b"")
    while True:
        kind, *fields = next_message()
        if kind == PING:
            send(PONG, fields[0])
        elif kind == DRAIN:
            sys.exit(0)
        elif kind == EVENT:
            body = next(f for f in fields if isinstance(f, bytes) and f.startswith(b"{"))
            words = json.loads(body).get("content", "").split()
            if words[:1] == ["!hostile"] and words[1] in ATTEMPTS:
                print(f"tries {words[1]}", file=sys.stderr, flush=True)
                try:
                    report = ATTEMPTS[words[1]](*words[2:])
                except Exception as e:  # what it is does not matter, that it is seen does
                    report = {"failed": repr(e)}
                with open(f"{REPORT}.bytes", "ab") as file:
                    file.write(collected.getvalue())
                with open(f"{REPORT}.{words[1]}.new", "w", encoding="utf-8") as file:
                    json.dump(report, file)
                os.rename(f"{REPORT}.{words[1]}.new", f"{REPORT}.{words[1]}")
            send(ACK, fields[0])


if __name__ == "__main__":
    main()
