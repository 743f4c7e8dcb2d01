"""Sends frames that Headgate drops: drop-reasons.py REASON DEVICE MAC-A MAC-B (drop-reasons.test.ts starts it inside the
sender's namespace). 10.77.0.1 and fd77::1 are the sender's own addresses, .2 and ::2 those of the destination.
"""
import logging
import socket
import sys

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (  # noqa: E402
    ARP, ICMP, IP, TCP, UDP, Dot1Q, Ether, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6NDOptDstLLAddr,
    IPOption_LSRR, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Raw,
)

reason, device, a, b = sys.argv[1:5]
ETHER = Ether(src=a, dst=b)
IP4 = IP(src="10.77.0.1", dst="10.77.0.2")
IP6 = IPv6(src="fd77::1", dst="fd77::2")
DATA = UDP(sport=4242, dport=4242) / Raw(b"12345678")
BROADCAST = Ether(src=a, dst="ff:ff:ff:ff:ff:ff")


def patched(frame, *changes, checksum=True):
    """The frame's bytes with some changed, and the IPv4 header's checksum right again."""
    out = bytearray(bytes(frame))
    for at, value in changes:
        out[at] = value
    if checksum and out[12:14] == b"\x08\x00":
        out[24:26] = b"\0\0"
        total = sum(int.from_bytes(out[i:i + 2], "big") for i in range(14, 14 + (out[14] & 15) * 4, 2))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        out[24:26] = (0xFFFF - total).to_bytes(2, "big")
    return bytes(out)


def cut(frame, size):
    """The frame with `size` bytes of IP, as its header says too."""
    out = bytearray(bytes(frame)[:14 + size])
    if out[12:14] == b"\x08\x00":
        out[16:18] = size.to_bytes(2, "big")
    else:
        out[18:20] = (size - 40).to_bytes(2, "big")
    return patched(out)


