#!/usr/bin/python3
"""Makes the captures of the golden cases: the same every time.

    test/golden/generate.py          all of them

What a case shows is said at its function. Workloads a, b and c are 10.0.0.1, 2 and 3, fd00::1, 2 and 3, with the MACs
02:00:00:00:00:01, 02 and 03; each policy.yaml says so too.
"""
import os
import random

from scapy.all import (ARP, DHCP, BOOTP, Dot1Q, Dot1AD, Ether, ICMP, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA,
                       ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6NDOptDstLLAddr, ICMPv6NDOptSrcLLAddr, IP, IPOption_LSRR, IPOption_RR,
                       IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, Raw, SCTP,
                       SCTPChunkInit, TCP, UDP, fragment, fragment6, wrpcap)

HERE = os.path.dirname(os.path.abspath(__file__))
NUMBER = {"a": 1, "b": 2, "c": 3}
BROADCAST = "ff:ff:ff:ff:ff:ff"


def mac(who):
    return "02:00:00:00:00:%02x" % NUMBER[who]


def ether(src, dst):
    return Ether(src=mac(src), dst=mac(dst) if dst in NUMBER else dst)


def ip4(src, dst, **fields):
    return ether(src, dst) / IP(src="10.0.0.%d" % NUMBER[src], dst="10.0.0.%d" % NUMBER[dst], id=1, **fields)


def ip6(src, dst, **fields):
    return ether(src, dst) / IPv6(src="fd00::%d" % NUMBER[src], dst="fd00::%d" % NUMBER[dst], **fields)


class Case:
    """Gathers frames by port; each comes ten milliseconds behind the one before, unless the time is given."""

    def __init__(self, name):
        self.folder = os.path.join(HERE, name)
        self.frames = {}
        self.time = 0.0

    def send(self, port, *frames, at=None):
        for frame in frames:
            self.time = at if at is not None else round(self.time + 0.01, 6)
            raw = Ether(bytes(frame)) if not isinstance(frame, (bytes, Raw)) else Raw(bytes(frame))
            raw.time = self.time
            self.frames.setdefault(port, []).append(raw)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.makedirs(self.folder, exist_ok=True)
        for name in os.listdir(self.folder):
            if name.startswith("in.") and name.endswith(".pcap"):
                os.remove(os.path.join(self.folder, name))
        for port, frames in self.frames.items():
            wrpcap(os.path.join(self.folder, "in.%s.pcap" % port), frames, linktype=1)


def handshake(case, src, dst, ip=ip4, sport=40000, dport=80):
    case.send(src, ip(src, dst) / TCP(sport=sport, dport=dport, flags="S", seq=100))
    case.send(dst, ip(dst, src) / TCP(sport=dport, dport=sport, flags="SA", seq=500, ack=101))
    case.send(src, ip(src, dst) / TCP(sport=sport, dport=dport, flags="A", seq=101, ack=501))


def data(src, dst, ip=ip4, sport=40000, dport=80, payload=b"hello", flags="PA"):
    return ip(src, dst) / TCP(sport=sport, dport=dport, flags=flags, seq=101, ack=501) / payload


def basics():
    """TCP to port 80, UDP to port 53 and echo are allowed from a to b, over both families; everything else is not."""
    with Case("basics") as case:
        for ip, echo, reply in ((ip4, ICMP(type=8, id=7), ICMP(type=0, id=7)),
                                (ip6, ICMPv6EchoRequest(id=7), ICMPv6EchoReply(id=7))):
            handshake(case, "a", "b", ip)
            case.send("a", data("a", "b", ip))
            case.send("b", ip("b", "a") / TCP(sport=80, dport=40000, flags="A", seq=501, ack=106))
            case.send("a", ip("a", "b") / TCP(sport=40001, dport=81, flags="S", seq=1))
            case.send("b", ip("b", "a") / TCP(sport=40002, dport=80, flags="S", seq=1))
            case.send("a", ip("a", "b") / UDP(sport=5000, dport=53) / b"question")
            case.send("b", ip("b", "a") / UDP(sport=53, dport=5000) / b"answer")
            case.send("a", ip("a", "b") / UDP(sport=5000, dport=54) / b"question")
            case.send("b", ip("b", "a") / UDP(sport=53, dport=5001) / b"no question was asked")
            case.send("a", ip("a", "b") / echo / b"ping")
            case.send("b", ip("b", "a") / reply / b"ping")
            case.send("c", ip("c", "b") / echo / b"ping")
        case.send("a", ip4("a", "b") / SCTP(sport=1, dport=2) / SCTPChunkInit())
        case.send("a", ether("a", "b") / IP(src="10.0.0.1", dst="10.0.0.2", proto=47) / b"tunnel")
        # Half an hour later the UDP flow is forgotten, the TCP connection is not.
        case.send("b", ip4("b", "a") / UDP(sport=53, dport=5000) / b"late answer", at=1800.0)
        case.send("b", ip4("b", "a") / TCP(sport=80, dport=40000, flags="A", seq=501, ack=106) / b"late data")


