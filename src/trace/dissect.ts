// What a frame says at first sight, as far as it goes: never throws, checks nothing. What the engine says of a frame
// comes from its own parse stage.
import { formatAddress, type Family } from '../documents/ip.js';
import { ETHERTYPE } from './names.js';

export interface Dissected {
  destinationMac: string;
  sourceMac: string;
  /** Outer first. */
  vlans: number[];
  ethertype: number;
  /** Where the packet begins. */
  offset: number;
  /** Of the IP packet, or who speaks and is asked for in ARP. */
  source?: string;
  destination?: string;
  protocol?: number;
}

/** Undefined: it is shorter than an Ethernet header. */
export function dissect(frame: Buffer): Dissected | undefined {
  if (frame.length < 14) return undefined;
  const vlans: number[] = [];
  let at = 12;
  let ethertype = frame.readUInt16BE(at);
  while ((ethertype === ETHERTYPE.vlan || ethertype === ETHERTYPE.qinq) && frame.length >= at + 6) {
    vlans.push(frame.readUInt16BE(at + 2) & 0x0fff);
    at += 4;
    ethertype = frame.readUInt16BE(at);
  }
  const base = {
    destinationMac: macText(frame.subarray(0, 6)),
    sourceMac: macText(frame.subarray(6, 12)),
    vlans,
    ethertype,
    offset: at + 2,
  };
  return { ...base, ...network(ethertype, frame.subarray(at + 2)) };
}

function network(ethertype: number, packet: Buffer): Partial<Dissected> {
  if (ethertype === ETHERTYPE.ipv4 && packet.length >= 20)
    return {
      source: addressText(4, packet, 12),
      destination: addressText(4, packet, 16),
      protocol: packet.readUInt8(9),
    };
  if (ethertype === ETHERTYPE.ipv6 && packet.length >= 40)
    return {
      source: addressText(6, packet, 8),
      destination: addressText(6, packet, 24),
      protocol: packet.readUInt8(6),
    };
  if (ethertype === ETHERTYPE.arp && packet.length >= 28)
    return { source: addressText(4, packet, 14), destination: addressText(4, packet, 24) };
  return {};
}

export function macText(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function addressText(family: Family, bytes: Buffer, at: number): string {
  const hex = bytes.subarray(at, at + (family === 4 ? 4 : 16)).toString('hex');
  return formatAddress({ family, value: BigInt(`0x${hex}`) });
}
