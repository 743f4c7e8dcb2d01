// How `headgate top` looks: a head line, and five tables that share the screen.
import { paint, quantity, renderTable, type Column } from '../output.js';
import type { Size } from '../watch.js';
import { end, verdictOf } from '../flow-columns.js';
import type { ConnectionRate, DropRate, FlowRate, RuleRate, Top, WorkloadRate } from './rates.js';

export const SECTIONS = ['workloads', 'hitters', 'rules', 'flows', 'drops'] as const;
export type Section = (typeof SECTIONS)[number];

/** Rows of each table where there is no screen to fill. */
const PLAIN_ROWS = 10;
/** A table's name and titles, and the empty line before it. */
const FRAME_ROWS = 3;

export function topLines(
  top: Top,
  { columns, rows }: Size,
  fault: string | undefined,
  only: Section | undefined,
): string[] {
  const shown = only === undefined ? SECTIONS : [only];
  const head = [headOf(top), ...(fault === undefined ? [] : [paint('red', fault)])];
  const foot = rows === undefined ? [] : ['', 'w h r f d: one table  a: all  q: end'];
  const room = rows === undefined ? undefined : rows - head.length - foot.length;
  const each = room === undefined ? PLAIN_ROWS : Math.max(1, Math.floor(room / shown.length) - FRAME_ROWS);
  return [...head, ...shown.flatMap((section) => table(top, section, each, columns)), ...foot];
}

function headOf({ time, connections, connectionsLimit, workloads, rules, drops }: Top): string {
  const sum = (values: number[]) => quantity(values.reduce((all, one) => all + one, 0));
  const clock = new Date(time).toISOString().slice(11, 19);
  return [
    `${clock} UTC  connections ${connections} of ${connectionsLimit}`,
    `new judged flows ${sum(rules.map(({ flows }) => flows))}/s`,
    `packets ${sum(workloads.map(({ sentPackets }) => sentPackets))}/s`,
    `bytes ${sum(workloads.map(({ sentBytes }) => sentBytes))}/s`,
    `dropped ${sum(drops.map(({ packets }) => packets))}/s`,
  ].join('  ');
}

function table(top: Top, section: Section, rows: number, columns: number | undefined): string[] {
  const all = top[section];
  const name = `${section.toUpperCase()} (${Math.min(rows, all.length)} of ${all.length})`;
  return ['', paint('bold', name), ...rendered(top, section, rows, columns).trimEnd().split('\n')];
}

function rendered(top: Top, section: Section, rows: number, columns: number | undefined): string {
  switch (section) {
    case 'workloads':
      return renderTable(top.workloads.slice(0, rows), WORKLOADS, columns);
    case 'hitters':
      return renderTable(top.hitters.slice(0, rows), HITTERS, columns);
    case 'rules':
      return renderTable(top.rules.slice(0, rows), RULES, columns);
    case 'flows':
      return renderTable(top.flows.slice(0, rows), FLOWS, columns);
    case 'drops':
      return renderTable(top.drops.slice(0, rows), DROPS, columns);
  }
}

const perSecond = <T>(title: string, value: (row: T) => number): Column<T> => ({
  title,
  value: (row) => quantity(value(row)),
  align: 'right',
});

const WORKLOADS: Column<WorkloadRate>[] = [
  { title: 'WORKLOAD', value: ({ workload }) => workload, shrink: true },
  perSecond('SENT/s', ({ sentPackets }) => sentPackets),
  perSecond('BYTES/s', ({ sentBytes }) => sentBytes),
  perSecond('RECEIVED/s', ({ receivedPackets }) => receivedPackets),
  perSecond('BYTES/s', ({ receivedBytes }) => receivedBytes),
  perSecond('DROPPED/s', ({ drops }) => drops),
];

const HITTERS: Column<ConnectionRate>[] = [
  { title: 'WORKLOAD', value: ({ workload }) => workload, shrink: true },
  { title: 'OPEN', value: ({ open }) => open, align: 'right' },
  { title: 'OF', value: ({ limits }) => limits.connections, align: 'right' },
  { title: 'HALF-OPEN', value: ({ halfOpen }) => halfOpen, align: 'right' },
  { title: 'OF', value: ({ limits }) => limits.halfOpen, align: 'right' },
  perSecond('NEW/s', ({ begun }) => begun),
  { title: 'OF', value: ({ limits }) => limits.newPerSecond, align: 'right' },
  perSecond('REFUSED/s', ({ refused }) => refused),
];

const RULES: Column<RuleRate>[] = [
  { title: 'RULE', value: ({ rule }) => rule, shrink: true },
  perSecond('FLOWS/s', ({ flows }) => flows),
  perSecond('PACKETS/s', ({ packets }) => packets),
  perSecond('BYTES/s', ({ bytes }) => bytes),
  perSecond('FLOWS', ({ total }) => total),
];

const FLOWS: Column<FlowRate>[] = [
  { title: 'PROTO', value: ({ flow }) => flow.protocol },
  { title: 'SOURCE', value: ({ flow }) => end(flow.source, flow.sourcePort), shrink: true },
  { title: 'DESTINATION', value: ({ flow }) => end(flow.destination, flow.destinationPort), shrink: true },
  { title: 'STATE', value: ({ flow }) => flow.state },
  { title: 'VERDICT', value: ({ flow }) => verdictOf(flow) },
  perSecond('PACKETS/s', ({ packets }) => packets),
  perSecond('BYTES/s', ({ bytes }) => bytes),
];

const DROPS: Column<DropRate>[] = [
  perSecond('DROPS/s', ({ packets }) => packets),
  perSecond('DROPS', ({ total }) => total),
  { title: 'DIR', value: ({ direction }) => direction },
  { title: 'REASON', value: ({ reason }) => reason },
  { title: 'WHAT IT MEANS', value: ({ text }) => text, shrink: true },
];
