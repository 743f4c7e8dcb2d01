// A record of a flow log as every exporter writes it: what the engine tells, with names in the place of numbers.
import { protocolName } from '../documents/index.js';
import type { FlowRecord } from '../engine/messages.js';
import { DEFAULT_RULE } from '../control/views.js';

/** What the firewall did; IPFIX calls it firewallEvent. */
export type FlowEvent = 'deleted' | 'denied' | 'update';

export interface FlowLogRecord {
  /** When the connection began, or the record before was made, and its last frame: milliseconds since the epoch. */
  start: number;
  end: number;
  event: FlowEvent;
  reason: FlowRecord['reason'];
  state: string;
  tracker: string;
  /** IANA's number. */
  protocol: number;
  source: string;
  sourcePort: number;
  destination: string;
  destinationPort: number;
  icmpType?: number | undefined;
  icmpCode?: number | undefined;
  /** From the initiator, from the responder, since the record before; frames that were denied are not among them. */
  packets: [number, number];
  bytes: [number, number];
  /** At the initiator's workload (out), at the responder's (in). */
  verdicts: { workload: string; direction: 'in' | 'out'; action: string; rule: string }[];
}

export function toRecord(flow: FlowRecord): FlowLogRecord {
  const verdicts = flow.verdicts.map((verdict) => ({ ...verdict, rule: verdict.rule ?? DEFAULT_RULE }));
  return { ...flow, event: eventOf(flow), verdicts };
}

/** A connection that worked until a policy ended it has been deleted, not denied. */
function eventOf({ state, reason }: Pick<FlowRecord, 'state' | 'reason'>): FlowEvent {
  if (state === 'denied' && reason !== 'forced-end') return 'denied';
  return reason === 'active-timeout' ? 'update' : 'deleted';
}

/** The record as one line of JSON. */
export function toLine(record: FlowLogRecord): string {
  const start = new Date(record.start).toISOString();
  const end = new Date(record.end).toISOString();
  return `${JSON.stringify({ ...record, start, end, protocol: protocolName(record.protocol) })}\n`;
}
