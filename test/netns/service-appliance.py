"""A service appliance for tests, on a trunk: gives every frame back under the VLAN tag that it came with, as an inline
appliance with one arm does. Not every kernel has VLAN devices.

    service-appliance.py eth0                 prints `serving`, then a line of JSON for each frame that it is given

Commands on standard input, one a line; VLAN 0 is for frames without a tag:

    rewrite VLAN FROM TO    replaces bytes of UDP payloads, of the same length, and mends the checksum
    retag VLAN OTHER        gives frames back under another tag (0: none)
    reset                   forgets both
"""
import json
import select
import socket
import struct
import sys

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA, PACKET_IGNORE_OUTGOING = 263, 8, 23
TP_STATUS_VLAN_VALID = 1 << 4
ETHER_IPV4, ETHER_VLAN, UDP = 0x0800, 0x8100, 17

port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
port.bind((sys.argv[1], ETH_P_ALL))
port.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
port.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
port.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUFFORCE if hasattr(socket, "SO_RCVBUFFORCE") else 33, 8 << 20)
rewrites, retags = {}, {}


def checksum(data):
    total = sum(struct.unpack("!%dH" % ((len(data) + 1) // 2), data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF or 0xFFFF


def serve(frame, vlan):
    """The frame to give back, and what it was; None: not a packet that a service is performed on."""
    if len(frame) < 34 or struct.unpack("!H", frame[12:14])[0] != ETHER_IPV4:
        return None, None
    length = 14 + struct.unpack("!H", frame[16:18])[0]
    frame = frame[:length]
    layer4 = 14 + (frame[14] & 15) * 4
    protocol = frame[23]
    seen = {
        "vlan": vlan,
        "source": socket.inet_ntoa(frame[26:30]),
        "destination": socket.inet_ntoa(frame[30:34]),
        "protocol": protocol,
    }
    if protocol == UDP:
        seen["ports"] = struct.unpack("!HH", frame[layer4 : layer4 + 4])
        payload = frame[layer4 + 8 :]
        seen["payload"] = payload[:64].decode("latin1")
        if vlan in rewrites:
            old, new = rewrites[vlan]
            payload = payload.replace(old, new)
            head = frame[layer4 : layer4 + 6] + b"\0\0"
            pseudo = frame[26:34] + struct.pack("!BBH", 0, UDP, len(head) + len(payload))
            head = head[:6] + struct.pack("!H", checksum(pseudo + head + payload))
            frame = frame[:layer4] + head + payload
    return frame, seen


def obey(line):
    words = line.split()
    if words and words[0] == "rewrite":
        rewrites[int(words[1])] = (words[2].encode(), words[3].encode())
    elif words and words[0] == "retag":
        retags[int(words[1])] = int(words[2])
    elif words and words[0] == "reset":
        rewrites.clear()
        retags.clear()
    print(json.dumps({"done": line.strip()}), flush=True)


print(json.dumps({"serving": sys.argv[1]}), flush=True)
while True:
    ready = select.select([port, sys.stdin], [], [])[0]
    if sys.stdin in ready:
        given = sys.stdin.readline()
        if not given:
            sys.exit()
        obey(given)
    if port not in ready:
        continue
    try:
        data, ancillary, _, _ = port.recvmsg(65536, 256)
    except OSError:
        continue  # the device is down for now
    tag = 0
    for level, kind, value in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", value[:20])
            if status & TP_STATUS_VLAN_VALID:
                tag = tci & 0xFFF
    back, what = serve(data, tag)
    if back is None or (tag == 0 and not sys.argv[1].startswith("vx")):
        continue
    print(json.dumps(what), flush=True)
    tag = retags.get(tag, tag)
    try:
        port.send(back if tag == 0 else back[:12] + struct.pack("!HH", ETHER_VLAN, tag) + back[12:])
    except OSError:
        pass  # too long, or the device is down: lost, as on a wire
