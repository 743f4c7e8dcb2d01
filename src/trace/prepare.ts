// From a packet as people describe it to the frame that a workload would send: who sends it, from which address, to
// which MAC.
import { gatewaysOf, macOf } from '../documents/workload.js';
import { PROTOCOLS, ofKind, type WorkloadDocument } from '../documents/index.js';
import { clip } from '../documents/fields.js';
import { contains, parseAddress, parseInterfaceAddress, prefixRange } from '../documents/ip.js';
import { suggest } from '../documents/nearest.js';
import type { Attachment } from '../engine/messages.js';
import type { GivenFrame } from '../engine/trace-messages.js';
import { chooseAddresses, explicitAddress, findEnd, type End, type World } from '../policy/index.js';
import { errorMessage, HeadgateError } from '../shared/errors.js';
import { addressBytes, buildFrame, type FrameFields } from './build.js';
import { dissect, macText } from './dissect.js';
import { SYN } from './names.js';
import type { Described, PacketQuestion } from './packet.js';

export interface Prepared {
  given: GivenFrame;
  notes: string[];
}

/** The MACs that workloads are known by: of their documents, or as they are attached. */
export class Macs {
  readonly #byWorkload = new Map<string, string>();
  readonly #byMac = new Map<string, string>();

  constructor({ workloads }: World, attachments: readonly Attachment[]) {
    for (const { workload, mac } of attachments) if (mac !== undefined) this.#byWorkload.set(workload, mac);
    for (const [name, { document }] of workloads) {
      const pinned = macOf(name, document.spec);
      if (pinned !== undefined) this.#byWorkload.set(name, pinned);
    }
    for (const [workload, mac] of this.#byWorkload) this.#byMac.set(mac, workload);
  }

  of(workload: string): string | undefined {
    return this.#byWorkload.get(workload);
  }

  owner(mac: string): string | undefined {
    return this.#byMac.get(mac.toLowerCase());
  }
}

/** `payload`: what stands at the beginning of the payload, where the packet has one. Throws `question`. */
export function prepare(
  world: World,
  macs: Macs,
  question: PacketQuestion,
  mark = Buffer.alloc(0),
): Prepared {
  const notes: string[] = [];
  try {
    const given =
      'frame' in question ? raw(world, macs, question) : described(world, macs, question, mark, notes);
    return { given, notes };
  } catch (cause) {
    if (cause instanceof HeadgateError) throw cause;
    throw new HeadgateError('question', errorMessage(cause), { cause });
  }
}

function raw(
  world: World,
  macs: Macs,
  { from, frame }: { from?: string | undefined; frame: string },
): GivenFrame {
  if (from !== undefined && world.edges.has(from)) return { workload: from, frame };
  const { sourceMac, source } = dissect(Buffer.from(frame, 'base64')) ?? {};
  const { metadata } = senderOf(world, macs, from, sourceMac, source);
  return { workload: metadata.name, frame };
}

function senderOf(
  world: World,
  macs: Macs,
  from: string | undefined,
  mac: string | undefined,
  address: string | undefined,
): WorkloadDocument {
  const text = from ?? address;
  const parsed = text === undefined ? undefined : parseAddress(text);
  const byName = from === undefined ? macs.owner(mac ?? '') : from;
  const found = world.workloads.get(byName ?? '')?.document ?? (parsed && world.owners(parsed)[0]);
  if (found) return found;
  if (from !== undefined && !parsed)
    throw new Error(`there is no workload "${clip(from)}": ${suggest(from, [...world.workloads.keys()])}`);
  const what = [mac && `the MAC ${mac}`, text && `the address ${text}`].filter(Boolean).join(' or ');
  throw unanswered(
    `No workload has ${what || 'a MAC that the frame names'}.`,
    'Name the one that sends it: --from WORKLOAD',
  );
}

function described(world: World, macs: Macs, question: Described, mark: Buffer, notes: string[]): GivenFrame {
  const sender = senderOf(world, macs, question.from, question.sourceMac, question.sourceAddress);
  const { name } = sender.metadata;
  const from = endOf(world, question.from ?? name, question.sourceAddress, notes);
  const to = endOf(world, question.to, question.destinationAddress, notes);
  const isArp = typeof question.protocol === 'string';
  const protocol = typeof question.protocol === 'string' ? 0 : question.protocol;
  const family = isArp ? 4 : question.family;
  const asked = { from: question.from ?? name, to: question.to, protocol, family };
  const ends = chooseAddresses(from, to, asked);
  const next = nextHop(world, sender, to, ends.destination, question);
  const fields: FrameFields = {
    sourceMac: question.sourceMac ?? NO_MAC,
    destinationMac: next.mac ?? NO_MAC,
    vlans: question.vlans ?? vlansOf(world, sender),
    content: isArp ? arpOf(question, name, macs, ends) : ipOf(question, protocol, ends, mark),
  };
  return {
    workload: name,
    frame: buildFrame(fields).toString('base64'),
    ...(question.sourceMac === undefined ? { ownMac: true } : {}),
    ...(next.workload === undefined ? {} : { toMac: next.workload }),
  };
}

const NO_MAC = '00:00:00:00:00:00';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';

function endOf(world: World, text: string, explicit: string | undefined, notes: string[]): End {
  if (explicit === undefined || world.workloads.has(text)) return findEnd(world, text, explicit, notes);
  return {
    workload: findEnd(world, text, undefined, notes).workload,
    addresses: [explicitAddress(explicit)],
  };
}

interface Ends {
  source: string;
  destination: string;
}

function arpOf({ protocol, sourceMac }: Described, name: string, macs: Macs, { source, destination }: Ends) {
  const senderMac = sourceMac ?? macs.of(name);
  if (senderMac === undefined)
    throw unanswered(
      `ARP names the MAC of its sender, and that of ${name} is not known.`,
      'Name it: --source-mac MAC',
    );
  const reply = protocol === 'arp-reply';
  return {
    operation: reply ? (2 as const) : (1 as const),
    senderMac,
    sender: source,
    targetMac: reply ? BROADCAST : NO_MAC,
    target: destination,
  };
}

const ECHO_REQUEST: Record<number, number> = { [PROTOCOLS.icmp]: 8, [PROTOCOLS.icmpv6]: 128 };
const LEAST_FRAGMENT = 8;
/** Where Linux chooses ports by itself. */
const FIRST_EPHEMERAL = 32_768;
const LAST_EPHEMERAL = 60_999;

function ipOf(question: Described, protocol: number, { source, destination }: Ends, mark: Buffer) {
  const icmpType = question.icmpType ?? ECHO_REQUEST[protocol] ?? 0;
  const isDiscovery = protocol === PROTOCOLS.icmpv6 && icmpType >= 133 && icmpType <= 137;
  // A later fragment without bytes would be none.
  const least = (question.fragment?.offset ?? 0) > 0 ? LEAST_FRAGMENT : 0;
  const payload = Buffer.alloc(question.payload ?? Math.max(mark.length, least));
  if (!isDiscovery && protocol !== PROTOCOLS.sctp) mark.copy(payload);
  const ephemeral = FIRST_EPHEMERAL + Math.floor(Math.random() * (LAST_EPHEMERAL - FIRST_EPHEMERAL + 1));
  return {
    source,
    destination,
    protocol,
    sourcePort: question.sourcePort ?? ephemeral,
    destinationPort: question.destinationPort ?? 0,
    icmpType,
    icmpCode: question.icmpCode ?? 0,
    icmpId: question.icmpId ?? ephemeral,
    tcpFlags: question.tcpFlags ?? SYN,
    // Neighbour discovery is believed only with a hop limit that no router has touched.
    ttl: question.ttl ?? (isDiscovery ? 255 : 64),
    fragment: question.fragment,
    payload:
      isDiscovery || protocol === PROTOCOLS.sctp ? payload.subarray(0, question.payload ?? 0) : payload,
  };
}

/** The tags that tell a trunk whose frame it is. */
function vlansOf({ documents }: World, { spec }: WorkloadDocument): number[] {
  if (!spec.attach.nic) return [];
  const segment = ofKind(documents, 'Segment').find(({ metadata }) => metadata.name === spec.segment)?.spec;
  return [segment?.vlan, segment?.innerVlan].filter((vlan) => vlan !== undefined);
}

/** To which MAC, or to that of which workload. */
function nextHop(
  world: World,
  sender: WorkloadDocument,
  to: End,
  destination: string,
  { destinationMac, protocol }: Described,
): { mac?: string; workload?: string } {
  const group = destinationMac ?? (protocol === 'arp' ? BROADCAST : groupMac(destination));
  if (group !== undefined) return { mac: group };
  const { segment } = sender.spec;
  const family = destination.includes(':') ? 6 : 4;
  const gateway = gatewaysOf(sender.spec).find((text) => text.includes(':') === (family === 6));
  const isDirect = gateway === undefined || isOnLink(sender, destination);
  if (isDirect && to.workload?.spec.segment === segment) return { workload: to.workload.metadata.name };
  const hop = isDirect ? destination : gateway;
  const router = parseAddress(hop);
  const owner = router && world.owners(router).find(({ spec }) => spec.segment === segment);
  if (owner) return { workload: owner.metadata.name };
  const why = isDirect ? '' : `, the gateway of ${sender.metadata.name}`;
  const elsewhere =
    to.workload === undefined || to.workload.spec.segment === segment
      ? ''
      : ` ${to.workload.metadata.name} is on segment ${to.workload.spec.segment}, ${sender.metadata.name} on segment ${segment}: frames need a router between them.`;
  throw unanswered(
    `No workload of segment ${segment} has ${hop}${why}: the MAC that the frame goes to is not known.${elsewhere}`,
    'Name it: --destination-mac MAC',
  );
}

/** In a network of one of its addresses; all are where no address is known. */
function isOnLink({ spec }: WorkloadDocument, destination: string): boolean {
  const address = parseAddress(destination);
  const networks = (spec.attach.tap?.addresses ?? []).flatMap((text) => parseInterfaceAddress(text) ?? []);
  if (!address || networks.length === 0 || destination.startsWith('fe80:')) return true;
  return networks.some((one) => contains(prefixRange(one.address, one.prefix), address));
}

/** Of broadcast and multicast addresses (RFC 1112, 6.4; RFC 2464, 7). */
export function groupMac(destination: string): string | undefined {
  const bytes = addressBytes(destination);
  if (destination === '255.255.255.255') return BROADCAST;
  const first = bytes[0] ?? 0;
  if (bytes.length === 4 && first >= 224 && first <= 239)
    return macText(Buffer.from([0x01, 0x00, 0x5e, (bytes[1] ?? 0) & 0x7f, bytes[2] ?? 0, bytes[3] ?? 0]));
  if (bytes.length === 16 && first === 0xff)
    return macText(Buffer.concat([Buffer.from([0x33, 0x33]), bytes.subarray(12)]));
  return undefined;
}

function unanswered(message: string, remedy: string): HeadgateError {
  return new HeadgateError('question', message, { remedy });
}
