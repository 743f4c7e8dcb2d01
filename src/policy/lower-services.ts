// Service documents -> portals, tags and index entries in the engine's terms.
//
// A portal behind a tunnel becomes a workload of its own, `portal/NAME`, in a segment of all such; one on a nic is the
// workload that it names. The rules of an insertion become entries behind all categories of the firewall, each with its
// tag. Only tags that have a part to play on this host are sent: those that rules choose here, and those of a gateway.
import type {
  Document,
  SecurityPolicyDocument,
  ServiceInsertionDocument,
  ServicePortalDocument,
  TunnelDocument,
} from '../documents/index.js';
import { keyOf, remoteAddress } from '../documents/tunnel.js';
import { macFromName } from '../documents/workload.js';
import { INSERTIONS } from '../engine/messages.js';
import type { EnginePortal, EngineSegment, EngineServiceTag, EngineWorkload } from '../engine/messages.js';
import { lowerPolicy, type Services } from './lower.js';
import { sharedOf } from './lower-tunnel.js';
import { digest } from './names.js';
import { ServiceWorld } from './service-legs.js';
import type { LoweredPolicy } from './types.js';

/** No name of a document has a colon or a slash. */
export const PORTAL_SEGMENT = 'portals:';
export const portalWorkload = (portal: string) => `portal/${portal}`;
export const insertionName = (insertion: string) => `insertion:${insertion}`;

export interface LoweredServices {
  portals: ReadonlyMap<string, EnginePortal>;
  tags: ReadonlyMap<string, EngineServiceTag>;
  /** For portals behind tunnels. */
  workloads: readonly EngineWorkload[];
  segments: readonly EngineSegment[];
}

const NONE: LoweredServices = { portals: new Map(), tags: new Map(), workloads: [], segments: [] };

export function lowerServices(documents: readonly Document[]): LoweredServices {
  const world = new ServiceWorld(documents);
  if (world.portals.size === 0) return NONE;
  const tags = new Map<string, EngineServiceTag>();
  for (const tag of world.tags) {
    const { from, client } = tag.spec;
    const hops = world.hopsOf(tag);
    if (!hops || (from === undefined && world.usersOf(tag).length === 0)) continue;
    const leg = (portal: string) => ({ portal, key: world.keyAt(tag, portal) });
    const content = {
      ...(from === undefined ? { segment: client } : { entry: leg(from), tracker: `client:${client}` }),
      hops: hops.map(({ open, portals }) => ({ open, legs: portals.map(leg) })),
    };
    const { name } = tag.metadata;
    tags.set(name, { name, digest: digest(JSON.stringify(content)), ...content });
  }
  const portals = new Map(
    [...world.portals.values()].map((one) => [one.metadata.name, lowerPortal(one, world)] as const),
  );
  const workloads = [...world.portals.values()].flatMap((one) => {
    const tunnel = world.tunnels.get(one.spec.tunnel ?? '');
    return tunnel ? [tunnelWorkload(one, tunnel)] : [];
  });
  const segment = { tracker: PORTAL_SEGMENT };
  const segments =
    workloads.length > 0
      ? [{ name: PORTAL_SEGMENT, digest: digest(JSON.stringify(segment)), ...segment }]
      : [];
  return { portals, tags, workloads, segments };
}

function lowerPortal({ metadata: { name }, spec }: ServicePortalDocument, world: ServiceWorld): EnginePortal {
  const encapsulation = world.tunnels.get(spec.tunnel ?? '')?.spec.encapsulation;
  const { health } = spec;
  const content = {
    workload: spec.workload ?? portalWorkload(name),
    nsh: encapsulation === 'nsh' || encapsulation === 'nsh-ethernet',
    byRecord: spec.returns === 'record',
    ...(health && {
      health: {
        kind: health.probe,
        address: health.address,
        source: health.source,
        mac: macFromName(portalWorkload(name)),
        ...(health.port !== undefined && { port: health.port }),
        ...(health.probe === 'http' && { path: health.path ?? '/' }),
        // In a tunnel the workload itself has that key.
        ...(health.tag !== undefined && spec.tunnel === undefined && { key: world.key(name, health.tag) }),
        interval: health.interval ?? 200,
        failures: health.failures ?? 3,
      },
    }),
  };
  return { name, digest: digest(JSON.stringify(content)), ...content };
}

function tunnelWorkload({ metadata, spec }: ServicePortalDocument, tunnel: TunnelDocument): EngineWorkload {
  const content = {
    segment: PORTAL_SEGMENT,
    attach: {
      ...sharedOf(tunnel),
      remote: remoteAddress(spec.remote ?? ''),
      key: keyOf(tunnel.spec.encapsulation, spec.health?.tag ?? 0),
      fragment: false,
    },
  };
  return { name: portalWorkload(metadata.name), digest: digest(JSON.stringify(content)), ...content };
}

const insertionsBefore = new WeakMap<ServiceInsertionDocument, SecurityPolicyDocument>();

/** An insertion's rules, lowered like a policy's. Throws on services that `check` would refuse. */
export function lowerInsertion(
  insertion: ServiceInsertionDocument,
  world: ServiceWorld,
  services: Services,
): LoweredPolicy {
  let policy = insertionsBefore.get(insertion);
  if (policy === undefined) insertionsBefore.set(insertion, (policy = asPolicy(insertion)));
  const lowered = lowerPolicy(policy, services);
  const { client, rules } = insertion.spec;
  const ofClient = (scope: string) => `${scope}@${client}`;
  return {
    ...lowered,
    category: INSERTIONS,
    scopes: new Map(
      [...lowered.scopes].map(([name, source]) => [ofClient(name), { ...source, segment: client }]),
    ),
    rules: lowered.rules.map((rule, i) => {
      const tag = world.tagFor(client, rules[i]?.through ?? '')?.metadata.name ?? '';
      const scope = ofClient(rule.entry.scope);
      const own = digest(`${rule.entry.digest} ${scope} ${tag}`);
      return { ...rule, entry: { ...rule.entry, category: INSERTIONS, scope, digest: own, tag } };
    }),
  };
}

function asPolicy({ metadata, spec, origin, apiVersion }: ServiceInsertionDocument): SecurityPolicyDocument {
  const { rules, priority, appliedTo } = spec;
  return {
    apiVersion,
    kind: 'SecurityPolicy',
    metadata: { ...metadata, name: insertionName(metadata.name) },
    origin,
    spec: {
      ...(priority !== undefined && { priority }),
      ...(appliedTo && { appliedTo }),
      rules: rules.map(({ through: _, ...rule }) => ({ ...rule, action: 'allow' as const })),
    },
  };
}
