import type { Document } from '../documents/index.js';
import type { Direction, RuleReference } from './types.js';

/** A new flow's first packet: addresses as text, numbers as in its headers. Absent ports and types: 0. */
export interface Packet {
  protocol: number;
  source: string;
  destination: string;
  sourcePort?: number | undefined;
  destinationPort?: number | undefined;
  icmpType?: number | undefined;
  icmpCode?: number | undefined;
}

/** The rule that came nearest to deciding, and what kept it from it. */
export interface NearestMiss {
  rule: RuleReference;
  /** The first field that did not match: appliedTo, direction, from, to, services, mode. */
  field: 'appliedTo' | 'direction' | 'from' | 'to' | 'services' | 'mode';
  /** In words: `to does not hold 10.0.2.9`. */
  reason: string;
}

/** What one workload's rules say about a packet. */
export interface Decision {
  workload: string;
  direction: Direction;
  action: 'allow' | 'drop' | 'reject';
  /** The deciding rule; absent: the default action. */
  rule?: RuleReference;
  /** Where the default is set (`file` absent: nowhere, so allow); only without `rule`. */
  section?: { text: string; file?: string; line?: number };
  /** Only without `rule`. */
  nearestMiss?: NearestMiss;
  /** Matching `pass` rules that ended a category, in order. */
  passed: RuleReference[];
  /** Matching rules in observe mode, in order. */
  observed: RuleReference[];
}

/** Judges a packet at one workload from the documents alone; throws when there is no such workload. */
export function evaluate(
  _documents: readonly Document[],
  _workload: string,
  _direction: Direction,
  _packet: Packet,
): Decision {
  throw new Error('not built');
}

export interface FlowQuestion {
  /** A workload's name or an address. */
  from: string;
  /** A workload's name or an address. */
  to: string;
  protocol: number;
  sourcePort?: number | undefined;
  destinationPort?: number | undefined;
  icmpType?: number | undefined;
  icmpCode?: number | undefined;
  /** Between workloads with addresses of both families: which; absent: IPv4 if both have it. */
  family?: 4 | 6 | undefined;
}

export interface FlowAnswer {
  action: 'allow' | 'drop' | 'reject';
  packet: Packet;
  /** At the source's `out` and then the destination's `in`; an address outside all workloads has none. */
  decisions: Decision[];
  /** What the documents make noteworthy: different segments, no common family and the like. */
  notes: string[];
}

/** Judges a new flow between two ends; throws an Error that says how to mend the question. */
export function evaluateFlow(_documents: readonly Document[], _question: FlowQuestion): FlowAnswer {
  throw new Error('not built');
}
