// What the host file lets this host's engine attach to.
//
// `Host.spec.attach` holds globs: `namespaces` for TAP devices, `interfaces` for veth and nic. A namespace is
// compared by its name below /run/netns, or by its absolute path when it lies elsewhere. `*` and `?` stand for
// characters other than `/`. A tap without `netns` is made in the engine's own namespace: that has to be said
// with the word `self`, no other glob grants it. Control is not trusted here: it parses what people send.
import { HeadgateError } from '../shared/errors.js';
import type { Attach, Delta } from './messages.js';

export interface AttachPermits {
  namespaces: readonly string[];
  interfaces: readonly string[];
}

export const NETNS_DIRECTORY = '/run/netns';

/** The path of a namespace given by name or absolute path; undefined for the engine's own. Throws `bad-attach`. */
export function namespacePath(netns: string | undefined): string | undefined {
  if (netns === undefined) return undefined;
  const parts = netns.split('/');
  const absolute = netns.startsWith('/');
  const walks = parts.slice(absolute ? 1 : 0).some((part) => part === '' || part === '.' || part === '..');
  if (netns.includes('\0') || walks || (!absolute && parts.length > 1)) {
    throw new HeadgateError(
      'bad-attach',
      `'${netns}' is neither the name of a network namespace nor a plain absolute path.`,
    );
  }
  return absolute ? netns : `${NETNS_DIRECTORY}/${netns}`;
}

/** True when the text matches the glob; `*` and `?` do not match a `/`. */
export function matchesGlob(glob: string, text: string): boolean {
  let g = 0;
  let t = 0;
  let star = -1;
  let resume = 0;
  while (t < text.length) {
    const wanted = glob[g];
    if (wanted === '*') {
      star = g++;
      resume = t;
    } else if (wanted !== undefined && (wanted === text[t] || (wanted === '?' && text[t] !== '/'))) {
      g++;
      t++;
    } else if (star >= 0 && text[resume] !== '/') {
      g = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (glob[g] === '*') g++;
  return g === glob.length;
}

function isInterfaceName(name: string): boolean {
  // eslint-disable-next-line no-control-regex
  return /^[^/:\s\u0000-\u001f]{1,15}$/.test(name) && name !== '.' && name !== '..';
}

/** The part of an attachment that permits are about. */
type Wanted = {
  kind: Attach['kind'];
  device: string;
  netns?: string | undefined;
  interface?: string | undefined;
};

/** Why this attachment is not permitted, in words; undefined when it is. */
export function refusal(permits: AttachPermits, attach: Wanted): string | undefined {
  const device = attach.kind === 'tunnel' ? attach.interface : attach.device;
  if (device !== undefined && !isInterfaceName(device)) return `'${device}' is not the name of an interface`;
  // An interface of another namespace is granted with the namespace.
  if (device !== undefined && attach.kind !== 'tap' && attach.netns === undefined) {
    if (!permits.interfaces.some((glob) => matchesGlob(glob, device)))
      return `interface ${device} matches none of attach.interfaces (${list(permits.interfaces)})`;
  }
  if (attach.kind === 'veth' || attach.kind === 'nic') return undefined;
  if (attach.netns === undefined) {
    if (permits.namespaces.includes('self')) return undefined;
    return `a ${attach.kind} without netns lies in the engine's own namespace, and attach.namespaces (${list(permits.namespaces)}) does not say self`;
  }
  const path = namespacePath(attach.netns) as string;
  const name = path.startsWith(`${NETNS_DIRECTORY}/`) ? path.slice(NETNS_DIRECTORY.length + 1) : path;
  if (permits.namespaces.some((glob) => matchesGlob(glob, name) || matchesGlob(glob, path))) return undefined;
  return `namespace ${attach.netns} matches none of attach.namespaces (${list(permits.namespaces)})`;
}

function list(globs: readonly string[]): string {
  return globs.length === 0 ? 'empty' : globs.join(', ');
}

/** Refuses the whole delta when a workload in it names something that the host file does not permit. */
export function checkPermits(permits: AttachPermits, delta: Delta, hostFile: string): void {
  const faults: string[] = [];
  for (const workload of delta.setWorkloads ?? []) {
    if (workload.attach === undefined) continue;
    try {
      const why = refusal(permits, workload.attach);
      if (why !== undefined) faults.push(`workload ${workload.name}: ${why}`);
    } catch (error) {
      faults.push(`workload ${workload.name}: ${(error as Error).message}`);
    }
  }
  if (faults.length === 0) return;
  const more = faults.length > 1 ? ` (and ${faults.length - 1} more)` : '';
  throw new HeadgateError('not-permitted', `The host file does not permit ${faults[0]}${more}.`, {
    remedy: `Add a matching glob to spec.attach in ${hostFile} and restart the engine, or change the workload.`,
    details: faults.length > 1 ? faults.slice(0, 20) : [],
  });
}
