// What ended processes left behind: pools that nobody holds, sockets on which nobody listens, TAP devices without engine.
import { connect } from 'node:net';
import { NETNS_DIRECTORY } from '../../engine/permits.js';
import { controlSocket, engineSocket, metricsSocket, poolDirectory } from '../../shared/paths.js';
import { answers } from '../probe.js';
import { linksIn, type Machine } from './machine.js';
import { mend, ok, orOk, some, unknown, type Result } from './result.js';
import type { Subject } from './subject.js';

const SHARED_MEMORY = '/dev/shm';

export function checkPools({ machine, runDir }: Subject): Result[] {
  const shared = (machine.list(SHARED_MEMORY) ?? []).filter((name) => name.startsWith('headgate-'));
  const folders = [...shared.map((name) => `${SHARED_MEMORY}/${name}`), poolDirectory(runDir)];
  const unreadable = shared.filter((name) => machine.list(`${SHARED_MEMORY}/${name}`) === undefined);
  if (unreadable.length > 0)
    return [unknown('pools', `${some(unreadable)} in ${SHARED_MEMORY} may not be read: run this as root.`)];
  const locks = machine.read('/proc/locks');
  if (locks === undefined) return [unknown('pools', '/proc/locks cannot be read.')];
  const left = folders.filter((folder) => {
    const files = (machine.list(folder) ?? []).map((name) => `${folder}/${name}`);
    return files.length > 0 && !files.some((file) => isLocked(machine, file, locks));
  });
  if (left.length === 0) return [ok('pools', 'Each has its engine.')];
  const remedy = `If no Headgate is to start on them again: rm -r ${left.join(' ')}`;
  return [mend('pools', `No engine holds the pools in ${some(left)}; they take memory.`, remedy)];
}

/** As /proc/locks names files: device in hexadecimal, inode in decimal. */
function isLocked(machine: Machine, file: string, locks: string): boolean {
  const status = machine.status(file);
  if (status === undefined) return false;
  const { dev, ino } = status;
  const hex = (value: number) => value.toString(16).padStart(2, '0');
  const name = `${hex((dev >> 8) & 0xfff)}:${hex((dev & 0xff) | ((dev >> 12) & 0xfff00))}:${ino}`;
  return locks.split('\n').some((line) => line.split(/\s+/).includes(name));
}

export async function checkSockets({ machine, runDir }: Subject): Promise<Result[]> {
  const findings: Result[] = [];
  for (const path of [engineSocket(runDir), controlSocket(runDir), metricsSocket(runDir)]) {
    if (machine.status(path)?.isSocket() !== true) continue;
    if ((await answers(path)) || (await isForbidden(path))) continue;
    findings.push(mend('sockets', `Nobody listens on ${path}.`, `Start Headgate, or remove it: rm ${path}`));
  }
  return orOk('sockets', findings, `None is stale in ${runDir}.`);
}

/** Somebody may listen, but this user may not ask. */
function isForbidden(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => (socket.destroy(), resolve(true)));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'EACCES' || code === 'EPERM'));
  });
}

/** A persistent TAP as the engine makes them, without a carrier: no process has it open. */
export function checkTaps({ machine }: Subject): Result[] {
  const namespaces = machine.list(NETNS_DIRECTORY) ?? [];
  const findings: Result[] = [];
  const unseen: string[] = [];
  for (const namespace of namespaces) {
    const links = linksIn(machine, `${NETNS_DIRECTORY}/${namespace}`);
    if (links === undefined) unseen.push(namespace);
    for (const { ifname, flags, linkinfo } of links ?? []) {
      const { type, persist, vnet_hdr } = linkinfo?.info_data ?? {};
      if (type !== 'tap' || !persist || !vnet_hdr || flags.includes('LOWER_UP')) continue;
      const remedy = `Start Headgate if the workload is its, or remove it: ip -n ${namespace} link delete ${ifname}`;
      findings.push(mend('taps', `${ifname} in namespace ${namespace} stands without an engine.`, remedy));
    }
  }
  if (unseen.length > 0)
    findings.push(unknown('taps', `Namespaces cannot be entered, run this as root: ${some(unseen)}.`));
  return orOk('taps', findings, 'None stands without an engine.');
}
