"""A VLAN switch for tests, since not every kernel has VLAN devices: joins a trunk with untagged ports.

    vlan-relay.py 10=p10 20=p20         the trunk is eth0
    vlan-relay.py t1 10=p10

A frame with tag 10 from the trunk goes out of p10 without it; a frame from p10 goes out of the trunk with tag 10.
Offloads of the ports' far ends must be off: frames are passed on as they are.
"""
import select
import socket
import struct
import sys

ETH_P_ALL = 3
SOL_PACKET, PACKET_AUXDATA = 263, 8
TP_STATUS_VLAN_VALID = 1 << 4


def packet_socket(device):
    one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    one.bind((device, ETH_P_ALL))
    one.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    return one


def receive(one):
    """The frame as it was on the wire, and its VLAN (0: none); None for what this machine sent."""
    data, ancillary, _, address = one.recvmsg(65536, 256)
    if address[2] == socket.PACKET_OUTGOING:
        return None, 0
    for level, kind, value in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tci, _ = struct.unpack("IIIHHHH", value[:20])
            if status & TP_STATUS_VLAN_VALID:
                return data, tci & 0xFFF
    return data, 0


arguments = sys.argv[1:]
trunk = packet_socket(arguments.pop(0) if "=" not in arguments[0] else "eth0")
ports = {int(vlan): packet_socket(device) for vlan, device in (argument.split("=") for argument in arguments)}
vlans = {one: vlan for vlan, one in ports.items()}
print("relaying", flush=True)
while True:
    for one in select.select([trunk, *vlans], [], [])[0]:
        data, vlan = receive(one)
        if data is None:
            continue
        try:
            if one is trunk:
                if vlan in ports:
                    ports[vlan].send(data)
            else:
                trunk.send(data[:12] + struct.pack("!HH", 0x8100, vlans[one]) + data[12:])
        except OSError:
            pass  # too long, or the port is down: lost, as on a wire
