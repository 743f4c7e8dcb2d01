// A flow's frame as it is on the wire, with a number in its payload that tells it from all others.
import type { Packet } from '../../src/policy/evaluate.js';
import { buildFrame } from '../../src/trace/build.js';

/** TCP as a SYN; ICMP as a request whose identifier is the flow's number. */
export function frameOf(packet: Packet, from: string, to: string, flow: number, number: number): Buffer {
  const { source, destination, protocol, sourcePort = 0, destinationPort = 0 } = packet;
  const { icmpType = 0, icmpCode = 0 } = packet;
  const payload = Buffer.alloc(8);
  payload.writeUInt32BE(number, 0);
  return buildFrame({
    sourceMac: from,
    destinationMac: to,
    vlans: [],
    content: {
      ...{ source, destination, protocol, sourcePort, destinationPort, icmpType, icmpCode, icmpId: flow },
      ...{ tcpFlags: 2, ttl: 64, fragment: undefined, payload },
    },
  });
}
