// MTUs from end to end of tunnels: what workloads send has to fit the path with all headers around it, and the path has to
// carry as much as it says.
import type { SegmentSpec } from '../../documents/segment.js';
import { overheadOf, type TunnelSpec } from '../../documents/tunnel.js';
import { namespacePath } from '../../engine/permits.js';
import { linksIn, type Machine } from './machine.js';
import { devicesOf } from './network.js';
import { mend, ok, orOk, unknown, type Result } from './result.js';
import type { Subject } from './subject.js';

const CHECK = 'tunnel-mtu';
/** Ahead of an ICMP echo's data: its own header and that of IP. */
const ECHO_HEADERS = { 4: 28, 6: 48 };

interface Way {
  segment: string;
  spec: SegmentSpec;
  tunnel: string;
  tunnelSpec: TunnelSpec;
  remote: string;
}

export function checkTunnelMtu(subject: Subject): Result[] {
  const ways = waysOf(subject);
  if (ways === undefined) return [unknown(CHECK, 'Nobody says which tunnels there are.')];
  if (ways.length === 0) return [ok(CHECK, 'No segment stretches over a tunnel.')];
  const largest = largestMtus(subject);
  const findings: Result[] = [];
  let seen = 0;
  for (const way of ways) {
    const mtu = pathMtu(subject, way);
    if (mtu === undefined) {
      findings.push(
        unknown(
          CHECK,
          `${way.tunnel}: there is no way to ${way.remote}, or it cannot be seen (run this as root).`,
        ),
      );
      continue;
    }
    seen += 1;
    const found = checkWay(way, mtu, largest.get(way.segment)) ?? checkPath(subject, way, mtu);
    if (found) findings.push(found);
  }
  return orOk(
    CHECK,
    findings,
    `What workloads send fits ${seen === 1 ? 'the way' : `all ${seen} ways`} to other hosts.`,
  );
}

function waysOf({ segments, tunnels }: Subject): Way[] | undefined {
  if (!segments || !tunnels) return undefined;
  const specs = new Map(tunnels.map(({ metadata, spec }) => [metadata.name, spec as TunnelSpec]));
  return segments.flatMap(({ metadata, spec }) =>
    ((spec as SegmentSpec).tunnels ?? []).flatMap((tunnel) => {
      const tunnelSpec = specs.get(tunnel);
      return (tunnelSpec?.remotes ?? []).flatMap((remote) =>
        tunnelSpec ? [{ segment: metadata.name, spec: spec as SegmentSpec, tunnel, tunnelSpec, remote }] : [],
      );
    }),
  );
}

/** By segment: the largest MTU of its workloads' devices here, and whose it is. */
function largestMtus(subject: Subject): Map<string, { mtu: number; workload: string }> {
  const largest = new Map<string, { mtu: number; workload: string }>();
  for (const { workload, segment, namespace, name } of devicesOf(subject)) {
    const mtu = linksIn(subject.machine, namespace)?.find(({ ifname }) => ifname === name)?.mtu;
    if (mtu !== undefined && mtu > (largest.get(segment)?.mtu ?? 0)) largest.set(segment, { mtu, workload });
  }
  return largest;
}

function namespaceOf({ status }: Subject, { netns }: TunnelSpec): string {
  const own = status?.engine === undefined ? '/proc/self/ns/net' : `/proc/${status.engine.pid}/ns/net`;
  return namespacePath(netns) ?? own;
}

/** As the kernel knows it: of the route, else of the interface. */
function pathMtu(subject: Subject, { tunnelSpec, remote }: Way): number | undefined {
  const { machine } = subject;
  const namespace = namespaceOf(subject, tunnelSpec);
  const links = linksIn(machine, namespace);
  const mtuOf = (device: string | undefined) => links?.find(({ ifname }) => ifname === device)?.mtu;
  if (tunnelSpec.local === undefined) return atMost(mtuOf(tunnelSpec.interface), tunnelSpec.mtu);
  const printed = inside(machine, namespace, 'ip', '-json', 'route', 'get', remote, 'from', tunnelSpec.local);
  if (printed === undefined) return undefined;
  const [route] = JSON.parse(printed || '[]') as { dev?: string; metrics?: { mtu?: number }[] }[];
  const known = route?.metrics?.find(({ mtu }) => mtu !== undefined)?.mtu;
  return atMost(known ?? mtuOf(route?.dev), tunnelSpec.mtu);
}

function atMost(mtu: number | undefined, most = Infinity): number | undefined {
  return mtu === undefined ? undefined : Math.min(mtu, most);
}

function checkWay(
  way: Way,
  mtu: number,
  largest: { mtu: number; workload: string } | undefined,
): Result | undefined {
  const room = mtu - overheadOf(way.tunnelSpec);
  if (largest === undefined || largest.mtu <= room || way.spec.oversized === 'fragment') return undefined;
  return mend(
    CHECK,
    `${way.segment}: ${largest.workload} has MTU ${largest.mtu}, and ${room} fit tunnel ${way.tunnel} to ${way.remote} (path MTU ${mtu}).`,
    `Give its workloads MTU ${room} (tap.mtu), or the underlay ${largest.mtu + overheadOf(way.tunnelSpec)}; what is longer is refused with ICMP "too big".`,
  );
}

/** Whether a packet as long as the path MTU gets there: a hop that drops it without a word is a black hole. */
function checkPath(subject: Subject, { tunnel, tunnelSpec, remote }: Way, mtu: number): Result | undefined {
  if (tunnelSpec.local === undefined) return undefined;
  const namespace = namespaceOf(subject, tunnelSpec);
  const echo = (bytes: number) =>
    inside(
      subject.machine,
      namespace,
      ...['ping', '-n', '-q', '-c', '2', '-i', '0.2', '-W', '1', '-M', 'do'],
      ...['-I', tunnelSpec.local ?? '', '-s', String(bytes), remote],
    ) !== undefined;
  if (echo(mtu - ECHO_HEADERS[remote.includes(':') ? 6 : 4])) return undefined;
  if (!echo(56))
    return unknown(CHECK, `${tunnel}: ${remote} answers no ping, so its path MTU of ${mtu} cannot be tried.`);
  return mend(
    CHECK,
    `${tunnel}: packets of ${mtu} bytes, as long as the path to ${remote} is said to carry, get lost on the way.`,
    `Set spec.mtu of the Tunnel to what the path carries, or mend the MTU of the hop that drops them.`,
  );
}

function inside(machine: Machine, namespace: string, ...argv: string[]): string | undefined {
  return machine.run('nsenter', `--net=${namespace}`, '--', ...argv);
}
