// How a connection is shown in a table.
import type { FlowResult } from '../control/api.js';
import { duration, quantity, type Column } from './output.js';

/** An address and, where there is one, its port. */
export function end(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

export function verdictOf({ verdicts }: FlowResult): string {
  return verdicts.find(({ action }) => action !== 'allow')?.action ?? 'allow';
}

export const FLOW_COLUMNS: Column<FlowResult>[] = [
  { title: 'PROTO', value: ({ protocol }) => protocol },
  { title: 'SOURCE', value: ({ source, sourcePort }) => end(source, sourcePort) },
  { title: 'DESTINATION', value: ({ destination, destinationPort }) => end(destination, destinationPort) },
  { title: 'STATE', value: ({ state }) => state },
  { title: 'VERDICT', value: verdictOf },
  {
    title: 'PACKETS',
    value: ({ packets: [there, back] }) => `${quantity(there)}/${quantity(back)}`,
    align: 'right',
  },
  {
    title: 'BYTES',
    value: ({ bytes: [there, back] }) => `${quantity(there)}/${quantity(back)}`,
    align: 'right',
  },
  {
    title: 'SERVICE',
    value: ({ service }) => service && `${service.tag}: ${service.portals.join(' ') || 'no portal works'}`,
    wide: true,
  },
  { title: 'AGE', value: ({ age }) => duration(age), align: 'right' },
  { title: 'IDLE', value: ({ idle }) => duration(idle), align: 'right' },
  { title: 'EXPIRES', value: ({ expires }) => duration(expires), align: 'right', wide: true },
  { title: 'TRACKER', value: ({ tracker }) => tracker, wide: true },
  {
    title: 'DECIDED BY',
    value: ({ verdicts }) =>
      verdicts
        .map(({ workload, direction, rule }) => `${workload} ${direction} ${rule ?? 'default'}`)
        .join('; '),
    wide: true,
  },
];
