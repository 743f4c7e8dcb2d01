// `get observed`: what rules in observe mode would have done, by workload.
import type { ObservedResult } from '../control/api.js';
import { HeadgateError } from '../shared/errors.js';
import type { ApiClient } from './client.js';
import { note, print, quantity, shortPath, type Column, type Format } from './output.js';

type Hit = ObservedResult['hits'][number];

/** `name`: a policy or policy/rule; absent: all. */
export async function getObserved(
  client: ApiClient,
  name: string | undefined,
  format: Format,
): Promise<void> {
  const { rules, policies, hits } = await client.get<ObservedResult>('/v1/observed');
  if (name !== undefined && !policies.includes(name.split('/', 1)[0] ?? '')) {
    throw new HeadgateError('not-found', `Nothing of ${name} observes.`, {
      remedy:
        policies.length === 0 ? 'All rules are enforced.' : `Policies that observe: ${policies.join(', ')}`,
    });
  }
  const found = hits.filter((hit) => isOf(hit, name));
  const shown = format === 'table' ? found.filter(isDenied) : found;
  print(format, shown, COLUMNS, { rules, policies, hits: found });
  if (format !== 'table') return;
  const others = found.length - shown.length;
  if (others > 0) note(`${others} more would be allowed or passed on: -o wide shows them`);
  if (rules > 0 && shown.length === 0) note('nothing would have been dropped since the engine started');
}

export function isOf({ rule }: Hit, name: string | undefined): boolean {
  return name === undefined || rule === name || rule.startsWith(`${name}/`);
}

export function isDenied({ action }: Hit): boolean {
  return action === 'drop' || action === 'reject';
}

const COLUMNS: Column<Hit>[] = [
  { title: 'WORKLOAD', value: ({ workload }) => workload, shrink: true },
  { title: 'DIR', value: ({ direction }) => direction },
  { title: 'WOULD', value: ({ action }) => action },
  { title: 'RULE', value: ({ rule }) => rule, shrink: true },
  { title: 'FLOWS', value: ({ flows }) => quantity(flows), align: 'right' },
  { title: 'PACKETS', value: ({ packets }) => quantity(packets), align: 'right' },
  { title: 'BYTES', value: ({ bytes }) => quantity(bytes), align: 'right' },
  { title: 'WHERE', value: ({ file, line }) => `${shortPath(file)}:${line}`, wide: true },
];
