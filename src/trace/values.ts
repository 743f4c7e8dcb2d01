// The actual values behind a drop: which MAC it used and which it may use, which VLAN, which length.
import { addressesOf, attachKind, deviceOf } from '../documents/workload.js';
import { ofKind } from '../documents/index.js';
import { clip } from '../documents/fields.js';
import { formatRange } from '../documents/ip.js';
import type { Trace } from '../engine/trace-messages.js';
import type { World } from '../policy/index.js';
import { checksum } from './build.js';
import { dissect, macText, type Dissected } from './dissect.js';
import type { Drop } from './line.js';
import { ETHERTYPE, ethertypeName, flagLetters } from './names.js';
import type { Macs } from './prepare.js';

/** What is known beside the trace. */
export interface Surroundings {
  world: World;
  macs: Macs;
}

interface Case {
  trace: Trace;
  drop: Drop;
  frame: Buffer;
  seen: Dissected | undefined;
  around: Surroundings;
}

/** In words; undefined where there is nothing to add to the reason's text. */
export function valuesOf(trace: Trace, drop: Drop, around: Surroundings): string | undefined {
  const frame = Buffer.from(trace.frame, 'base64');
  return VALUES[drop.reason]?.({ trace, drop, frame, seen: dissect(frame), around });
}

type Say = (about: Case) => string | undefined;

const length: Say = ({ trace }) => `the frame has ${trace.length} bytes`;
const tags: Say = ({ trace, seen }) => `it has ${tagText(trace.headers?.vlans ?? seen?.vlans ?? [])}`;
const ipLength: Say = ({ frame, seen, trace }) => {
  if (seen?.ethertype === ETHERTYPE.ipv4 && frame.length >= seen.offset + 4)
    return `the header says ${frame.readUInt16BE(seen.offset + 2)} bytes, behind Ethernet are ${trace.length - seen.offset}`;
  if (seen?.ethertype === ETHERTYPE.ipv6 && frame.length >= seen.offset + 6)
    return `the header says ${frame.readUInt16BE(seen.offset + 4)} bytes of payload, behind it are ${trace.length - seen.offset - 40}`;
  return length({ frame, seen, trace } as Case);
};
const addresses: Say = ({ seen }) => seen?.source && `from ${seen.source} to ${seen.destination}`;
const ownAddresses: Say = (about) => {
  const used = about.trace.headers?.flow?.source ?? about.seen?.source;
  return used && `it used ${used}; ${mayUse(about)}`;
};

const VALUES: Record<string, Say> = {
  'ethernet-truncated': length,
  'ethernet-bad-source': ({ seen }) => seen && `the source is ${seen.sourceMac}`,
  'vlan-truncated': length,
  'vlan-too-many-tags': tags,
  'ethertype-unsupported': ({ seen }) => seen && `it is ${ethertypeName(seen.ethertype)}`,
  'ipv4-truncated': length,
  'ipv4-bad-length': ipLength,
  'ipv4-bad-checksum': wrongChecksum,
  'ipv4-bad-address': addresses,
  'ipv6-truncated': length,
  'ipv6-bad-length': ipLength,
  'ipv6-bad-address': addresses,
  'tcp-truncated': length,
  'tcp-bad-flags': tcpFlags,
  'udp-truncated': length,
  'sctp-truncated': length,
  'icmp-truncated': length,
  'port-unbound': ({ trace }) => trace.device && `the device is ${trace.device}`,
  'vlan-not-allowed': tags,
  'vlan-unmapped': unmapped,
  'spoofed-mac': spoofedMac,
  'spoofed-ipv4': ownAddresses,
  'spoofed-ipv6': ownAddresses,
  'spoofed-arp': spoofedArp,
  'spoofed-nd': ownAddresses,
  'no-other-port': ({ trace }) => trace.headers && `${trace.headers.destinationMac} is its own MAC`,
  'mac-reserved': ({ trace }) => trace.headers && `to ${trace.headers.destinationMac}`,
  'no-member': ({ trace }) => trace.segment && `segment ${trace.segment}`,
  'output-detached': outputDevice,
  'output-down': outputDevice,
  'output-too-big': tooBig,
};

