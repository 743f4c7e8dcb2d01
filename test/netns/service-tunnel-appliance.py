"""A service appliance for tests behind a tunnel of an encapsulation for which not every kernel has a device: what comes in
is decoded by scapy, field by field, told as a line of JSON, and given back as it was under the same header.

    service-tunnel-appliance.py gre|geneve|nsh ADDRESS        prints `serving` first

NSH: the service index is counted down, as a service function does (RFC 8300, 2.3).
    service-tunnel-appliance.py decode ENCAPSULATION FILE     decodes a capture instead
"""
import json
import socket
import sys

from scapy.all import GRE, IP, UDP, Ether, Raw, rdpcap
from scapy.contrib.geneve import GENEVE
from scapy.contrib.nsh import NSH
from scapy.layers.vxlan import VXLAN

PORTS = {"vxlan": 4789, "geneve": 6081, "nsh": 4790}


def inner(frame):
    told = {"macs": [frame.src, frame.dst]}
    if IP in frame:
        told.update(source=frame[IP].src, destination=frame[IP].dst, protocol=frame[IP].proto)
    if UDP in frame:
        told.update(ports=[frame[UDP].sport, frame[UDP].dport], payload=bytes(frame[UDP].payload)[:64].decode("latin1"))
    return told


def decode(kind, data):
    """The fields of a header and the inner frame behind it; `data` begins with the header."""
    if kind == "gre":
        gre = GRE(data)
        fields = {"key": gre.key, "key_present": gre.key_present, "proto": gre.proto, "version": gre.version,
                  "chksum_present": gre.chksum_present, "seqnum_present": gre.seqnum_present}
        return fields, Ether(bytes(gre.payload))
    if kind == "vxlan":
        vxlan = VXLAN(data)
        return {"key": vxlan.vni, "flags": int(vxlan.flags), "reserved": [vxlan.reserved1 or 0, vxlan.reserved2]}, Ether(bytes(vxlan.payload))
    if kind == "geneve":
        geneve = GENEVE(data)
        fields = {"key": geneve.vni, "version": geneve.version, "proto": geneve.proto, "optionlen": geneve.optionlen,
                  "oam": geneve.oam, "critical": geneve.critical}
        return fields, Ether(bytes(geneve.payload))
    gpe, rest = VXLAN(data[:8]), data[8:]
    nsh = NSH(rest)
    fields = {"gpe": int(data[0]), "gpe_next": data[3], "key": nsh.spi, "si": nsh.si, "ttl": nsh.ttl, "ver": nsh.ver,
              "mdtype": nsh.mdtype, "nextproto": nsh.nextproto, "length": nsh.length}
    return fields, Ether(rest[nsh.length * 4 :])


def tell(kind, data, outer):
    fields, frame = decode(kind, data)
    print(json.dumps({"fields": fields, "outer": outer, **inner(frame)}), flush=True)


def decode_capture(kind, path):
    for packet in rdpcap(path):
        if IP not in packet:
            continue
        ip = packet[IP]
        if kind == "gre":
            if ip.proto == 47:
                tell(kind, bytes(ip.payload), [ip.src, ip.dst])
        elif UDP in packet and packet[UDP].dport == PORTS[kind]:
            tell(kind, bytes(packet[UDP].payload), [ip.src, ip.dst])


def serve(kind, address):
    if kind == "gre":
        port = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47)
        port.bind((address, 0))
    else:
        port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port.bind((address, PORTS[kind]))
    print(json.dumps({"serving": kind}), flush=True)
    while True:
        data, who = port.recvfrom(65536)
        if kind == "gre":
            data = data[(data[0] & 15) * 4 :]
        tell(kind, data, [who[0], address])
        if kind == "nsh":
            head = bytearray(data)
            head[8 + 7] -= 1
            data = bytes(head)
        port.sendto(data, (who[0], 0 if kind == "gre" else PORTS[kind]))


if sys.argv[1] == "decode":
    decode_capture(sys.argv[2], sys.argv[3])
else:
    serve(sys.argv[1], sys.argv[2])
