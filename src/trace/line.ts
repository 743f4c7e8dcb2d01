// A traced frame in a line: what it is, what was decided, where it came to.
import { PROTOCOLS, protocolName } from '../documents/protocols.js';
import type { FlowHeaders, Trace } from '../engine/trace-messages.js';
import type { TraceAnswer } from './answer.js';
import { dissect } from './dissect.js';
import { ETHERTYPE, ethertypeName, flagLetters, icmpName } from './names.js';

/** `tcp 10.0.1.2:40000 > 10.0.2.2:5432 [S]`; what the parse stage refused by its MACs. */
export function packetLine({ headers, frame }: Trace): string {
  const seen = headers ?? dissect(Buffer.from(frame, 'base64'));
  if (seen === undefined) return 'a frame without an Ethernet header';
  const flow = headers?.flow;
  const what =
    flow === undefined
      ? `${ethertypeName(seen.ethertype)} ${seen.sourceMac} > ${seen.destinationMac}`
      : seen.ethertype === ETHERTYPE.arp
        ? `arp ${flow.source} > ${flow.destination}`
        : flowLine(flow, headers?.tcpFlags);
  const fragment = headers?.fragment === undefined ? '' : `, ${headers.fragment} fragment`;
  const vlans = seen.vlans.length === 0 ? '' : `, vlan ${seen.vlans.join('.')}`;
  return `${what}${fragment}${vlans}`;
}

/** `tcp 10.0.1.2:40000 > 10.0.2.2:5432 [S]`, `icmp 10.0.1.2 > 10.0.2.2 echo request`. */
export function flowLine(flow: FlowHeaders, tcpFlags?: number): string {
  const { protocol, source, destination, icmpType, icmpCode } = flow;
  const name = protocolName(protocol);
  if (protocol === PROTOCOLS.icmp || protocol === PROTOCOLS.icmpv6) {
    const code = icmpCode ? ` code ${icmpCode}` : '';
    const type = icmpType === undefined ? '' : ` ${icmpName(source.includes(':') ? 6 : 4, icmpType)}${code}`;
    return `${name} ${source} > ${destination}${type}`;
  }
  const hasPorts = [PROTOCOLS.tcp, PROTOCOLS.udp, PROTOCOLS.sctp].includes(protocol as never);
  if (!hasPorts) return `${/^\d/.test(name) ? `protocol ${name}` : name} ${source} > ${destination}`;
  const flags = tcpFlags === undefined ? '' : ` [${flagLetters(tcpFlags)}]`;
  return `${name} ${end(source, flow.sourcePort)} > ${end(destination, flow.destinationPort)}${flags}`;
}

function end(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

export type Drop = Trace['drops'][number];

/** Whether a verdict of a rule or of the default says it all. */
export function isOfPolicy({ reason }: Pick<Drop, 'reason'>): boolean {
  return ['policy-drop', 'policy-reject', 'default-drop', 'connection-reset'].includes(reason);
}

/** A frame that goes to many may have hundreds. */
const MOST_VERDICTS = 4;

/** `allow web-1 out shop/web -> drop db-1 in default`, `drop spoofed-mac at guard`. */
export function verdictLine({ verdicts, drops }: Trace): string {
  const decided = verdicts.map(
    ({ action, workload, direction, rule }) => `${action} ${workload} ${direction} ${rule ?? 'default'}`,
  );
  const dropped = drops
    .filter((drop) => !isOfPolicy(drop) || verdicts.every(({ action }) => action === 'allow'))
    .map(({ reason, stage }) => `drop ${reason} at ${stage}`);
  const parts = [...decided, ...new Set(dropped)];
  const more = parts.length - MOST_VERDICTS - 1;
  const shown = more > 0 ? [...parts.slice(0, MOST_VERDICTS + 1), `${more} more`] : parts;
  return shown.join(' -> ') || 'no rules apply';
}

/** Whether it is a later fragment that the record left where it waits for its first one. */
export function isHeld({ headers, stage, drops, outputs }: Trace): boolean {
  return headers?.fragment === 'later' && stage === 'fragments' && drops.length + outputs.length === 0;
}

/** Where the frame was written: what is queued for a port may still be refused there. */
export function arrivals({ outputs, drops }: Trace): Trace['outputs'] {
  const refused = drops.filter(({ stage }) => stage === 'transmit').map(({ workload }) => workload);
  return outputs.filter(({ what, workload }) => what === 'frame' && !refused.includes(workload));
}

export function outcomeOf(trace: Trace): TraceAnswer['outcome'] {
  const { drops } = trace;
  if (arrivals(trace).length > 0) return 'delivered';
  if (drops.some(({ reason }) => reason === 'policy-reject')) return 'rejected';
  return drops.length > 0 ? 'dropped' : 'unknown';
}

/** `delivered to db-1 (eth0)`, `dropped at guard: spoofed-mac: a source MAC that the workload may not use`. */
export function summaryOf(trace: Trace): string {
  const outcome = outcomeOf(trace);
  const [drop] = trace.drops;
  if (outcome === 'delivered') return delivered(trace);
  if (isHeld(trace)) return 'held: the first fragment of its packet has not come (it is dropped after 30 s)';
  if (drop === undefined) return `not seen any more behind ${trace.stage}: nothing was said of it`;
  const where = drop.workload === undefined ? '' : ` (${drop.workload} ${drop.direction})`;
  const answered = trace.outputs.some(({ what }) => what === 'answer') ? '; its sender was answered' : '';
  return `${outcome} at ${drop.stage}${where}: ${drop.reason}: ${drop.text}${answered}`;
}

function delivered(trace: Trace): string {
  const { drops } = trace;
  const named = arrivals(trace).map(({ workload, device }) =>
    device === undefined ? workload : `${workload} (${device})`,
  );
  const many =
    named.length > MOST_VERDICTS
      ? [...named.slice(0, MOST_VERDICTS), `${named.length - MOST_VERDICTS} more`]
      : named;
  const counts = new Map<string, number>();
  for (const { reason } of drops) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const dropped = [...counts].map(([reason, count]) => `${reason} for ${count}`);
  return `delivered to ${many.join(', ')}${dropped.length > 0 ? `; dropped: ${dropped.join(', ')}` : ''}`;
}

/** The names and labels under which its drops are counted. */
export function metricsOf({ drops }: Trace): string[] {
  return [
    ...new Set(
      drops.map(
        ({ reason, direction }) => `headgate_drop_packets_total{reason="${reason}",direction="${direction}"}`,
      ),
    ),
  ];
}
