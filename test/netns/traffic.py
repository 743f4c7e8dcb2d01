"""Real traffic between many namespaces from one process (traffic.ts starts it): a socket stays in the namespace in
which it was made, wherever the process is later.

Takes commands as lines of JSON on stdin, and answers each with one line:

    ready     waits until the address can be used in the namespace (IPv6 addresses take a second or two)
    try       begins attempts: a TCP connection to a listener, a UDP datagram to a receiver, an echo request
    outcomes  what has come of them: "reached", "refused" (RST or ICMP error), "" (nothing yet)
    forget    closes the sockets of all attempts
    stream    keeps sending numbered datagrams on these flows; each is received by a socket of its own
    counts    of each flow of the stream: sent, received, the highest number received
    hush      ends the stream
    hold      opens TCP connections, and keeps them
    use       sends a word on each of them: "reached" (it came), "reset" (both ends were reset), "" (none of it in time)
    release   closes them
"""
import ctypes
import errno
import json
import os
import select
import socket
import struct
import sys
import threading
import time

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
namespaces = {}


def enter(name):
    if name not in namespaces:
        namespaces[name] = os.open("/run/netns/" + name, os.O_RDONLY)
    if libc.setns(namespaces[name], CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns " + name)


def make(name, family, kind, protocol=0):
    enter(name)
    made = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind, protocol)
    made.setblocking(False)
    return made


