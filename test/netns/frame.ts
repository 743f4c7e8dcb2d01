// A flow's frame as it is on the wire, with a number in its payload that tells it from all others.
import { parseAddress } from '../../src/documents/ip.js';
import type { Packet } from '../../src/policy/evaluate.js';

/** TCP as a SYN; ICMP as a request whose identifier is the flow's number. */
export function frameOf(packet: Packet, from: string, to: string, flow: number, number: number): Buffer {
  const { protocol, sourcePort = 0, destinationPort = 0, icmpType = 0, icmpCode = 0 } = packet;
  const data = Buffer.alloc(8);
  data.writeUInt32BE(number, 0);
  let header: Buffer;
  if (protocol === 6) {
    header = Buffer.alloc(20);
    header.writeUInt8(5 << 4, 12);
    header.writeUInt8(2, 13);
    header.writeUInt16BE(65_535, 14);
  } else {
    header = Buffer.alloc(8);
    if (protocol === 17) header.writeUInt16BE(16, 4);
  }
  if (protocol === 6 || protocol === 17) {
    header.writeUInt16BE(sourcePort, 0);
    header.writeUInt16BE(destinationPort, 2);
  } else {
    header.set([icmpType, icmpCode]);
    header.writeUInt16BE(flow, 4);
  }
  return Buffer.concat([ethernet(packet, from, to), ip(packet, header.length + data.length), header, data]);
}

function ethernet({ source }: Packet, from: string, to: string): Buffer {
  const bytes = (mac: string) => Buffer.from(mac.replaceAll(':', ''), 'hex');
  return Buffer.concat([bytes(to), bytes(from), Buffer.from(source.includes(':') ? '86dd' : '0800', 'hex')]);
}

function ip({ source, destination, protocol }: Packet, length: number): Buffer {
  const v6 = source.includes(':');
  const addresses = [source, destination].map((text) => {
    const value = parseAddress(text)?.value ?? 0n;
    return Buffer.from(value.toString(16).padStart(v6 ? 32 : 8, '0'), 'hex');
  });
  const start = Buffer.alloc(v6 ? 8 : 12);
  if (v6) {
    start.writeUInt8(6 << 4, 0);
    start.writeUInt16BE(length, 4);
    start.set([protocol, 64], 6);
  } else {
    start.writeUInt8(0x45, 0);
    start.writeUInt16BE(20 + length, 2);
    start.set([64, protocol], 8);
  }
  const header = Buffer.concat([start, ...addresses]);
  if (!v6) {
    let sum = 0;
    for (let i = 0; i < header.length; i += 2) sum += header.readUInt16BE(i);
    while (sum > 0xffff) sum = (sum >>> 16) + (sum & 0xffff);
    header.writeUInt16BE(0xffff - sum, 10);
  }
  return header;
}
