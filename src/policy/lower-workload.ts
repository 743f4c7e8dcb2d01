// Segments and workloads in the engine's terms. The same object comes back for the same document.
import type { SegmentDocument, WorkloadDocument } from '../documents/index.js';
import { attachKind, deviceOf } from '../documents/index.js';
import { formatRange } from '../documents/ip.js';
import { gatewaysOf } from '../documents/workload.js';
import type { Attach, EngineSegment, EngineWorkload } from '../engine/messages.js';
import { digest } from './names.js';
import type { ResolvedWorkload } from './resolve.js';

const workloadsBefore = new WeakMap<ResolvedWorkload, EngineWorkload>();

export function engineWorkload(resolved: ResolvedWorkload): EngineWorkload {
  const before = workloadsBefore.get(resolved);
  if (before !== undefined) return before;
  const { name, document, mac, addresses } = resolved;
  const content = {
    segment: document.spec.segment,
    attach: engineAttach(document, mac),
    ...(mac !== undefined && { mac }),
    ...(addresses && { addresses: addresses.ranges.map(formatRange) }),
    ...(document.spec.limits && { limits: document.spec.limits }),
  };
  const made = { name, digest: digest(JSON.stringify(content)), ...content };
  workloadsBefore.set(resolved, made);
  return made;
}

function engineAttach({ spec }: WorkloadDocument, mac: string | undefined): Attach {
  const { tap } = spec.attach;
  const kind = attachKind(spec);
  if (kind !== 'tap' || !tap || mac === undefined)
    return { kind: kind === 'veth' ? 'veth' : 'nic', device: deviceOf(spec) };
  return {
    kind,
    ...(tap.netns !== undefined && { netns: tap.netns }),
    device: tap.name,
    mac,
    addresses: tap.addresses ?? [],
    gateways: gatewaysOf(spec),
    ...(tap.mtu !== undefined && { mtu: tap.mtu }),
  };
}

export function engineSegment({ metadata: { name }, spec }: SegmentDocument): EngineSegment {
  const content = {
    ...(spec.vlan !== undefined && { vlan: spec.vlan }),
    ...(spec.innerVlan !== undefined && { innerVlan: spec.innerVlan }),
    tracker: spec.tracker ?? name,
  };
  return { name, digest: digest(JSON.stringify(content)), ...content };
}
