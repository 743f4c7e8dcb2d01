// What policy says about a new flow between two ends: at the source's `out` and then at the destination's `in`.
import type { Document, WorkloadDocument } from '../documents/index.js';
import { PROTOCOLS } from '../documents/index.js';
import { clip } from '../documents/fields.js';
import type { Address, Family } from '../documents/ip.js';
import { formatAddress, parseAddress } from '../documents/ip.js';
import { suggest } from '../documents/nearest.js';
import { statedAddresses } from '../documents/workload.js';
import type { Decision, Packet } from './evaluate.js';
import { evaluateIn, World } from './evaluate.js';

export interface FlowQuestion {
  /** A workload's name or an address. */
  from: string;
  /** A workload's name or an address. */
  to: string;
  /** The address that the end uses, where it is a workload with several or none in its document. */
  fromAddress?: string | undefined;
  toAddress?: string | undefined;
  protocol: number;
  sourcePort?: number | undefined;
  destinationPort?: number | undefined;
  icmpType?: number | undefined;
  icmpCode?: number | undefined;
  /** Which family, where the ends have both; absent: IPv4. */
  family?: Family | undefined;
}

export interface FlowAnswer {
  action: 'allow' | 'drop' | 'reject';
  packet: Packet;
  /** At the source's `out` and then the destination's `in`; an address outside all workloads has none. */
  decisions: Decision[];
  /** What is noteworthy beside the rules. */
  notes: string[];
}

interface End {
  workload: WorkloadDocument | undefined;
  /** Those to choose from. */
  addresses: Address[];
}

/** Judges a new flow between two ends; throws an Error that says how to mend the question. */
export function evaluateFlow(documents: readonly Document[], question: FlowQuestion): FlowAnswer {
  const world = new World(documents);
  const notes: string[] = [];
  const from = findEnd(world, question.from, question.fromAddress, notes);
  const to = findEnd(world, question.to, question.toAddress, notes);
  if (!from.workload && !to.workload) {
    throw new Error(
      `neither ${question.from} nor ${question.to} belongs to a workload: name a workload at one end`,
    );
  }
  const { source, destination } = chooseAddresses(from, to, question);
  const { protocol, sourcePort, destinationPort, icmpType, icmpCode } = question;
  const packet: Packet = { protocol, source, destination, sourcePort, destinationPort, icmpType, icmpCode };
  if (protocol === PROTOCOLS.icmpv6 && icmpType !== undefined && icmpType >= 133 && icmpType <= 137) {
    notes.push('neighbour discovery is checked by spoofguard, not by rules');
    return { action: 'allow', packet, decisions: [], notes };
  }
  if (from.workload && from.workload === to.workload) {
    notes.push('both ends are the same workload: its own traffic does not pass through Headgate');
    return { action: 'allow', packet, decisions: [], notes };
  }
  if (from.workload && to.workload && from.workload.spec.segment !== to.workload.spec.segment) {
    notes.push(
      `${from.workload.metadata.name} is on segment ${from.workload.spec.segment}, ${to.workload.metadata.name} on ${to.workload.spec.segment}: frames need a router between them`,
    );
  }
  const decisions: Decision[] = [];
  if (from.workload) decisions.push(evaluateIn(world, from.workload.metadata.name, 'out', packet));
  if (to.workload) decisions.push(evaluateIn(world, to.workload.metadata.name, 'in', packet));
  const action = decisions.find((decision) => decision.action !== 'allow')?.action ?? 'allow';
  return { action, packet, decisions, notes };
}

function findEnd(world: World, text: string, explicit: string | undefined, notes: string[]): End {
  const address = parseAddress(text);
  if (address) {
    const owners = world.owners(address);
    const names = owners.map(({ metadata }) => metadata.name);
    if (owners.length > 1)
      notes.push(`${text} may be used by ${clip(names.join(', '))}: judged as ${names[0] ?? ''}`);
    return { workload: owners[0], addresses: [address] };
  }
  const found = world.workloads.get(text);
  if (!found)
    throw new Error(`there is no workload "${clip(text)}": ${suggest(text, [...world.workloads.keys()])}`);
  if (explicit !== undefined) {
    const own = parseAddress(explicit);
    if (!own) throw new Error(`"${clip(explicit)}" is not an address: write it like 10.0.1.2 or 2001:db8::2`);
    return { workload: found.document, addresses: [own] };
  }
  const addresses = (statedAddresses(found.document.spec) ?? []).map(({ family, first }) => ({
    family,
    value: first,
  }));
  if (addresses.length === 0)
    throw new Error(`workload "${text}" has no addresses in its document: say which address it uses`);
  return { workload: found.document, addresses };
}

function chooseAddresses(
  from: End,
  to: End,
  question: FlowQuestion,
): { source: string; destination: string } {
  const natural = question.protocol === PROTOCOLS.icmpv6 ? 6 : 4;
  const families: Family[] = question.family ? [question.family] : natural === 6 ? [6, 4] : [4, 6];
  for (const family of families) {
    const source = from.addresses.find((address) => address.family === family);
    const destination = to.addresses.find((address) => address.family === family);
    if (source && destination)
      return { source: formatAddress(source), destination: formatAddress(destination) };
  }
  const wanted = question.family ? `IPv${question.family} addresses` : 'addresses of one family';
  throw new Error(`${question.from} and ${question.to} do not both have ${wanted}: name the addresses`);
}
