// The far sides of segments in the engine's terms: for each segment, tunnel and remote a workload without rules of its
// own, called `tunnel/vni/remote`. The same objects come back for the same documents.
import type { SegmentDocument, TunnelDocument } from '../documents/index.js';
import { ENCAPSULATIONS, keyOf, metadataOf, remoteAddress } from '../documents/tunnel.js';
import type { Attach, EngineWorkload } from '../engine/messages.js';
import { digest } from './names.js';

type AttachTunnel = Extract<Attach, { kind: 'tunnel' }>;

/** What all that share a tunnel's socket have in common. */
export type Shared = Omit<AttachTunnel, 'remote' | 'key' | 'fragment'>;

/** Whether an engine's workload is the far side of a segment: no document's name has a slash. */
export function isRemote(workload: string): boolean {
  return workload.includes('/');
}

const before = new WeakMap<SegmentDocument, { tunnels: readonly TunnelDocument[]; made: EngineWorkload[] }>();

export function remotesOf(
  segments: readonly SegmentDocument[],
  tunnels: readonly TunnelDocument[],
): EngineWorkload[] {
  return segments.flatMap((segment) => {
    if (segment.spec.tunnels === undefined) return [];
    const known = before.get(segment);
    if (known?.tunnels === tunnels) return known.made;
    const made = segment.spec.tunnels.flatMap((name) => {
      const tunnel = tunnels.find(({ metadata }) => metadata.name === name);
      return tunnel ? remotesBehind(segment, tunnel) : [];
    });
    before.set(segment, { tunnels, made });
    return made;
  });
}

function remotesBehind({ metadata, spec }: SegmentDocument, tunnel: TunnelDocument): EngineWorkload[] {
  const shared = sharedOf(tunnel);
  const vni = spec.vni ?? 0;
  return tunnel.spec.remotes.map((remote) => {
    const content = {
      segment: metadata.name,
      attach: {
        ...shared,
        remote: remoteAddress(remote),
        key: keyOf(tunnel.spec.encapsulation, vni),
        fragment: spec.oversized === 'fragment',
      },
    };
    const name = `${tunnel.metadata.name}/${vni}/${remote}`;
    return { name, digest: digest(JSON.stringify(content)), ...content };
  });
}

export function sharedOf({ metadata, spec }: TunnelDocument): Shared {
  const text = metadataOf(spec);
  const hasMetadata = ENCAPSULATIONS[spec.encapsulation].metadata === 'context';
  return {
    kind: 'tunnel',
    device: metadata.name,
    encapsulation: spec.encapsulation,
    ...(spec.local !== undefined && { local: spec.local }),
    ...(spec.port !== undefined && { port: spec.port }),
    ...(spec.netns !== undefined && { netns: spec.netns }),
    ...(spec.interface !== undefined && { interface: spec.interface }),
    ...(spec.mtu !== undefined && { mtu: spec.mtu }),
    ...(text !== '' && { metadata: text }),
    ...(hasMetadata && { metadataType: spec.context === undefined ? 2 : 1 }),
  };
}