def reject():
    """Rejected frames are answered by a RST or an ICMP error; drops are silent; nothing answers a RST, an error or a group."""
    with Case("reject") as case:
        for ip in (ip4, ip6):
            case.send("a", ip("a", "b") / TCP(sport=1000, dport=80, flags="S", seq=77))
            case.send("a", ip("a", "b") / TCP(sport=1001, dport=80, flags="PA", seq=77, ack=99) / b"in the middle")
            case.send("a", ip("a", "b") / TCP(sport=1002, dport=80, flags="R", seq=77))
            case.send("a", ip("a", "b") / UDP(sport=1000, dport=80) / (b"x" * 100))
            case.send("a", ip("a", "c") / TCP(sport=1000, dport=80, flags="S", seq=77))
        case.send("a", ip4("a", "b") / ICMP(type=8, id=1) / b"ping")
        case.send("a", ip4("a", "b") / ICMP(type=3, code=1) / b"error")
        case.send("a", ip6("a", "b") / ICMPv6EchoRequest(id=1))
        case.send("a", ether("a", BROADCAST) / IP(src="10.0.0.1", dst="10.0.0.255") / UDP(sport=1, dport=80) / b"all")


def spoofguard():
    """a may use 10.0.0.1 and fd00::1 alone; DHCP and duplicate address detection work; it is no router."""
    with Case("spoofguard") as case:
        case.send("a", ip4("a", "b") / UDP(sport=1, dport=2) / b"own")
        case.send("a", ether("a", "b") / IP(src="10.0.0.9", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"spoofed")
        case.send("a", ether("a", "b") / IPv6(src="fd00::9", dst="fd00::2") / UDP(sport=1, dport=2) / b"spoofed")
        case.send("a", Ether(src=mac("c"), dst=mac("b")) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"mac")
        case.send("a", ether("a", BROADCAST) / ARP(op=1, hwsrc=mac("a"), psrc="10.0.0.1", pdst="10.0.0.2"))
        case.send("a", ether("a", BROADCAST) / ARP(op=1, hwsrc=mac("a"), psrc="0.0.0.0", pdst="10.0.0.1"))
        case.send("a", ether("a", BROADCAST) / ARP(op=2, hwsrc=mac("a"), psrc="10.0.0.2", pdst="10.0.0.3"))
        case.send("a", ether("a", "b") / ARP(op=2, hwsrc=mac("c"), psrc="10.0.0.1", pdst="10.0.0.2"))
        case.send("a", ether("a", BROADCAST) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) /
                  BOOTP(chaddr=b"\2\0\0\0\0\1", xid=7) / DHCP(options=[("message-type", "discover"), "end"]))
        case.send("a", ether("a", BROADCAST) / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=69, dport=67) / b"no DHCP")
        case.send("a", ether("a", "33:33:ff:00:00:01") / IPv6(src="::", dst="ff02::1:ff00:1", hlim=255) /
                  ICMPv6ND_NS(tgt="fd00::1"))
        case.send("a", ether("a", "33:33:00:00:00:01") / IPv6(src="fe80::ff:fe00:1", dst="ff02::1", hlim=255) / ICMPv6ND_RA())


def vlan():
    """red (VLAN 10) and blue (VLAN 20, inner 30) share a trunk; their friends are untagged. Other tags are dropped."""
    with Case("vlan-trunk") as case:
        plain = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2)
        case.send("eth1", ether("a", "b") / Dot1Q(vlan=10) / plain / b"to red's friend")
        case.send("eth1", ether("a", "b") / Dot1AD(vlan=20) / Dot1Q(vlan=30) / plain / b"to blue's friend")
        case.send("eth1", ether("a", "b") / Dot1Q(vlan=11) / plain / b"nobody's")
        case.send("eth1", ether("a", "b") / Dot1Q(vlan=20) / plain / b"half of blue's")
        case.send("eth1", ether("a", "b") / plain / b"untagged")
        case.send("eth1", ether("a", "b") / Dot1Q(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / plain)
        back = IP(src="10.0.0.2", dst="10.0.0.1") / UDP(sport=2, dport=1)
        case.send("red-friend", ether("b", "a") / back / b"red")
        case.send("blue-friend", ether("b", "a") / back / b"blue")
        case.send("red-friend", ether("b", "a") / Dot1Q(vlan=10) / back / b"tags are not for it")
        case.send("blue-friend", ether("b", BROADCAST) / ARP(op=1, hwsrc=mac("b"), psrc="10.0.0.2", pdst="10.0.0.1"))
        case.send("eth1", ether("a", "b") / Dot1Q(vlan=10, prio=5) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=99))


