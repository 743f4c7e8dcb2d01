"""Gives the same TCP segments to the kernel's nf_conntrack and to Headgate's state machine, and prints what each says.

    tcp-verdicts.py FIREWALL OUTSIDE PROGRAM FILE...

FIREWALL and OUTSIDE are namespaces, PROGRAM is build/Release/tcp_verdicts. Of a FILE the packet lines are read, as
packetdrill writes them (what else stands in it is not): so the scripts of the kernel's self-tests can be given too
(tools/testing/selftests/net/netfilter/packetdrill/*.pkt).

    > S 0:0(0) win 1000 <wscale 7>        who sends, flags, sequence numbers and length, then what it acknowledges
    < S. 0:0(0) ack 1 win 1000            numbers are relative to the first of each side
    mode strict                           for one mode alone
    scenario NAME                         what follows is another connection

The frames go by veth through FIREWALL, which forwards what nf_conntrack does not call invalid:

    [left] ---- FIREWALL (10.0.1.1, 10.0.2.1) ---- [right]     left and right are in OUTSIDE

Prints one JSON object: {"NAME MODE": [[LINE, KERNEL, KERNEL STATE, HEADGATE, HEADGATE STATE], ...]}.
"""
import ctypes
import json
import os
import re
import socket
import subprocess
import sys

from scapy.all import IP, TCP, Ether, Raw

MODES = {"strict": (0, 0), "pickup": (1, 0), "liberal": (1, 1)}  # nf_conntrack_tcp_loose, nf_conntrack_tcp_be_liberal
FIRST = {">": 0xFFFFFE00, "<": 5000}  # sequence numbers: those of > go round soon
PACKET = re.compile(r"^\s*[+\d.]*\s*([<>])\s+([SFRPEWU.]+)\s+(\d+):\d+\((\d+)\)(?:\s+ack\s+(\d+))?(?:\s+win\s+(\d+))?"
                    r"(?:\s+<([^>]*)>)?")
MACS = {">": ("02:00:00:00:01:01", "02:00:00:00:01:02"), "<": ("02:00:00:00:02:01", "02:00:00:00:02:02")}
ADDRESSES = {">": "10.0.1.2", "<": "10.0.2.2"}
OTHER = {">": "<", "<": ">"}


def run(netns, *command):
    return subprocess.run(["ip", "netns", "exec", netns, *command], check=True, capture_output=True, text=True).stdout


def scenarios(files):
    """Of each: name, modes, packets as (line, direction, flags, sequence, acknowledgement, length, window, options)."""
    for file in files:
        name, modes, packets = os.path.basename(file), list(MODES), []
        for line in open(file):
            if match := re.match(r"scenario (.*)", line):
                if packets:
                    yield name, modes, packets
                name, modes, packets = match[1].strip(), list(MODES), []
            elif match := re.match(r"mode (\w+)", line):
                modes = [match[1]]
            elif match := PACKET.match(line):
                direction, flags, sequence, length, ack, window, options = match.groups()
                packets.append((" ".join(line.split()), direction, flags.replace(".", "A"), int(sequence), ack and int(ack),
                                int(length), int(window or 65535), options or ""))
        if packets:
            yield name, modes, packets


