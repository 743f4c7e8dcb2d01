// Limits that are nearly reached: connections, slots of rules, open files, memory for pools.
import { mend, ok, unknown, type Result } from './result.js';
import type { Subject } from './subject.js';

const NEARLY = 0.8;
const DEFAULT_SLOTS = 262_144;

const percent = (share: number) => `${Math.round(share * 100)} %`;

export function checkConnections({ stats }: Subject): Result[] {
  if (stats === undefined) return [unknown('connections', 'No engine says how many there are.')];
  const { connections, connectionsLimit } = stats;
  const share = connections / connectionsLimit;
  const what = `${connections} of ${connectionsLimit} (${percent(share)}) are in use`;
  if (share < NEARLY) return [ok('connections', `${what}.`)];
  const remedy =
    'Raise spec.connections in the host file (128 bytes each) and restart the engine; headgate flows shows who.';
  return [mend('connections', `${what}: beyond the limit new flows are dropped.`, remedy)];
}

/** An entry takes a slot, or one for each list of source ports: at least so many are in use. */
export function checkSlots({ rules, host }: Subject): Result[] {
  if (rules === undefined || host === undefined)
    return [unknown('rules', 'Control does not say how many there are.')];
  const used = rules.filter(({ workloads }) => workloads > 0).length;
  const limit = host.rules ?? DEFAULT_SLOTS;
  const what = `At least ${used} of ${limit} slots (${percent(used / limit)}) are in use`;
  if (used / limit < NEARLY) return [ok('rules', `${what}.`)];
  const remedy =
    'Raise spec.rules in the host file and restart the engine, or see headgate get rules --unused 30d.';
  return [mend('rules', `${what}: an apply beyond them is refused.`, remedy)];
}

export function checkOpenFiles({ machine, status }: Subject): Result[] {
  const pid = status?.engine?.pid;
  if (pid === undefined) return [unknown('open files', 'There is no engine to look at.')];
  const limit = Number(/^Max open files\s+(\d+)/m.exec(machine.read(`/proc/${pid}/limits`) ?? '')?.[1]);
  const used = machine.list(`/proc/${pid}/fd`)?.length;
  if (Number.isNaN(limit) || used === undefined)
    return [unknown('open files', `Process ${pid} cannot be seen: run this as root, where the engine runs.`)];
  const what = `The engine has ${used} of ${limit} open`;
  if (used / limit < NEARLY) return [ok('open files', `${what}.`)];
  const remedy =
    'Each workload takes one for each packet thread. Raise LimitNOFILE in the unit, or ulimit -n, and restart.';
  return [mend('open files', `${what}: more workloads cannot be attached.`, remedy)];
}

export function checkPoolSpace({ machine }: Subject): Result[] {
  const filled = machine.filled('/dev/shm');
  if (filled === undefined) return [unknown('memory', '/dev/shm cannot be looked at.')];
  const what = `/dev/shm is ${percent(filled.share)} full (${Math.round(filled.size / 2 ** 20)} MiB)`;
  if (filled.share < NEARLY) return [ok('memory', `${what}.`)];
  const remedy =
    'As root: mount -o remount,size=1G /dev/shm (containers: --shm-size), or remove what headgate doctor calls leftovers.';
  return [mend('memory', `${what}: an engine ends when its pools find no room.`, remedy)];
}