def fragments():
    """Fragments go with their first one, in any order; what is too short, too long, doubled or overlapping is dropped."""
    with Case("fragments") as case:
        for dport in (53, 54):
            whole = ip4("a", "b") / UDP(sport=1000, dport=dport) / bytes(range(250)) / bytes(200)
            whole[IP].id = dport
            case.send("a", *fragment(whole, fragsize=160))
        whole = ip6("a", "b") / IPv6ExtHdrFragment(id=9) / UDP(sport=1000, dport=53) / (b"six" * 600)
        case.send("a", *fragment6(whole, 1000))
        late = ip4("a", "b") / UDP(sport=1001, dport=53) / bytes(400)
        late[IP].id = 77
        case.send("a", *reversed(fragment(late, fragsize=200)))
        overlap = ip4("a", "b") / UDP(sport=1002, dport=53) / bytes(400)
        overlap[IP].id = 78
        first, second, third = fragment(overlap, fragsize=200)
        bad = ip4("a", "b", flags="MF", frag=24, proto=17) / bytes(16)
        bad[IP].id = 78
        case.send("a", first, first, bad, second, third)
        case.send("a", ip4("a", "b", flags="MF", proto=6) / bytes(16))
        case.send("a", ip4("a", "b", frag=8189, proto=17) / bytes(100))
        case.send("a", ip4("a", "b", flags="MF", frag=10, proto=17) / bytes(9))
        case.send("a", ip6("a", "b") / IPv6ExtHdrFragment(id=3, m=0, offset=0) / UDP(sport=9, dport=53) / b"atomic")


def ipv6():
    """Neighbour discovery passes without a rule, extension headers are walked, and what must not be in them is dropped."""
    with Case("ipv6") as case:
        link = "fe80::ff:fe00:1"
        case.send("a", ether("a", "33:33:ff:00:00:02") / IPv6(src="fd00::1", dst="ff02::1:ff00:2", hlim=255) /
                  ICMPv6ND_NS(tgt="fd00::2") / ICMPv6NDOptSrcLLAddr(lladdr=mac("a")))
        case.send("b", ether("b", "a") / IPv6(src="fd00::2", dst="fd00::1", hlim=255) /
                  ICMPv6ND_NA(tgt="fd00::2", R=0) / ICMPv6NDOptDstLLAddr(lladdr=mac("b")))
        case.send("b", ether("b", "a") / IPv6(src="fd00::2", dst="fd00::1", hlim=255) /
                  ICMPv6ND_NA(tgt="fd00::3", R=0) / ICMPv6NDOptDstLLAddr(lladdr=mac("b")))
        case.send("a", ether("a", "b") / IPv6(src="fd00::1", dst="fd00::2", hlim=64) / ICMPv6ND_NS(tgt="fd00::2"))
        case.send("a", ether("a", "b") / IPv6(src=link, dst="fd00::2", hlim=255) / ICMPv6ND_NS(tgt="fd00::2") /
                  ICMPv6NDOptSrcLLAddr(lladdr=mac("c")))
        web = TCP(sport=1, dport=80, flags="S")
        case.send("a", ip6("a", "b") / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / web)
        case.send("a", ip6("a", "b") / IPv6ExtHdrDestOpt() / IPv6ExtHdrHopByHop() / web)
        case.send("a", ip6("a", "b") / IPv6ExtHdrRouting(type=0, addresses=["fd00::3"]) / web)
        chain = ip6("a", "b")
        for _ in range(9):
            chain = chain / IPv6ExtHdrDestOpt()
        case.send("a", chain / web)
        case.send("a", ether("a", "b") / IPv6(src="ff02::1", dst="fd00::2") / web)
        case.send("a", ether("a", "b") / IPv6(src="::1", dst="fd00::2") / web)
        case.send("a", ip6("a", "b", nh=1) / bytes(ICMP(type=8)))
        case.send("a", ip6("a", "b") / TCP(sport=2, dport=81, flags="S"))