class Kernel:
    def __init__(self, firewall, outside):
        self.firewall = firewall
        for side, direction, net in (("left", ">", "10.0.1"), ("right", "<", "10.0.2")):
            inner, outer = MACS[direction]
            subprocess.run(["ip", "link", "add", side, "netns", firewall, "address", inner, "type", "veth", "peer", "name",
                            side, "netns", outside, "address", outer], check=True)
            run(firewall, "ip", "address", "add", net + ".1/24", "dev", side)
            run(firewall, "ip", "link", "set", side, "up")
            run(outside, "ip", "link", "set", side, "up")
            run(firewall, "ip", "neighbour", "add", net + ".2", "lladdr", outer, "dev", side)
            run(firewall, "sysctl", "-qw", "net.ipv4.conf.%s.rp_filter=0" % side)
        run(firewall, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        run(firewall, "nft", "add table ip t; add counter ip t invalid;"
            "add chain ip t f { type filter hook forward priority 0; };"
            "add rule ip t f ct state invalid counter name invalid drop")
        # From here on in the outer namespace, where the sockets are.
        namespace = os.open("/run/netns/" + outside, os.O_RDONLY)
        if ctypes.CDLL(None, use_errno=True).setns(namespace, 0x40000000) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        self.sockets = {}
        for side, direction in (("left", ">"), ("right", "<")):
            self.sockets[direction] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
            self.sockets[direction].bind((side, 0))
        self.port = 1024
        self.identification = 0

    def begin(self, mode):
        self.port += 1
        for name, value in zip(("loose", "be_liberal"), MODES[mode]):
            run(self.firewall, "sysctl", "-qw", "net.netfilter.nf_conntrack_tcp_%s=%d" % (name, value))

    def invalid(self):
        return int(re.search(r"packets (\d+)", run(self.firewall, "nft", "list counter ip t invalid"))[1])

    def send(self, segment, initiator):
        """What becomes of it, and the state then: "passes" once it comes out, "dropped" once it is counted."""
        _, direction, flags, sequence, ack, length, window, options = segment
        inner, outer = MACS[direction]
        ports = (self.port, 80) if direction == initiator else (80, self.port)
        self.identification += 1
        frame = (Ether(src=outer, dst=inner) /
                 IP(src=ADDRESSES[direction], dst=ADDRESSES[OTHER[direction]], id=self.identification) /
                 TCP(sport=ports[0], dport=ports[1], flags=flags, seq=sequence, ack=ack, window=window, options=options) /
                 Raw(bytes(length)))
        before = self.invalid()
        self.sockets[direction].send(bytes(frame))
        return ("passes" if self.arrives(OTHER[direction], before) else "dropped"), self.state()

    def arrives(self, at, invalid_before):
        self.sockets[at].settimeout(0.02)
        for _ in range(500):
            try:
                frame = self.sockets[at].recv(65536)
                if int.from_bytes(frame[18:20], "big") == self.identification:
                    return True
            except TimeoutError:
                if self.invalid() > invalid_before:
                    return False
        raise TimeoutError("the packet neither came out nor was counted")

    def state(self):
        listed = run(self.firewall, "conntrack", "-L", "-p", "tcp")
        match = re.search(r"tcp\s+6 \d+ (\w+) .*port=%d " % self.port, listed)
        return match[1].lower() if match else "none"


def absolute(packet, first):
    """The numbers as they are sent."""
    line, direction, flags, sequence, ack, length, window, text = packet
    own, other = FIRST[direction], FIRST[OTHER[direction]]
    options = []
    if match := re.search(r"wscale (\d+)", text):
        options.append(("WScale", int(match[1])))
    if "sackOK" in text:
        options.append(("SAckOK", b""))
    if match := re.search(r"sack (\d+):(\d+)", text):
        options.append(("SAck", tuple((int(edge) + other) % 2**32 for edge in match.groups())))
    ack = (ack + other) % 2**32 if ack is not None else 0
    return line, direction, flags, (sequence + own) % 2**32, ack, length, window, options


def headgate(program, mode, segments, initiator):
    lines = []
    for _, direction, flags, sequence, ack, length, window, options in segments:
        line = [">" if direction == initiator else "<", flags, sequence, ack, length, window]
        for name, value in options:
            line += {"WScale": ["scale", value], "SAckOK": ["sackok"]}.get(name) or ["sack", value[-1]]
        lines.append(" ".join(map(str, line)))
    said = subprocess.run([program, mode], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
    return [line.split() for line in said.stdout.splitlines()]


def main(firewall, outside, program, *files):
    kernel = Kernel(firewall, outside)
    results = {}
    for name, modes, packets in scenarios(files):
        initiator = packets[0][1]
        segments = [absolute(packet, FIRST) for packet in packets]
        for mode in modes:
            kernel.begin(mode)
            judged = [kernel.send(segment, initiator) for segment in segments]
            ours = headgate(program, mode, segments, initiator)
            results[name + " " + mode] = [[segment[0], *theirs, *own] for segment, theirs, own in zip(segments, judged, ours)]
    print(json.dumps(results))


main(*sys.argv[1:])