function tagText(vlans: readonly number[]): string {
  return vlans.length === 0 ? 'no VLAN tag' : `VLAN ${vlans.join('.')}`;
}

function wrongChecksum({ frame, seen }: Case): string | undefined {
  const at = seen?.offset ?? 0;
  const header = Buffer.from(frame.subarray(at, at + ((frame[at] ?? 0) & 15) * 4));
  if (header.length < 20) return undefined;
  const found = header.readUInt16BE(10);
  header.writeUInt16BE(0, 10);
  const hex = (value: number) => `0x${value.toString(16).padStart(4, '0')}`;
  return `it has ${hex(found)}, right is ${hex(checksum(header))}`;
}

function tcpFlags({ frame, seen }: Case): string | undefined {
  if (seen === undefined) return undefined;
  const header = seen.ethertype === ETHERTYPE.ipv4 ? ((frame[seen.offset] ?? 0) & 15) * 4 : 40;
  const flags = frame[seen.offset + header + 13];
  return flags === undefined ? undefined : `the flags are ${flagLetters(flags)}`;
}

function mayUse({ trace, around }: Case): string {
  const { workload = '' } = trace;
  const spec = around.world.workloads.get(workload)?.document.spec;
  const own = spec && addressesOf(workload, spec)?.map(formatRange);
  return own === undefined ? 'what it may use is not known' : `${workload} may use ${clip(own.join(', '))}`;
}

function spoofedMac({ trace, seen, around }: Case): string | undefined {
  const used = trace.headers?.sourceMac ?? seen?.sourceMac;
  const { workload = '' } = trace;
  if (used === undefined) return undefined;
  const own = around.macs.of(workload);
  const owner = around.macs.owner(used);
  const whose = owner === undefined || owner === workload ? '' : `, the MAC of ${owner}`;
  return `it used ${used}${whose}${own === undefined ? '' : `; ${workload} may use ${own} alone`}`;
}

function spoofedArp(about: Case): string | undefined {
  const { frame, seen } = about;
  if (seen?.source === undefined || frame.length < seen.offset + 14) return undefined;
  const mac = macText(frame.subarray(seen.offset + 8, seen.offset + 14));
  if (mac !== seen.sourceMac) return `its sender MAC is ${mac}, the frame comes from ${seen.sourceMac}`;
  return `its sender is ${seen.source}; ${mayUse(about)}`;
}

function unmapped({ trace, seen, around }: Case): string {
  const vlans = trace.headers?.vlans ?? seen?.vlans ?? [];
  const segments = new Map(
    ofKind(around.world.documents, 'Segment').map((one) => [one.metadata.name, one.spec]),
  );
  const known = [...around.world.workloads.values()].flatMap(({ document: { metadata, spec } }) => {
    if (attachKind(spec) !== 'nic' || deviceOf(spec) !== trace.device) return [];
    const segment = segments.get(spec.segment);
    const mapped = [segment?.vlan, segment?.innerVlan].filter((vlan) => vlan !== undefined);
    return [`${mapped.length === 0 ? 'untagged' : mapped.join('.')} is ${metadata.name}`];
  });
  const mapped = known.length === 0 ? '' : `; mapped on ${trace.device}: ${clip(known.sort().join(', '))}`;
  return `it has ${tagText(vlans)}${mapped}`;
}

function outputDevice({ drop, around }: Case): string | undefined {
  const spec = around.world.workloads.get(drop.workload ?? '')?.document.spec;
  return spec && `${drop.workload} has the device ${deviceOf(spec)}`;
}

/** What the kernel gives a device that is made without one. */
const DEFAULT_MTU = 1500;
const ETHERNET_HEADER = 14;

function tooBig(about: Case): string {
  const { trace, drop, around } = about;
  const tap = around.world.workloads.get(drop.workload ?? '')?.document.spec.attach.tap;
  const mtu = tap ? `the MTU of ${drop.workload} is ${tap.mtu ?? DEFAULT_MTU}` : outputDevice(about);
  const size = `it has ${trace.length} bytes, ${trace.length - ETHERNET_HEADER} of them behind Ethernet`;
  return mtu === undefined ? size : `${size}; ${mtu}`;
}
