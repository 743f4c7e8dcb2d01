"""Sends datagrams in fragments from one namespace and tells which of them a UDP socket in another received whole:
fragments.test.ts starts it.

    fragments.py FROM TO    one line of JSON: {"IPv4 reverse": true, ...}

Each datagram is cut by scapy and sent frame by frame, in the order that its name says; the kernel of the receiving
namespace puts it together. Ports: 53 is allowed, 54 is not.
"""
import ctypes
import json
import os
import random
import socket
import sys

from scapy.all import IP, UDP, Ether, IPv6, IPv6ExtHdrFragment, Raw, conf, fragment, fragment6, get_if_hwaddr

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
SIZE = 8000


def enter(name):
    namespace = os.open("/run/netns/" + name, os.O_RDONLY)
    if libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns " + name)
    os.close(namespace)


def pieces(family, number, port):
    payload = bytes([number]) + random.Random(number).randbytes(SIZE - 1)
    transport = UDP(sport=1000 + number, dport=port) / Raw(payload)
    if family == 4:
        return fragment(IP(src="10.77.0.1", dst="10.77.0.2", id=number, proto=17) / transport, fragsize=800)
    return fragment6(IPv6(src="fd77::1", dst="fd77::2") / IPv6ExtHdrFragment(id=number) / transport, 800)


# An overlap with other bytes: eight of the second fragment, again.
def overlapping(family, all_pieces):
    second = all_pieces[1]
    bad = second.copy()
    last = bad[IP] if family == 4 else bad[IPv6ExtHdrFragment]
    last.remove_payload()
    bad = bad / Raw(b"overlap!")
    if family == 4:
        del bad.len, bad.chksum
    else:
        del bad.plen
    return all_pieces[:2] + [bad] + all_pieces[2:]


# What must arrive comes last, so that when it has, everything before it has been dealt with.
ORDERS = {
    "overlapping": (53, overlapping),
    "denied, reverse": (54, lambda family, all_pieces: all_pieces[::-1]),
    "in order": (53, lambda family, all_pieces: all_pieces),
    "reverse": (53, lambda family, all_pieces: all_pieces[::-1]),
    "shuffled": (53, lambda family, all_pieces: random.Random(1).sample(all_pieces, len(all_pieces))),
    "doubled": (53, lambda family, all_pieces: [one for one in all_pieces[::-1] for _ in (1, 2)]),
}


# Numbers of the datagrams that came whole, up to the last one.
def numbers(listener, last, seconds):
    arrived = []
    listener.settimeout(seconds)
    try:
        while last not in arrived:
            got = listener.recv(65536)
            if got[1:] == random.Random(got[0]).randbytes(SIZE - 1):
                arrived.append(got[0])
    except (TimeoutError, BlockingIOError):
        pass
    return arrived


def main(sender, receiver):
    enter(receiver)
    listeners = {}
    for family, kind in ((4, socket.AF_INET), (6, socket.AF_INET6)):
        for port in (53, 54):
            listeners[family, port] = socket.socket(kind, socket.SOCK_DGRAM)
            listeners[family, port].bind(("10.77.0.2" if family == 4 else "fd77::2", port))
    to = get_if_hwaddr("eth0")
    enter(sender)
    ether = Ether(src=get_if_hwaddr("eth0"), dst=to)
    out = conf.L2socket(iface="eth0")
    arrived = {}
    for family in (4, 6):
        for number, (port, arrange) in enumerate(ORDERS.values()):
            for piece in arrange(family, pieces(family, number, port)):
                out.send(ether / piece)
        last = len(ORDERS) - 1
        got = numbers(listeners[family, 53], last, 10) + numbers(listeners[family, 54], None, 0)
        arrived.update({"IPv%d %s" % (family, order): number in got for number, order in enumerate(ORDERS)})
    print(json.dumps(arrived))


main(*sys.argv[1:])