def bound(name, family, kind, address, port):
    made = make(name, family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    return made


def ready(command):
    end = time.monotonic() + 30
    while True:
        try:
            bound(command["netns"], command["family"], socket.SOCK_DGRAM, command["address"], 0).close()
            return None
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL or time.monotonic() > end:
                raise
            time.sleep(0.02)


class Attempts:
    def __init__(self):
        self.poll = select.epoll()
        self.sockets = {}  # descriptor: (socket, what to do when it is ready)
        self.listeners = {}
        self.pings = {}
        self.outcomes = []

    def close(self):
        for one, _ in self.sockets.values():
            one.close()
        self.poll.close()

    def watch(self, one, events, act):
        self.sockets[one.fileno()] = (one, act)
        self.poll.register(one.fileno(), events)

    def unwatch(self, one):
        self.poll.unregister(one.fileno())

    def begin(self, a):
        number = len(self.outcomes)
        self.outcomes.append("")
        {"tcp": self.tcp, "udp": self.udp, "icmp": self.icmp}[a["protocol"]](number, a)

    def listener(self, kind, a):
        key = (kind, a["to"], a["family"], a["destinationPort"])
        if key not in self.listeners:
            one = bound(a["to"], a["family"], kind, a["destination"], a["destinationPort"])
            self.listeners[key] = one
            if kind == socket.SOCK_STREAM:
                one.listen(1024)
                self.sockets[one.fileno()] = (one, None)
            else:
                self.watch(one, select.EPOLLIN, lambda: self.received(one))

    def received(self, one):
        data = one.recv(2048)
        self.outcomes[struct.unpack("!I", data[:4])[0]] = "reached"

    def tcp(self, number, a):
        self.listener(socket.SOCK_STREAM, a)
        one = bound(a["from"], a["family"], socket.SOCK_STREAM, a["source"], a["sourcePort"])

        def connected():
            failed = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            self.outcomes[number] = "refused" if failed else "reached"
            self.unwatch(one)

        one.connect_ex((a["destination"], a["destinationPort"]))
        self.watch(one, select.EPOLLOUT, connected)

    def udp(self, number, a):
        self.listener(socket.SOCK_DGRAM, a)
        one = bound(a["from"], a["family"], socket.SOCK_DGRAM, a["source"], a["sourcePort"])

        def refused():
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self.outcomes[number] = "refused"
                self.unwatch(one)

        one.connect((a["destination"], a["destinationPort"]))
        one.send(struct.pack("!I", number))
        self.watch(one, select.EPOLLERR, refused)

    def icmp(self, number, a):
        """The identifier is the attempt's `sourcePort`."""
        v4 = a["family"] == 4
        key = (a["from"], a["family"])
        if key not in self.pings:
            one = make(a["from"], a["family"], socket.SOCK_RAW, 1 if v4 else 58)
            self.pings[key] = (one, {})
            self.watch(one, select.EPOLLIN, lambda: self.pinged(v4, *self.pings[key]))
        one, waiting = self.pings[key]
        waiting[a["sourcePort"]] = number
        header = struct.pack("!BBHHH", 8 if v4 else 128, 0, 0, a["sourcePort"], 1)
        if v4:  # of IPv6 the kernel makes the checksum
            total = sum(struct.unpack("!4H", header))
            total = (total >> 16) + (total & 0xFFFF)
            header = struct.pack("!BBHHH", 8, 0, 0xFFFF - total, a["sourcePort"], 1)
        one.sendto(header, (a["destination"], 0))

    def pinged(self, v4, one, waiting):
        data = one.recv(2048)
        if v4:
            data = data[(data[0] & 15) * 4 :]
        if data[0] == (0 if v4 else 129):
            outcome = "reached"
        elif data[0] == (3 if v4 else 1):
            outcome = "refused"  # behind 8 bytes comes the packet that it is about
            data = data[8 + ((data[8] & 15) * 4 if v4 else 40) :]
        else:
            return
        number = waiting.get(struct.unpack("!H", data[4:6])[0])
        if number is not None:
            self.outcomes[number] = outcome

    def look(self):
        while events := self.poll.poll(0, 1024):
            for descriptor, _ in events:
                self.sockets[descriptor][1]()


class Stream:
    def __init__(self, flows, interval):
        self.interval = interval
        self.sent, self.received, self.highest = ([0] * len(flows) for _ in range(3))
        self.senders, self.receivers = [], []
        for a in flows:
            one = bound(a["to"], a["family"], socket.SOCK_DGRAM, a["destination"], a["destinationPort"])
            self.receivers.append(one)
            one = bound(a["from"], a["family"], socket.SOCK_DGRAM, a["source"], a["sourcePort"])
            one.connect((a["destination"], a["destinationPort"]))
            self.senders.append(one)
        self.going = True
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        while self.going:
            begun = time.monotonic()
            for i, one in enumerate(self.senders):
                self.sent[i] += 1
                try:
                    one.send(struct.pack("!I", self.sent[i]))
                except OSError:
                    pass  # an ICMP error for an earlier one
            time.sleep(max(0, begun + self.interval - time.monotonic()))

    def receive(self):
        poll = select.epoll()
        places = {one.fileno(): i for i, one in enumerate(self.receivers)}
        for descriptor in places:
            poll.register(descriptor, select.EPOLLIN)
        while self.going:
            for descriptor, _ in poll.poll(0.1):
                i = places[descriptor]
                try:
                    while True:
                        number = struct.unpack("!I", self.receivers[i].recv(64))[0]
                        self.received[i] += 1
                        self.highest[i] = max(self.highest[i], number)
                except BlockingIOError:
                    pass

    def close(self):
        self.going = False
        for thread in self.threads:
            thread.join()
        for one in self.senders + self.receivers:
            one.close()


class Held:
    """An open connection."""

    def __init__(self, a):
        listener = bound(a["to"], a["family"], socket.SOCK_STREAM, a["destination"], a["destinationPort"])
        listener.listen()
        self.client = bound(a["from"], a["family"], socket.SOCK_STREAM, a["source"], a["sourcePort"])
        for one in (listener, self.client):
            one.settimeout(10)
        self.client.connect((a["destination"], a["destinationPort"]))
        self.server, _ = listener.accept()
        listener.close()
        for one in (self.client, self.server):
            one.setblocking(False)
        self.ends = {self.client: "", self.server: ""}

    def send(self):
        self.ends = dict.fromkeys(self.ends, "")
        try:
            self.client.send(b"word")
        except ConnectionError:
            self.ends[self.client] = "reset"

    def outcome(self):
        for one in self.ends:
            try:
                if one.recv(2048):
                    self.ends[one] = "reached"
            except BlockingIOError:
                pass
            except ConnectionError:
                self.ends[one] = "reset"
        client, server = self.ends.values()
        return "reset" if client == server == "reset" else "reached" if server == "reached" else ""


def use(seconds):
    for one in held:
        one.send()
    end = time.monotonic() + seconds
    outcomes = [""] * len(held)
    while not all(outcomes) and time.monotonic() < end:
        time.sleep(0.02)
        outcomes = [before or one.outcome() for before, one in zip(outcomes, held)]
    return outcomes


attempts = Attempts()
stream = None
held = []


def perform(command):
    global attempts, stream, held
    do = command["do"]
    if do == "ready":
        return ready(command)
    if do == "try":
        for a in command["attempts"]:
            attempts.begin(a)
        return None
    if do == "outcomes":
        attempts.look()
        return attempts.outcomes
    if do == "forget":
        attempts.close()
        attempts = Attempts()
        return None
    if do == "stream":
        stream = Stream(command["flows"], command["interval"])
        return None
    if do == "counts":
        return [list(one) for one in zip(stream.sent, stream.received, stream.highest)]
    if do == "hush":
        stream.close()
        return None
    if do == "hold":
        held = [Held(a) for a in command["flows"]]
        return None
    if do == "use":
        return use(command["seconds"])
    if do == "release":
        for one in held:
            one.client.close()
            one.server.close()
        held = []
        return None
    raise ValueError("there is no " + do)


for line in sys.stdin:
    try:
        answer = {"result": perform(json.loads(line))}
    except Exception as error:  # the test shows it
        answer = {"error": f"{line[:300]}: {error!r}"}
    print(json.dumps(answer), flush=True)
