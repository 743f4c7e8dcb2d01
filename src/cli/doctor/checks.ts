// All checks of `headgate doctor`, in the order in which they are told.
import { checkClock, checkClockSource } from './clock.js';
import { checkKernel, checkProcessor } from './kernel.js';
import { checkPools, checkSockets, checkTaps } from './leftovers.js';
import { checkConnections, checkOpenFiles, checkPoolSpace, checkSlots } from './limits.js';
import { checkMtu, checkOffloads } from './network.js';
import { checkAddon, checkNode } from './program.js';
import type { Result } from './result.js';
import { checkPrivileges, checkRunning, checkState, checkVersions, checkWorkloads } from './running.js';
import type { Subject } from './subject.js';
import { checkTunnelMtu } from './tunnels.js';

export const CHECKS: ((subject: Subject) => Result[] | Promise<Result[]>)[] = [
  checkRunning,
  checkState,
  checkVersions,
  checkPrivileges,
  checkKernel,
  checkProcessor,
  () => checkNode(),
  () => checkAddon(),
  checkWorkloads,
  checkMtu,
  checkTunnelMtu,
  checkOffloads,
  checkConnections,
  checkSlots,
  checkOpenFiles,
  checkPoolSpace,
  checkPools,
  checkSockets,
  checkTaps,
  checkClock,
  checkClockSource,
];

export async function examine(subject: Subject): Promise<Result[]> {
  const results: Result[] = [];
  for (const check of CHECKS) results.push(...(await check(subject)));
  return results;
}
