// An engine that prepares to follow does so behind the one in charge: on a processor that is busy its start, which is
// much work for JavaScript, must not keep packets waiting. It is started nicer (nice(1)), and is as the others are again
// before it takes over. Any process may become nicer; to take that back it needs RLIMIT_NICE, which the supervisor sets.
// Where it may not, and under systemd, whose unit keeps engines from it, nobody is made nicer.
import { readdirSync, readFileSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Of a command line: what makes it nicer. */
export const NICER = ['nice', '-n', '10'];
/** RLIMIT_NICE counts down from 20: so much allows nice 0. */
const LIMIT = 20;
const CAP_SYS_RESOURCE = 24n;

/** Of a command line: what lets the process take it back, if this one may say so. */
export function mayComeForward(status = readFileSync('/proc/self/status', 'utf8')): string[] {
  const [, effective = '0'] = /^CapEff:\s+([0-9a-f]+)/m.exec(status) ?? [];
  const may = ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n;
  return may ? ['prlimit', `--nice=${LIMIT}:${LIMIT}`, '--'] : [];
}

/** All threads of this process, and those that they start from now on. */
export function comeForward(): void {
  if (getPriority() <= 0) return;
  for (const thread of readdirSync('/proc/self/task')) setPriority(Number(thread), 0);
}
