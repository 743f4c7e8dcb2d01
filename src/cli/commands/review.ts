// What a plan says of rules that are of no use, as warnings, and of connections that would end.
import type { PlanReviewResult } from '../../control/api.js';
import { protocolName } from '../../documents/protocols.js';
import { note, shortPath } from '../output.js';

const MOST_SHOWN = 20;

export function showFindings({ quality }: PlanReviewResult): void {
  if (quality === undefined) return;
  const { findings, lookedAt, rules } = quality;
  for (const { kind, rule, by } of findings.slice(0, MOST_SHOWN)) {
    const others = by.map(({ id }) => id).join(', ');
    const why =
      kind === 'unreachable'
        ? `is never reached: ${others} take all that it matches`
        : `changes nothing: without it ${others || (rule.action === 'pass' ? 'nothing of its category' : 'the default')} would decide alike`;
    note(`warning: ${shortPath(rule.file)}:${rule.line}: rule ${rule.id} ${why}`);
  }
  const more = findings.length - MOST_SHOWN;
  if (more > 0) note(`warning: ${more} more rules are never reached or change nothing: -o json lists them`);
  if (lookedAt < rules) note(`warning: time was up: only ${lookedAt} of ${rules} rules were looked at`);
}

/** Lines for the end of a plan; none without an engine. */
export function describeConnections({ connections }: PlanReviewResult): string {
  if (connections === undefined) return '';
  const { total, lookedAt, dropped, reset, kept, examples } = connections;
  const parts = [`${dropped} would be dropped`, `${reset} reset`, `${kept} kept although denied`];
  const head = `Connections: ${parts.join(', ')} (of ${lookedAt} looked at, ${total} there are).\n`;
  return head + examples.map((example) => `  ${describeExample(example)}\n`).join('');
}

type Example = NonNullable<PlanReviewResult['connections']>['examples'][number];

function describeExample({ flow, at, how }: Example): string {
  const end = (address: string, port: number) =>
    port === 0 ? address : `${address.includes(':') ? `[${address}]` : address}:${port}`;
  const what = `${protocolName(flow.protocol)} ${end(flow.source, flow.sourcePort)} -> ${end(flow.destination, flow.destinationPort)}`;
  if (at === undefined) return `${what}  ${how}: its workload goes`;
  return `${what}  ${how}: denied at ${at.workload} (${at.direction}) by ${at.rule ?? 'the default'}`;
}
