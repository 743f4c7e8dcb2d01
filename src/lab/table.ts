// The table who could reach whom and why: what was tried between each pair, and then who reached whom.
import { serviceName } from './attempts.js';
import { nameOf, type Row } from './check.js';

/** The whole report as lines of text. */
export function reportOf(rows: Row[]): string {
  const bad = rows.filter(({ faults }) => faults.length > 0);
  const count = (outcome: string) => rows.filter(({ answer }) => answer.outcome === outcome).length;
  return [
    everyWay(rows),
    '',
    matrix(rows),
    '',
    ...bad.flatMap((row) => row.faults.map((fault) => `WRONG ${nameOf(row.attempt)}: ${fault}`)),
    ...(bad.length > 0 ? [''] : []),
    `${rows.length} ways tried: ${count('reached')} reached, ${count('refused')} refused, ${count('silent')} silent; ` +
      (bad.length === 0 ? 'all as the policy says' : `${bad.length} NOT as they should be`),
  ].join('\n');
}

/** The rows for programs. */
export function rowsAsData(rows: Row[]): unknown[] {
  return rows.map(({ attempt, answer, policy, decidedBy, faults }) => ({
    from: attempt.from.workload,
    to: attempt.to.workload,
    address: attempt.address,
    service: serviceName(attempt.service),
    family: attempt.family,
    outcome: answer.outcome,
    detail: answer.detail,
    policy: policy.action,
    decidedBy,
    faults,
  }));
}

/** One line for the ways between a pair that were decided alike, IPv4 and IPv6 beside each other. */
function everyWay(rows: Row[]): string {
  const ways = new Map<string, { row: Row; families: Map<4 | 6, string> }>();
  for (const row of rows) {
    const { from, to, service, family } = row.attempt;
    const key = JSON.stringify([
      from.workload,
      to.workload,
      serviceName(service),
      row.policy.action,
      row.decidedBy,
    ]);
    const way = ways.get(key) ?? { row, families: new Map<4 | 6, string>() };
    way.families.set(family, row.faults.length === 0 ? row.answer.outcome : `${row.answer.outcome}(!)`);
    ways.set(key, way);
  }
  const lines = new Map<string, { cells: string[]; services: string[] }>();
  for (const { row, families } of ways.values()) {
    const { from, to, service } = row.attempt;
    const outcomes = [families.get(4) ?? '-', families.get(6) ?? '-'];
    const cells = [from.workload, to.workload, ...outcomes, row.policy.action, row.decidedBy.join('; ')];
    const line = lines.get(JSON.stringify(cells)) ?? { cells, services: [] };
    line.services.push(serviceName(service));
    lines.set(JSON.stringify(cells), line);
  }
  const body = [...lines.values()].map(({ cells: [from = '', to = '', ...rest], services }) => [
    from,
    to,
    services.join(' '),
    ...rest,
  ]);
  return columns([['FROM', 'TO', 'TRIED', 'IPV4', 'IPV6', 'POLICY', 'DECIDED BY'], ...body]);
}

/** Who reached whom by what, from row to column. */
function matrix(rows: Row[]): string {
  const names = [...new Set(rows.map(({ attempt }) => attempt.from.workload))];
  const cell = (from: string, to: string): string => {
    const reached = rows.filter(
      ({ attempt, answer }) =>
        attempt.from.workload === from && attempt.to.workload === to && answer.outcome === 'reached',
    );
    const families = new Map<string, number[]>();
    for (const { attempt } of reached) {
      const name = serviceName(attempt.service);
      families.set(name, [...(families.get(name) ?? []), attempt.family]);
    }
    const words = [...families].map(([name, seen]) =>
      seen.length === 2 ? name : `${name}(IPv${seen[0]} only)`,
    );
    return from === to ? '' : words.join(' ') || '-';
  };
  return columns([
    ['REACHED', ...names],
    ...names.map((from) => [from, ...names.map((to) => cell(from, to))]),
  ]);
}

function columns(table: string[][]): string {
  const widths = (table[0] ?? []).map((_, i) => Math.max(...table.map((line) => (line[i] ?? '').length)));
  return table
    .map((line) =>
      line
        .map((text, i) => text.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
