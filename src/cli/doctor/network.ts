// The devices of workloads: one MTU within a segment, and no offload that spoils frames.
import { edgePlace, edgeSegment, SIDES, type EdgePairSpec } from '../../documents/edge-pair.js';
import type { WorkloadSpec } from '../../documents/workload.js';
import { namespacePath } from '../../engine/permits.js';
import { linksIn, type Link } from './machine.js';
import { mend, ok, orOk, some, unknown, type Result } from './result.js';
import type { Subject } from './subject.js';

interface Device {
  workload: string;
  segment: string;
  /** The file of the namespace it is in. */
  namespace: string;
  name: string;
  tap: boolean;
}

export function devicesOf({ workloads = [], edgePairs = [], status }: Subject): Device[] {
  // An engine in a container has other devices than whoever asks.
  const own = status?.engine === undefined ? '/proc/self/ns/net' : `/proc/${status.engine.pid}/ns/net`;
  const ofWorkloads = workloads.map(({ metadata, spec }) => {
    const { attach, segment } = spec as WorkloadSpec;
    const namespace = namespacePath(attach.tap?.netns) ?? own;
    const name = attach.tap?.name ?? attach.veth?.interface ?? attach.nic?.interface ?? '';
    return { workload: metadata.name, segment, namespace, name, tap: attach.tap !== undefined };
  });
  const ofEdges = edgePairs.flatMap(({ metadata, spec }) =>
    SIDES.map((side) => ({
      workload: edgePlace(metadata.name, side),
      segment: edgeSegment(metadata.name),
      namespace: own,
      name: (spec as EdgePairSpec)[side].interface,
      tap: false,
    })),
  );
  return [...ofWorkloads, ...ofEdges];
}

export function checkMtu(subject: Subject): Result[] {
  const devices = devicesOf(subject);
  if (devices.length === 0) return [unknown('mtu', 'There are no workloads to look at.')];
  const links = new Map<string, Link[] | undefined>();
  for (const { namespace } of devices)
    if (!links.has(namespace)) links.set(namespace, linksIn(subject.machine, namespace));
  const segments = new Map<string, Map<number, string[]>>();
  let seen = 0;
  for (const { namespace, name, segment, workload } of devices) {
    const mtu = links.get(namespace)?.find(({ ifname }) => ifname === name)?.mtu;
    if (mtu === undefined) continue;
    seen += 1;
    const mtus = segments.get(segment) ?? new Map<number, string[]>();
    segments.set(segment, mtus.set(mtu, [...(mtus.get(mtu) ?? []), workload]));
  }
  if (seen === 0) return [unknown('mtu', 'No device of a workload can be seen: run this as root.')];
  const remedy =
    'Give them one MTU: tap.mtu of the Workload, or ip link set DEVICE mtu N. Larger frames get lost.';
  const findings = [...segments].flatMap(([segment, mtus]) => {
    if (mtus.size < 2) return [];
    const parts = [...mtus].sort(([a], [b]) => a - b).map(([mtu, names]) => `${mtu} (${some(names)})`);
    return [mend('mtu', `Segment ${segment} has several MTUs: ${parts.join('; ')}.`, remedy)];
  });
  const left = devices.length - seen;
  const unseen = left === 0 ? '' : `; ${left} of ${devices.length} devices cannot be seen`;
  return orOk('mtu', findings, `Within each segment all devices have one${unseen}.`);
}

/** Large receive offload merges frames that nobody can cut again as they were. */
export function checkOffloads(subject: Subject): Result[] {
  if (subject.workloads === undefined) return [unknown('offloads', 'Nobody says where workloads are.')];
  const devices = devicesOf(subject).filter(({ tap }) => !tap);
  if (devices.length === 0) return [ok('offloads', 'No workload is at an interface, only at TAPs.')];
  const findings: Result[] = [];
  for (const [name, namespace] of new Map(devices.map((one) => [one.name, one.namespace]))) {
    const printed = subject.machine.run('nsenter', `--net=${namespace}`, '--', 'ethtool', '-k', name);
    if (printed === undefined)
      findings.push(
        unknown('offloads', `${name}: ethtool is not installed, or may not look (run this as root).`),
      );
    else if (/^large-receive-offload: on/m.test(printed))
      findings.push(
        mend(
          'offloads',
          `${name} merges what it receives (LRO) beyond repair.`,
          `As root: ethtool -K ${name} lro off`,
        ),
      );
  }
  return orOk('offloads', findings, 'No interface merges frames beyond repair.');
}
