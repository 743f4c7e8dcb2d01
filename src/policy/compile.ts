// Documents -> the state that the engine should have.
//
// Compiling after a change costs what has changed: given what the documents before came to, everything that they have
// in common is taken over as it is. Documents are told apart by identity, so whoever changes a set keeps the objects
// of those that stay.
import type { Document } from '../documents/index.js';
import type { EngineProfile, EngineWorkload, Inventory } from '../engine/messages.js';
import { Kinds } from './kinds.js';
import { lowerPolicy } from './lower.js';
import { lowerInsertion, lowerServices, PORTAL_SEGMENT } from './lower-services.js';
import { remotesOf } from './lower-tunnel.js';
import { engineEdge, engineSegment, engineTracker, engineWorkload } from './lower-workload.js';
import { digest } from './names.js';
import { assignOrders, byPlace } from './order.js';
import { isFixed, stated, World, type Names } from './resolve.js';
import { placedOf } from './publish.js';
import { ServiceWorld } from './service-legs.js';
import type {
  Desired,
  DesiredAddressSet,
  DesiredScope,
  Lowered,
  LoweredPolicy,
  PlacedPolicy,
  Report,
  ScopeSource,
} from './types.js';
import { Uses } from './uses.js';

/** Documents without errors -> the engine's state; `previous` is what the documents before came to. */
export function compile(documents: readonly Document[], previous?: Lowered): Lowered {
  const kinds = Kinds.of(documents, previous?.kinds);
  const { lists, services } = kinds;
  const [host] = lists.Host;
  const policies = lists.SecurityPolicy.map((policy) => lowerPolicy(policy, services)).sort(byPlace);
  const world = worldOf(kinds, previous);
  const serviceWorld = new ServiceWorld(documents);
  const serviceParts = lowerServices(documents);
  const insertions = lists.ServiceInsertion.map((one) => lowerInsertion(one, serviceWorld, services)).sort(
    byPlace,
  );
  const { gone, come } = changedPolicies(
    [...policies, ...insertions],
    previous && placedOf(previous.desired),
  );
  const uses = (before: Uses | undefined, names: (policy: LoweredPolicy) => Iterable<string>) =>
    (before ?? Uses.none).change(gone.map(names), come.map(names));
  const addressSetUses = uses(previous?.addressSetUses, ({ addressSets }) => addressSets.keys());
  const scopeUses = uses(previous?.scopeUses, ({ scopes }) => scopes.keys());
  const sameWorld = world === previous?.world;
  const desired: Desired = {
    defaultAction: host?.spec.default ?? 'allow',
    timeouts: host?.spec.timeouts ?? {},
    limits: host?.spec.limits ?? {},
    tracking: host?.spec.tracking,
    profiles: profilesOf(policies),
    addressSets: refreshed(
      previous?.desired.addressSets,
      addressSetUses,
      come.map(({ addressSets }) => addressSets),
      sameWorld && addressSetUses === previous.addressSetUses,
      (source, before) => addressSetOf(world, source, before),
    ),
    segments: byName([
      ...lists.Segment.map(engineSegment),
      ...lists.EdgePair.map((pair) => engineEdge(pair).segment),
      ...serviceParts.segments,
    ]),
    workloads:
      sameWorld &&
      lists.Segment === previous.kinds.lists.Segment &&
      lists.Tunnel === previous.kinds.lists.Tunnel &&
      samePortals(previous.desired, serviceParts.workloads)
        ? previous.desired.workloads
        : byName([
            ...[...world.workloads.values()].map(engineWorkload),
            ...[...world.trackers.values()].map(engineTracker),
            ...lists.EdgePair.flatMap((pair) => engineEdge(pair).interfaces),
            ...remotesOf(lists.Segment, lists.Tunnel),
            ...serviceParts.workloads,
          ]),
    scopes: refreshed(
      previous?.desired.scopes,
      scopeUses,
      come.map(({ scopes }) => scopes),
      sameWorld && scopeUses === previous.scopeUses,
      (source, before) => scopeOf(world, source, before),
    ),
    policies: placed(policies, heldBy(previous?.desired.policies)),
    insertions: placed(insertions, heldBy(previous?.desired.insertions)),
    portals: serviceParts.portals,
    tags: serviceParts.tags,
    ruleUses: uses(previous?.desired.ruleUses, keysOf),
  };
  world.settle();
  const report = makeReport(desired, host && { file: host.origin.file, line: host.origin.line });
  return { desired, report, kinds, world, addressSetUses, scopeUses };
}

/** The same policy with the orders that an engine holds already, so that nothing has to move there. */
export function withOrdersOf(lowered: Lowered, { entries }: Inventory): Lowered {
  const held = (policy: LoweredPolicy) =>
    policy.rules.map(({ entry: { id, category } }) => {
      const found = Object.hasOwn(entries, id) ? entries[id] : undefined;
      return found?.[1] === category ? found[2] : undefined;
    });
  const heldOf = (all: Desired['policies']) =>
    placed(
      [...all.values()].map(({ policy }) => policy),
      held,
    );
  const { policies, insertions } = lowered.desired;
  const desired = { ...lowered.desired, policies: heldOf(policies), insertions: heldOf(insertions) };
  return { ...lowered, desired, report: makeReport(desired, lowered.report.host) };
}

function byName<T extends { name: string }>(all: readonly T[]): Map<string, T> {
  return new Map(all.map((one) => [one.name, one]));
}

/** Whether the workloads that stand for portals are those that were there. */
function samePortals({ workloads, segments }: Desired, portals: readonly EngineWorkload[]): boolean {
  if (portals.length === 0) return !segments.has(PORTAL_SEGMENT);
  const held = [...workloads.values()].filter(({ segment }) => segment === PORTAL_SEGMENT);
  return (
    held.length === portals.length && portals.every((one) => workloads.get(one.name)?.digest === one.digest)
  );
}