def categories():
    """Categories in order: emergency drops port 666; infrastructure passes on; observe counts and logs without deciding."""
    with Case("categories") as case:
        for dport in (666, 22, 80, 443, 8080):
            case.send("a", ip4("a", "b") / TCP(sport=1000, dport=dport, flags="S"))
        case.send("c", ip4("c", "b") / TCP(sport=1000, dport=22, flags="S"))
        case.send("c", ip4("c", "b") / TCP(sport=1000, dport=80, flags="S"))


def edit():
    """After one second the rules are taken away: `keep` goes on, `reset` is ended at both ends, `reevaluate` stops silently.
    After two seconds they are back."""
    with Case("rule-edit") as case:
        ports = {"keep": 81, "reset": 82, "reevaluate": 83}
        for dport in ports.values():
            handshake(case, "a", "b", dport=dport)
        case.time = 1.0
        for dport in ports.values():
            case.send("a", data("a", "b", dport=dport))
            case.send("b", data("b", "a", sport=dport, dport=40000))
            case.send("a", ip4("a", "b") / TCP(sport=40001, dport=dport, flags="S"))
        case.time = 2.0
        for dport in ports.values():
            case.send("a", data("a", "b", dport=dport))
            handshake(case, "a", "b", dport=dport, sport=40009)
        handshake(case, "a", "b", dport=82)


def superframes():
    """Super-frames pass whole to b, which takes them, and are cut for c, which does not."""
    with Case("super-frames") as case:
        payload = bytes(random.Random(7).randrange(256) for _ in range(4321))
        for dst in ("b", "c"):
            for ip in (ip4, ip6):
                case.send("a", ip("a", dst) / TCP(sport=1, dport=80, flags="FPA", seq=0xfffffc00, ack=9,
                                                  options=[("NOP", None), ("NOP", None), ("Timestamp", (7, 8))]) / payload)
                case.send("a", ip("a", dst) / UDP(sport=1, dport=53) / payload)
        case.send("c", ip4("c", "b") / TCP(sport=80, dport=2, flags="A") / payload)


def malformed():
    """Frames that no host sends: each is dropped for its reason, and the good ones between them still pass."""
    good = bytes(ip4("a", "b") / UDP(sport=1, dport=53) / b"good")
    tcp = bytes(ip4("a", "b") / TCP(sport=1, dport=80, flags="S"))

    def changed(frame, *changes):
        out = bytearray(frame)
        for at, value in changes:
            out[at] = value
        out[24:26] = b"\0\0"
        total = sum(int.from_bytes(out[i:i + 2], "big") for i in range(14, 34, 2))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        out[24:26] = (0xffff - total).to_bytes(2, "big")
        return bytes(out)

    with Case("malformed") as case:
        case.send("a", good)
        for frame in (good[:14], good[:33], changed(good, (14, 0x55)), changed(good, (14, 0x44)), changed(good, (14, 0x4f)),
                      changed(good, (16, 2)), changed(good, (17, 19)), good[:24] + b"\x12\x34" + good[26:],
                      changed(good, (38, 0), (39, 7)), changed(good, (39, 200)), changed(tcp, (46, 0x40)), changed(tcp, (46, 0xf0)),
                      changed(tcp, (47, 0)), changed(tcp, (47, 3)), changed(tcp, (47, 6)), changed(tcp, (47, 1)),
                      changed(good, (23, 58)), changed(good, (26, 224)), changed(good, (26, 127)), changed(good, (29, 2))):
            case.send("a", Raw(frame))
        case.send("a", ip4("a", "b", options=[IPOption_LSRR(routers=["10.0.0.3"])]) / UDP(sport=1, dport=53))
        case.send("a", ip4("a", "b", options=[IPOption_RR(routers=["10.0.0.3"])]) / UDP(sport=1, dport=53) / b"record route")
        case.send("a", Ether(src="01:00:00:00:00:01", dst=mac("b")) / IP(src="10.0.0.1", dst="10.0.0.2") / UDP())
        case.send("a", ether("a", "b") / Raw(b"\x88\xcc" + bytes(40)))
        case.send("a", Ether(src=mac("a"), dst="01:80:c2:00:00:0e", type=0x0800) / good[14:])
        case.send("a", ether("a", "a") / good[14:])
        seeded = random.Random(20261122)
        for _ in range(100):
            frame = bytearray(good if seeded.random() < 0.5 else tcp)
            for _ in range(seeded.randrange(1, 4)):
                frame[seeded.randrange(12, len(frame))] = seeded.randrange(256)
            case.send("a", Raw(bytes(frame[:seeded.randrange(20, len(frame) + 1)])))
        case.send("a", good)


if __name__ == "__main__":
    for make in (basics, reject, spoofguard, vlan, fragments, ipv6, categories, edit, superframes, malformed):
        make()
