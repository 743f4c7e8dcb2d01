// An engine that prepares to follow does so behind the one in charge: on a processor that is busy its start, which is
// much work for JavaScript, must not keep packets waiting. The supervisor starts it nicer (nice(1)), and brings it
// forward before it takes over. Where it may not do the latter, it does neither: nobody is left behind.
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

/** Of a command line: what makes it nicer. */
export const NICER = ['nice', '-n', '10'];

/** Tried, not asked for: in a user namespace the capability is there, and does not help. */
export function mayBringForward(): boolean {
  // It says so, and goes on, when it may not.
  return spawnSync('nice', ['-n', '-1', 'true']).stderr.length === 0;
}

/** All threads of a process are as nice as this one again, and so are those that they start from now on. */
export function bringForward(pid: number): void {
  for (const thread of threadsOf(pid)) {
    try {
      setPriority(Number(thread), getPriority());
    } catch {
      // It has ended.
    }
  }
}

function threadsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return []; // it has ended
  }
}
