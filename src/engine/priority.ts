// An engine that prepares to follow does so behind the one in charge: on a processor that is busy its start, which is
// much work for JavaScript, must not keep packets waiting. It is started nicer (nice(1)), and is as the others are again
// before it takes over. Any process may become nicer; to take that back it needs RLIMIT_NICE, which the supervisor sets.
// Where it may not, and under systemd, whose unit keeps engines from it, nobody is made nicer.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Of a command line: what makes it nicer. */
export const NICER = ['nice', '-n', '10'];
/** RLIMIT_NICE counts down from 20: so much allows nice 0. */
const LIMIT = 20;

/** Of a command line: what lets the process take it back. Nothing where this one may not say so. */
export function mayComeForward(): string[] {
  const allow = ['prlimit', `--nice=${LIMIT}:${LIMIT}`, '--'];
  // Tried, not asked for: in a user namespace the capability is there, and does not help.
  return spawnSync('prlimit', [...allow.slice(1), 'true']).status === 0 ? allow : [];
}

/** All threads of this process, and those that they start from now on, as far as it may. */
export function comeForward(): void {
  if (getPriority() <= 0) return;
  for (const thread of readdirSync('/proc/self/task')) {
    try {
      setPriority(Number(thread), 0);
    } catch {
      // It has ended, or this process was started nicer by somebody else.
    }
  }
}