function worldOf({ lists }: Kinds, before: Lowered | undefined): World {
  // Nothing is to be taken over from a world without workloads, and much to be compared.
  if (before === undefined || before.world.workloads.size === 0) return new World(lists);
  const { world, desired } = before;
  // A world that was asked for much that is no longer there is left for one like it.
  const isCrowded = world.size > 10_000 + 4 * (desired.addressSets.size + desired.scopes.size);
  return world.isOf(lists) && !isCrowded ? world : new World(lists, world);
}

/** Each once, by name. */
export function profilesOf(policies: readonly LoweredPolicy[]): EngineProfile[] {
  const profiles = new Map<string, EngineProfile>();
  for (const { profile } of policies) if (profile) profiles.set(profile.name, profile);
  return [...profiles.keys()].sort().map((name) => profiles.get(name) as EngineProfile);
}

function changedPolicies(policies: readonly LoweredPolicy[], before: Desired['policies'] | undefined) {
  const kept = new Set<string>();
  const come = policies.filter((policy) => {
    const { name } = policy;
    const same = before?.get(name)?.policy === policy;
    if (same) kept.add(name);
    return !same;
  });
  const gone = [...(before ?? [])].flatMap(([name, { policy }]) => (kept.has(name) ? [] : [policy]));
  return { gone, come };
}

function keysOf(policy: LoweredPolicy): string[] {
  return policy.rules.map(({ content }) => content.key);
}

/** What is used, under its name: what was held before is made anew only where the world is another one. */
function refreshed<S, T extends { source: S }>(
  held: ReadonlyMap<string, T> | undefined,
  uses: Uses,
  come: readonly ReadonlyMap<string, S>[],
  same: boolean,
  make: (source: S, before: T | undefined) => T,
): ReadonlyMap<string, T> {
  if (held !== undefined && same) return held;
  const next = new Map<string, T>();
  for (const [name, one] of held ?? []) if (uses.of(name) > 0) next.set(name, make(one.source, one));
  for (const sources of come) {
    for (const [name, source] of sources) if (!next.has(name)) next.set(name, make(source, undefined));
  }
  return next;
}

function addressSetOf(
  world: World,
  source: DesiredAddressSet['source'],
  before: DesiredAddressSet | undefined,
): DesiredAddressSet {
  if (typeof source !== 'string' && isFixed(source))
    return before ?? { source, addresses: stated(source.addresses) };
  const addresses = typeof source === 'string' ? world.addressesOfGroup(source) : world.addressesOf(source);
  return before?.addresses === addresses ? before : { source, addresses };
}

function scopeOf(world: World, source: ScopeSource, before: DesiredScope | undefined): DesiredScope {
  const workloads = workloadsOf(world, source);
  if (before?.workloads === workloads) return before;
  return { source, workloads, digest: digest([...workloads].sort().join(' ')) };
}

function workloadsOf(world: World, { policy, rule, segment }: ScopeSource): Names {
  const all = world.workloadsOfBoth(policy, rule);
  if (segment === undefined) return all;
  return new Set([...all].filter((name) => world.workloads.get(name)?.document.spec.segment === segment));
}

type Held = (policy: LoweredPolicy) => readonly (number | undefined)[];

/** The orders that the policies of before have, by rule. */
function heldBy(before: Desired['policies'] | undefined): Held {
  return (policy) => {
    const old = before?.get(policy.name);
    if (old?.policy === policy) return old.orders;
    const same = old?.policy.category === policy.category;
    return policy.rules.map(({ entry }) =>
      same ? old.orders[old.policy.places.get(entry.id) ?? -1] : undefined,
    );
  };
}

/** Gives every entry its place; `policies` are in the order in which they are judged. */
function placed(policies: readonly LoweredPolicy[], heldOf: Held): Desired['policies'] {
  const next = new Map<string, PlacedPolicy>();
  for (let first = 0; first < policies.length;) {
    const { category } = policies[first] as LoweredPolicy;
    let end = first;
    while (policies[end]?.category === category) end++;
    placeCategory(policies.slice(first, end), heldOf, next);
    first = end;
  }
  return next;
}

function placeCategory(
  policies: readonly LoweredPolicy[],
  heldOf: Held,
  into: Map<string, PlacedPolicy>,
): void {
  const held = policies.map(heldOf);
  const orders = stay(held) ? held : split(assignOrders(concat(held)), held);
  for (const [i, policy] of policies.entries())
    into.set(policy.name, { policy, orders: orders[i] as number[] });
}

/** Whether all have their orders already. */
function stay(held: readonly (readonly (number | undefined)[])[]): boolean {
  let last = -1;
  for (const orders of held) {
    for (const order of orders) {
      if (order === undefined || order <= last) return false;
      last = order;
    }
  }
  return true;
}

function concat<T>(lists: readonly (readonly T[])[]): T[] {
  const all: T[] = [];
  for (const list of lists) for (const one of list) all.push(one);
  return all;
}

/** Undoes `concat`; lists that come out as they were stay the same objects. */
function split<T>(all: readonly T[], lists: readonly (readonly (T | undefined)[])[]) {
  let at = 0;
  return lists.map((list) => {
    const own = all.slice(at, (at += list.length));
    return own.every((one, i) => one === list[i]) ? list : own;
  });
}

function makeReport(desired: Desired, host: Report['host']): Report {
  return {
    host,
    rule(id) {
      const name = id.slice(0, id.indexOf('/'));
      const placed = desired.policies.get(name) ?? desired.insertions.get(name);
      return placed?.policy.rules[placed.policy.places.get(id) ?? -1]?.reference;
    },
  };
}
