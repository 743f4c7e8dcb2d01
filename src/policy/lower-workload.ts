// Segments, workloads, edge pairs and trackers in the engine's terms. The same object comes back for the same document.
import type {
  BridgeSpec,
  EdgePairDocument,
  SegmentDocument,
  TrackerDocument,
  WorkloadDocument,
} from '../documents/index.js';
import {
  attachKind,
  deviceOf,
  edgePlace,
  edgeSegment,
  SIDES,
  tagsOf,
  trackerPlace,
} from '../documents/index.js';
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

/** An edge pair is a segment with bridges, and a workload for each of its interfaces. */
export interface EngineEdge {
  segment: EngineSegment;
  interfaces: EngineWorkload[];
}

const edgesBefore = new WeakMap<EdgePairDocument, EngineEdge>();

export function engineEdge(document: EdgePairDocument): EngineEdge {
  const before = edgesBefore.get(document);
  if (before !== undefined) return before;
  const { metadata, spec } = document;
  const segment = edgeSegment(metadata.name);
  const bridges = { bridges: spec.bridges.map(engineBridge) };
  const made = {
    segment: { name: segment, digest: digest(JSON.stringify(bridges)), ...bridges },
    interfaces: SIDES.map((side) => {
      const content = { segment, side, attach: { kind: 'veth' as const, device: spec[side].interface } };
      return { name: edgePlace(metadata.name, side), digest: digest(JSON.stringify(content)), ...content };
    }),
  };
  edgesBefore.set(document, made);
  return made;
}

function engineBridge(bridge: BridgeSpec) {
  const [south, north] = [tagsOf(bridge, 'south'), tagsOf(bridge, 'north')];
  return {
    ...(south.outer !== undefined && { southVlan: south.outer }),
    ...(south.inner !== undefined && { southInnerVlan: south.inner }),
    ...(north.outer !== undefined && { northVlan: north.outer }),
    ...(north.inner !== undefined && { northInnerVlan: north.inner }),
    tracker: bridge.tracker,
    judge: trackerPlace(bridge.tracker),
  };
}

/** Where flows across edge pairs are judged: a workload without segment and port. */
export function engineTracker({ metadata: { name }, spec }: TrackerDocument): EngineWorkload {
  const content = { ...(spec.limits && { limits: spec.limits }) };
  return { name: trackerPlace(name), digest: digest(`tracker ${JSON.stringify(content)}`), ...content };
}
