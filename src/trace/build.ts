// Makes the bytes of an Ethernet frame from its fields, with right checksums.
import { parseAddress } from '../documents/ip.js';
import { PROTOCOLS } from '../documents/protocols.js';
import { ETHERTYPE } from './names.js';

export interface FrameFields {
  destinationMac: string;
  sourceMac: string;
  /** Outer first. */
  vlans: readonly number[];
  content: IpFields | ArpFields;
}

export interface ArpFields {
  operation: 1 | 2;
  senderMac: string;
  sender: string;
  targetMac: string;
  target: string;
}

export interface IpFields {
  source: string;
  destination: string;
  protocol: number;
  sourcePort: number;
  destinationPort: number;
  icmpType: number;
  icmpCode: number;
  icmpId: number;
  tcpFlags: number;
  ttl: number;
  fragment: { offset: number; more: boolean } | undefined;
  payload: Uint8Array;
}

const { icmp, tcp, udp, icmpv6, sctp } = PROTOCOLS;
const [SYN, ACK] = [0x02, 0x10];
const FRAGMENT_HEADER = 44;

export function buildFrame({ destinationMac, sourceMac, vlans, content }: FrameFields): Buffer {
  const isArp = 'operation' in content;
  const v6 = !isArp && content.source.includes(':');
  const tags = vlans.flatMap((vlan, i) => [
    i + 1 < vlans.length ? ETHERTYPE.qinq : ETHERTYPE.vlan,
    vlan & 0x0fff,
  ]);
  const ethertype = isArp ? ETHERTYPE.arp : v6 ? ETHERTYPE.ipv6 : ETHERTYPE.ipv4;
  return Buffer.concat([
    macBytes(destinationMac),
    macBytes(sourceMac),
    words(...tags, ethertype),
    isArp ? arp(content) : v6 ? ipv6(content) : ipv4(content),
  ]);
}

export function macBytes(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}

/** 4 or 16 bytes. */
export function addressBytes(text: string): Buffer {
  const address = parseAddress(text);
  if (!address) throw new Error(`"${text}" is not an address`);
  return Buffer.from(address.value.toString(16).padStart(address.family === 6 ? 32 : 8, '0'), 'hex');
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, i) => bytes.writeUInt16BE(value, i * 2));
  return bytes;
}

function arp({ operation, senderMac, sender, targetMac, target }: ArpFields): Buffer {
  const ends = [macBytes(senderMac), addressBytes(sender), macBytes(targetMac), addressBytes(target)];
  return Buffer.concat([words(1, ETHERTYPE.ipv4, 0x0604, operation), ...ends]);
}

function ipv4(fields: IpFields): Buffer {
  const { source, destination, protocol, ttl, fragment } = fields;
  const rest = transport(fields);
  const place = fragment ? (fragment.more ? 0x2000 : 0) | (fragment.offset >> 3) : 0x4000; // don't fragment
  const header = Buffer.concat([
    words(0x4500, 20 + rest.length, fragment ? 1 : 0, place, (ttl << 8) | protocol, 0),
    addressBytes(source),
    addressBytes(destination),
  ]);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, rest]);
}

function ipv6(fields: IpFields): Buffer {
  const { source, destination, protocol, ttl, fragment } = fields;
  let rest = transport(fields);
  if (fragment) {
    const place = fragment.offset | (fragment.more ? 1 : 0);
    rest = Buffer.concat([words(protocol << 8, place, 0, 1), rest]);
  }
  const next = fragment ? FRAGMENT_HEADER : protocol;
  const start = words(0x6000, 0, rest.length, (next << 8) | ttl);
  return Buffer.concat([start, addressBytes(source), addressBytes(destination), rest]);
}

/** Later fragments have no transport header. */
function transport(fields: IpFields): Buffer {
  const { protocol, payload, fragment } = fields;
  if (fragment !== undefined && fragment.offset > 0) return Buffer.from(payload);
  const header = transportHeader(fields);
  const bytes = Buffer.concat([header, payload]);
  const place = { [tcp]: 16, [udp]: 6, [icmp]: 2, [icmpv6]: 2 }[protocol];
  if (place !== undefined) {
    const pseudo = protocol === icmp ? Buffer.alloc(0) : pseudoHeader(fields, bytes.length);
    const sum = checksum(Buffer.concat([pseudo, bytes]));
    bytes.writeUInt16BE(protocol === udp && sum === 0 ? 0xffff : sum, place);
  } else if (protocol === sctp) {
    bytes.writeUInt32LE(crc32c(bytes), 8);
  }
  return bytes;
}

function transportHeader(fields: IpFields): Buffer {
  const { protocol, sourcePort, destinationPort, tcpFlags, icmpType, icmpCode, icmpId, payload } = fields;
  switch (protocol) {
    case tcp: {
      // Of a connection whose ends both begin with 1 and send no data.
      const [sequence, acknowledgement] = [tcpFlags & SYN ? 1 : 2, tcpFlags & ACK ? 2 : 0];
      return Buffer.concat([
        words(sourcePort, destinationPort, 0, sequence, 0, acknowledgement),
        words(0x5000 | tcpFlags, 64_240, 0, 0),
      ]);
    }
    case udp:
      return words(sourcePort, destinationPort, 8 + payload.length, 0);
    case sctp:
      // An INIT chunk (RFC 9260, 3.3.2): one stream each way.
      return Buffer.concat([
        words(sourcePort, destinationPort, 0, 0, 0, 0),
        words(0x0100, 20, 0, 1, 0, 65_535, 1, 1, 0, 1),
      ]);
    case icmp:
      return words((icmpType << 8) | icmpCode, 0, icmpId, 1);
    case icmpv6:
      return icmpv6Header(fields);
    default:
      return Buffer.alloc(0);
  }
}

const NEIGHBOUR_SOLICITATION = 135;
const NEIGHBOUR_ADVERTISEMENT = 136;

/** Neighbour discovery asks about the destination, or answers for the source (RFC 4861, 4.3 and 4.4). */
function icmpv6Header({ icmpType, icmpCode, icmpId, source, destination }: IpFields): Buffer {
  const start = (icmpType << 8) | icmpCode;
  if (icmpType === NEIGHBOUR_SOLICITATION)
    return Buffer.concat([words(start, 0, 0, 0), addressBytes(destination)]);
  if (icmpType === NEIGHBOUR_ADVERTISEMENT)
    return Buffer.concat([words(start, 0, 0x6000, 0), addressBytes(source)]);
  return words(start, 0, icmpId, 1);
}

function pseudoHeader({ source, destination, protocol }: IpFields, length: number): Buffer {
  const addresses = [addressBytes(source), addressBytes(destination)];
  return Buffer.concat([...addresses, words(length >> 16, length & 0xffff, 0, protocol)]);
}

/** The Internet checksum (RFC 1071). */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum >>> 16) + (sum & 0xffff);
  return 0xffff - sum;
}

/** Of SCTP (RFC 9260, appendix A). */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let i = 0; i < 8; i++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
