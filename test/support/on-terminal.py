# Runs a command on a pseudo-terminal of 100x30, makes it 50x30, sends SIGINT. Prints as JSON what the command wrote at
# each width and at its end, its exit code, and whether the terminal's modes are as before.
import fcntl, json, os, pty, select, signal, struct, sys, termios, time

RESET = b"\x1b[H"  # begins each frame


def size(fd, columns):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))


def read_until(fd, holds, what):
    seen, deadline = b"", time.monotonic() + 60
    while not holds(seen):
        if time.monotonic() > deadline:
            sys.exit(f"waited in vain for {what}: {seen!r}")
        if select.select([fd], [], [], 0.1)[0]:
            try:
                part = os.read(fd, 65536)
            except OSError:
                part = b""
            if not part:
                if holds is ended:
                    return seen
                sys.exit(f"it ended before {what}: {seen!r}")
            seen += part
    return seen


def ended(_):
    return False


master, slave = pty.openpty()
size(slave, 100)
before = termios.tcgetattr(slave)
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(slave, fd)
    os.closerange(3, 100)
    os.execv(sys.argv[1], sys.argv[1:])

wide = read_until(master, lambda seen: seen.count(RESET) >= 2, "two frames")
size(master, 50)
rest = read_until(master, lambda seen: seen.count(RESET) >= 4, "frames of the new size")
narrow = rest.split(RESET)[-2]  # the last whole one
os.kill(child, signal.SIGINT)
_, status = os.waitpid(child, 0)
restored = termios.tcgetattr(slave) == before
os.close(slave)
end = rest + read_until(master, ended, "the end")
print(
    json.dumps(
        {
            "wide": wide.decode(),
            "narrow": narrow.decode(),
            "end": end.decode(),
            "code": os.waitstatus_to_exitcode(status),
            "restored": restored,
        }
    )
)