def part(number, offset, size, flags):
    """A fragment of a UDP datagram; places in bytes."""
    data = bytes(UDP(sport=4242, dport=4242, len=size)) + bytes(size - 8)
    return ETHER / IP(src="10.77.0.1", dst="10.77.0.2", proto=17, id=number, frag=offset // 8, flags=flags) / Raw(data)


def connected(flags):
    """Segments of a connection that is open, with numbers all around the circle: some of them fit in nowhere."""
    connected.socket = socket.create_connection(("10.77.0.2", 80))
    port = connected.socket.getsockname()[1]
    halves = (0x12345678, 0x92345678)
    return [ETHER / IP4 / TCP(sport=port, dport=80, flags=flags, seq=seq, ack=ack) for seq in halves for ack in halves]


def sctp(tag, chunk):
    header = b"\x10\x92\x00\x50" + tag.to_bytes(4, "big") + bytes(4)
    return ETHER / IP(src="10.77.0.1", dst="10.77.0.2", proto=132) / Raw(header + bytes([chunk, 0, 0, 4]))


udp4, tcp4 = ETHER / IP4 / DATA, ETHER / IP4 / TCP(sport=4242, dport=80, flags="S")
udp6 = ETHER / IP6 / DATA
flags = lambda value: ETHER / IP4 / TCP(sport=4242, dport=80, flags=value)
solicitation = IPv6(src="fd77::1", dst="ff02::1", hlim=255) / ICMPv6ND_NA(tgt="fd77::66", R=0, S=0, O=1)

FRAMES = {
    "ethernet-bad-source": lambda: [Ether(src="03:00:00:00:00:01", dst=b) / IP4 / DATA],
    "vlan-truncated": lambda: [bytes(ETHER)[:12] + b"\x81\x00\x00"],
    "vlan-too-many-tags": lambda: [ETHER / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / IP4 / DATA],
    "ethertype-unsupported": lambda: [Ether(src=a, dst=b, type=0x88B5) / Raw(bytes(46))],
    "arp-malformed": lambda: [bytes(BROADCAST / ARP(hwsrc=a, psrc="10.77.0.1", pdst="10.77.0.2"))[:41]],
    "ipv4-truncated": lambda: [bytes(udp4)[:33]],
    "ipv4-bad-version": lambda: [patched(udp4, (14, 0x55))],
    "ipv4-bad-header-length": lambda: [patched(udp4, (14, 0x44))],
    "ipv4-bad-length": lambda: [patched(udp4, (16, 2))],
    "ipv4-bad-checksum": lambda: [patched(udp4, (24, 1), (25, 2), checksum=False)],
    "ipv4-bad-options": lambda: [patched(
        ETHER / IP(src="10.77.0.1", dst="10.77.0.2", options=[IPOption_LSRR(routers=["10.77.0.3"])]) / DATA, (34, 7), (35, 60))],
    "ipv4-source-route": lambda: [
        ETHER / IP(src="10.77.0.1", dst="10.77.0.2", options=[IPOption_LSRR(routers=["10.77.0.3"])]) / DATA],
    "ipv4-bad-address": lambda: [ETHER / IP(src="224.0.0.1", dst="10.77.0.2") / DATA],
    "ipv6-truncated": lambda: [bytes(udp6)[:53]],
    "ipv6-bad-version": lambda: [patched(udp6, (14, 0x40))],
    "ipv6-bad-length": lambda: [patched(udp6, (18, 2))],
    "ipv6-bad-address": lambda: [ETHER / IPv6(src="ff02::1", dst="fd77::2") / DATA],
    "ipv6-bad-extension": lambda: [ETHER / IP6 / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / DATA],
    "ipv6-too-many-extensions": lambda: [
        ETHER / IPv6(src="fd77::1", dst="fd77::2", nh=60) / (Raw(b"".join(b"\x3c\0\1\4\0\0\0\0" for _ in range(8)) + b"\x11\0\1\4\0\0\0\0") / Raw(bytes(DATA)))],
    "ipv6-routing-header": lambda: [ETHER / IP6 / IPv6ExtHdrRouting(type=0) / DATA],
    "fragment-malformed": lambda: [ETHER / IP(src="10.77.0.1", dst="10.77.0.2", frag=8191, id=1) / Raw(bytes(64))],
    "fragment-tiny": lambda: [cut(ETHER / IP(src="10.77.0.1", dst="10.77.0.2", flags="MF", id=2) / tcp4[TCP], 36)],
    "tcp-truncated": lambda: [cut(tcp4, 39)],
    "tcp-bad-offset": lambda: [patched(tcp4, (46, 0x40))],
    "tcp-bad-flags": lambda: [flags("SF")],
    "tcp-bad-checksum": lambda: [ETHER / IP4 / TCP(sport=4242, dport=80, flags="S", chksum=1)],
    "udp-bad-checksum": lambda: [ETHER / IP4 / UDP(sport=4242, dport=4242, chksum=1) / Raw(b"12345678")],
    "icmp-bad-checksum": lambda: [ETHER / IP4 / ICMP(chksum=1)],
    "icmp-error-malformed": lambda: [ETHER / IP4 / ICMP(type=3, code=3) / Raw(b"\x45" + bytes(9))],
    "icmp-error-unrelated": lambda: [
        ETHER / IP4 / ICMP(type=3, code=3) / IP(src="10.77.0.2", dst="10.77.0.1") / UDP(sport=1, dport=2)],
    "tcp-mid-stream": lambda: [flags("SA")],
    # To an address that nobody has, so that no answer changes the state.
    "tcp-unexpected-flags": lambda: [
        ETHER / IP(src="10.77.0.1", dst="10.77.0.77") / TCP(sport=4243, dport=80, flags=value) for value in ("S", "SA")],
    "tcp-out-of-window": lambda: connected("A"),
    "tcp-bad-ack": lambda: connected("A"),
    "tcp-bad-reset": lambda: connected("R"),
    "sctp-mid-stream": lambda: [sctp(7, 6)],
    "sctp-bad-tag": lambda: [sctp(0, 0)],
    "udp-truncated": lambda: [cut(udp4, 27)],
    "udp-bad-length": lambda: [patched(udp4, (38, 0), (39, 7))],
    "sctp-truncated": lambda: [cut(ETHER / IP(src="10.77.0.1", dst="10.77.0.2", proto=132) / Raw(bytes(12)), 31)],
    "icmp-truncated": lambda: [cut(ETHER / IP4 / ICMP(), 27)],
    "icmp-wrong-family": lambda: [ETHER / IP(src="10.77.0.1", dst="10.77.0.2", proto=58) / Raw(bytes(8))],
    "nd-malformed": lambda: [ETHER / IPv6(src="fd77::1", dst="fd77::2", hlim=64) / ICMPv6ND_NS(tgt="fd77::2")],
    "vlan-not-allowed": lambda: [ETHER / Dot1Q(vlan=5) / IP4 / DATA],
    "vlan-unmapped": lambda: [Ether(src="02:77:00:00:00:01", dst=b) / Dot1Q(vlan=11) / IP4 / DATA],
    "spoofed-mac": lambda: [Ether(src="02:66:66:66:66:66", dst=b) / IP4 / DATA],
    "spoofed-ipv4": lambda: [ETHER / IP(src="10.77.0.66", dst="10.77.0.2") / DATA],
    "spoofed-ipv6": lambda: [ETHER / IPv6(src="fd77::66", dst="fd77::2") / DATA],
    "spoofed-arp": lambda: [BROADCAST / ARP(op=2, hwsrc=a, psrc="10.77.0.66", pdst="10.77.0.2")],
    "spoofed-nd": lambda: [Ether(src=a, dst="33:33:00:00:00:01") / solicitation / ICMPv6NDOptDstLLAddr(lladdr=a)],
    "mac-limit": lambda: [Ether(src=f"02:77:00:00:01:{i:02x}", dst=b) / IP4 / DATA for i in range(70)],
    "no-other-port": lambda: [Ether(src=a, dst=a) / IP4 / DATA],
    "mac-reserved": lambda: [Ether(src=a, dst="01:80:c2:00:00:0e") / IP4 / DATA],
    "no-member": lambda: [Ether(src=a, dst="02:00:00:00:00:77") / IP(src="10.99.0.1", dst="10.77.0.2") / DATA],
    "flood-limited": lambda: [BROADCAST / ARP(hwsrc=a, psrc="10.77.0.1", pdst="10.77.0.2")] * 60000,
    "fragment-duplicate": lambda: [part(21, 0, 64, "MF"), part(21, 0, 64, "MF")],
    "fragment-overlap": lambda: [part(22, 0, 64, "MF"), part(22, 56, 64, "MF")],
    "fragment-wrong-end": lambda: [part(23, 0, 64, "MF"), part(23, 128, 64, 0), part(23, 256, 64, 0)],
    "fragment-timeout": lambda: [part(24, 800, 64, 0)],
    "fragments-full": lambda: [part(i, 800, 64, 0) for i in range(100, 700)],
    # Ordinary datagrams: what stops them is what the test has set up.
    "datagram": lambda: [udp4],
    "big datagram": lambda: [ETHER / IP4 / UDP(sport=4242, dport=4242) / Raw(bytes(1200))],
    "many datagrams": lambda: [ETHER / IP4 / UDP(sport=4242, dport=4242) / Raw(bytes(1200))] * 400,
    "datagram to elsewhere": lambda: [ETHER / IP4 / UDP(sport=4242, dport=9)],
}

with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as one:
    one.bind((device, 0))
    frames = FRAMES[reason]()
    last = None
    for frame in frames:
        if frame is not last:  # the same one many times over is made once
            last, data = frame, bytes(frame)
        one.send(data)
