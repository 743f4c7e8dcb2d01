// What policy says about a new flow between two ends: at the source's `out` and then at the destination's `in`.
import type { Document } from '../documents/index.js';
import { PROTOCOLS, trackerPlace } from '../documents/index.js';
import { clip } from '../documents/fields.js';
import type { Family } from '../documents/ip.js';
import { suggest } from '../documents/nearest.js';
import { chooseAddresses, findEnd } from './ends.js';
import type { Decision, Packet } from './evaluate.js';
import { evaluateIn, World } from './evaluate.js';
import type { Direction } from './types.js';

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
  /** The tracker of the edge pair that it crosses on its way; absent: none. */
  tracker?: string | undefined;
  /** Which way it crosses it: `out`, the default, from south to north. */
  crossing?: Direction | undefined;
}

export interface FlowAnswer {
  action: 'allow' | 'drop' | 'reject';
  packet: Packet;
  /** At the source's `out`, the tracker, and the destination's `in`; an address outside all workloads has none. */
  decisions: Decision[];
  /** What is noteworthy beside the rules. */
  notes: string[];
}

/** Judges a new flow between two ends; throws an Error that says how to mend the question. */
export function evaluateFlow(documents: readonly Document[], question: FlowQuestion): FlowAnswer {
  const world = new World(documents);
  const notes: string[] = [];
  const from = findEnd(world, question.from, question.fromAddress, notes);
  const to = findEnd(world, question.to, question.toAddress, notes);
  const tracker = question.tracker === undefined ? undefined : findTracker(world, question.tracker);
  if (!from.workload && !to.workload && tracker === undefined) {
    throw new Error(
      `neither ${question.from} nor ${question.to} belongs to a workload: name a workload at one end, or the tracker of an edge pair`,
    );
  }
  const { source, destination } = chooseAddresses(from, to, question);
  const { protocol, sourcePort, destinationPort, icmpType, icmpCode } = question;
  const packet: Packet = { protocol, source, destination, sourcePort, destinationPort, icmpType, icmpCode };
  if (protocol === PROTOCOLS.icmpv6 && icmpType !== undefined && icmpType >= 133 && icmpType <= 137) {
    notes.push('neighbour discovery is checked by spoofguard, not by rules');
    return { action: 'allow', packet, decisions: [], notes };
  }
  if (from.workload && from.workload === to.workload && tracker === undefined) {
    notes.push('both ends are the same workload: its own traffic does not pass through Headgate');
    return { action: 'allow', packet, decisions: [], notes };
  }
  const apart = from.workload?.spec.segment !== to.workload?.spec.segment;
  if (from.workload && to.workload && apart && tracker === undefined) {
    notes.push(
      `${from.workload.metadata.name} is on segment ${from.workload.spec.segment}, ${to.workload.metadata.name} on ${to.workload.spec.segment}: frames need a router between them`,
    );
  }
  const decisions: Decision[] = [];
  if (from.workload) decisions.push(evaluateIn(world, from.workload.metadata.name, 'out', packet));
  if (tracker !== undefined) decisions.push(evaluateIn(world, tracker, question.crossing ?? 'out', packet));
  if (to.workload) decisions.push(evaluateIn(world, to.workload.metadata.name, 'in', packet));
  const action = decisions.find((decision) => decision.action !== 'allow')?.action ?? 'allow';
  return { action, packet, decisions, notes };
}

function findTracker(world: World, name: string): string {
  const place = trackerPlace(name);
  if (world.trackers.has(place)) return place;
  const known = [...world.trackers.values()].map((metadata) => metadata.name);
  throw new Error(`no edge pair has a tracker "${clip(name)}": ${suggest(name, known)}`);
}
