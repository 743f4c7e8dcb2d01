// Checks tunnels: sockets that two of them cannot share, keys that an encapsulation does not have, remotes that a
// segment would reach twice, and what the host file permits.
import type { Document, HostDocument, SegmentDocument, TunnelDocument } from '../documents/index.js';
import { ofKind } from '../documents/index.js';
import { ENCAPSULATIONS, remoteAddress } from '../documents/tunnel.js';
import { refusal } from '../engine/permits.js';
import { findClashes, place } from './check-attachments.js';
import type { Find } from './check.js';

/** Below it, virtual subnet ids are reserved (RFC 7637, section 3.3). */
export const LEAST_NVGRE = 4096;

export function checkTunnels(documents: readonly Document[], error: Find, warn: Find): void {
  const tunnels = ofKind(documents, 'Tunnel');
  const byName = new Map(tunnels.map((tunnel) => [tunnel.metadata.name, tunnel]));
  findClashes(tunnels, socketOf, (first, second) =>
    error(
      second,
      second.spec.local === undefined ? 'spec.interface' : 'spec.local',
      `${place(first)} receives there already: give this tunnel another address or port, or add its remotes to that one`,
    ),
  );
  for (const segment of ofKind(documents, 'Segment')) checkSegment(segment, byName, error);
  const host = ofKind(documents, 'Host')[0];
  for (const tunnel of tunnels) checkPermission(host, tunnel, warn);
}

/** What only one tunnel can receive on. */
function socketOf({ spec }: TunnelDocument): string {
  const { over, port: own } = ENCAPSULATIONS[spec.encapsulation];
  const port = spec.port ?? own;
  const where = `${spec.netns ?? ''} ${spec.local === undefined ? (spec.interface ?? '') : remoteAddress(spec.local)}`;
  return `${port === undefined ? over : 'udp'} ${where} ${port ?? ''}`;
}

function checkSegment(
  segment: SegmentDocument,
  tunnels: ReadonlyMap<string, TunnelDocument>,
  error: Find,
): void {
  const { vni = 0, tunnels: names = [] } = segment.spec;
  const reached = new Map<string, string>();
  names.forEach((name, i) => {
    const tunnel = tunnels.get(name);
    const path = `spec.tunnels[${i}]`;
    if (!tunnel) return;
    if (tunnel.spec.encapsulation === 'nvgre' && vni < LEAST_NVGRE)
      error(
        segment,
        'spec.vni',
        `NVGRE has ids from ${LEAST_NVGRE} on, and tunnel "${name}" is one: use another vni`,
      );
    for (const remote of tunnel.spec.remotes) {
      const other = reached.get(remoteAddress(remote));
      if (other !== undefined)
        error(
          segment,
          path,
          `${remote} is reached by tunnel "${other}" already: frames would come twice; leave one out`,
        );
      reached.set(remoteAddress(remote), name);
    }
  });
}

function checkPermission(host: HostDocument | undefined, tunnel: TunnelDocument, warn: Find): void {
  if (!host) return;
  const { namespaces = [], interfaces = [] } = host.spec.attach ?? {};
  const { netns, interface: device } = tunnel.spec;
  const why = refusal(
    { namespaces, interfaces },
    { kind: 'tunnel', device: tunnel.metadata.name, netns, interface: device },
  );
  if (why === undefined) return;
  warn(
    tunnel,
    netns === undefined ? 'spec' : 'spec.netns',
    `the engine will refuse to open it: ${why} of ${place(host)}`,
  );
}
