// What the engine holds and what it should hold -> the smallest delta between them.
//
// Known is either what control last published (then only what is another object is looked at) or, after a connect, the
// engine's inventory of names and digests. Both ways end in the same state of the engine.
import { formatRange } from '../documents/ip.js';
import type { Delta, IndexEntry, Inventory, SharedRule } from '../engine/messages.js';
import { canonical } from './names.js';
import { subtract } from './ranges.js';
import type { Desired, DesiredAddressSet, DesiredScope, PlacedPolicy } from './types.js';

/** What the inventory does not tell: what the Host document sets beside the default action, and profiles. */
export type HostPart = Pick<Desired, 'timeouts' | 'limits' | 'tracking' | 'profiles'>;
export const NOTHING_KNOWN: HostPart = { timeouts: {}, limits: {}, tracking: undefined, profiles: [] };
type Lists = Omit<Delta, 'base' | 'defaultAction' | keyof HostPart>;

/** The smallest delta that turns the one state into the other. */
export function change(before: Desired, after: Desired): Delta {
  return finish(before.defaultAction, before, after, {
    ...changedAddressSets(before.addressSets, after.addressSets),
    ...changedRules(before, after),
    setSegments: changed(after.segments, (name) => before.segments.get(name)?.digest),
    setWorkloads:
      before.workloads === after.workloads
        ? []
        : changed(after.workloads, (name) => before.workloads.get(name)?.digest),
    ...changedScopes(before.scopes, after.scopes),
    setPortals: changed(after.portals, (name) => before.portals.get(name)?.digest),
    setTags: changed(after.tags, (name) => before.tags.get(name)?.digest),
    removePortals: gone(after.portals, before.portals.keys()),
    removeTags: gone(after.tags, before.tags.keys()),
    removeSegments: gone(after.segments, before.segments.keys()),
    removeWorkloads:
      before.workloads === after.workloads ? [] : gone(after.workloads, before.workloads.keys()),
  });
}

/**
 * The smallest delta that turns what the engine holds into what is desired. What the inventory does not tell
 * is sent once more unless it is known to be `known`.
 */
export function diff(inventory: Inventory, desired: Desired, known: HostPart = NOTHING_KNOWN): Delta {
  const { addressSets, scopes, entries } = inventory;
  const rules = rulesOf(desired);
  const wanted = entriesOf(desired);
  const rulesHeld = new Set(inventory.rules);
  return finish(inventory.defaultAction, known, desired, {
    setAddressSets: [...desired.addressSets]
      .filter(([name, { addresses }]) => held(addressSets, name) !== addresses.digest)
      .map(([name, set]) => wholeSet(name, set)),
    setRules: [...rules.values()].filter(({ key }) => !rulesHeld.has(key)),
    setSegments: changed(desired.segments, (name) => held(inventory.segments, name)),
    setWorkloads: changed(desired.workloads, (name) => held(inventory.workloads, name)),
    setScopes: [...desired.scopes]
      .filter(([name, { digest }]) => held(scopes, name) !== digest)
      .map(([name, scope]) => wholeScope(name, scope)),
    setEntries: [...wanted.values()].filter(({ id, digest, category, order }) => {
      const [heldDigest, heldCategory, heldOrder] = held(entries, id) ?? [];
      return heldDigest !== digest || heldCategory !== category || heldOrder !== order;
    }),
    setPortals: changed(desired.portals, (name) => held(inventory.portals, name)),
    setTags: changed(desired.tags, (name) => held(inventory.tags, name)),
    removePortals: gone(desired.portals, Object.keys(inventory.portals)),
    removeTags: gone(desired.tags, Object.keys(inventory.tags)),
    removeAddressSets: gone(desired.addressSets, Object.keys(addressSets)),
    removeRules: gone(rules, inventory.rules),
    removeSegments: gone(desired.segments, Object.keys(inventory.segments)),
    removeWorkloads: gone(desired.workloads, Object.keys(inventory.workloads)),
    removeScopes: gone(desired.scopes, Object.keys(scopes)),
    removeEntries: gone(wanted, Object.keys(entries)),
  });
}

/** Nothing to publish. */
export function isEmpty({ base: _, ...rest }: Delta): boolean {
  return Object.keys(rest).length === 0;
}

/** Everything that has rules: policies, and service insertions behind them. */
export function placedOf({ policies, insertions }: Desired): Desired['policies'] {
  return insertions.size === 0 ? policies : new Map([...policies, ...insertions]);
}

/** The index entries of all policies, by id, in the order in which they are judged. */
export function entriesOf(desired: Desired): Map<string, IndexEntry> {
  const entries = new Map<string, IndexEntry>();
  for (const placed of placedOf(desired).values()) {
    for (const i of placed.orders.keys()) {
      const entry = entryOf(placed, i);
      entries.set(entry.id, entry);
    }
  }
  return entries;
}

/** The shared rules of all policies, by key. */
export function rulesOf(desired: Desired): Map<string, SharedRule> {
  const rules = new Map<string, SharedRule>();
  for (const { policy } of placedOf(desired).values())
    for (const { content } of policy.rules) if (!rules.has(content.key)) rules.set(content.key, content);
  return rules;
}

/** The inventory of an engine that holds this. */
export function inventoryOf(desired: Desired, generation = 1): Inventory {
  const digests = (things: Iterable<[string, string]>) => Object.fromEntries(things);
  return {
    generation,
    defaultAction: desired.defaultAction,
    addressSets: digests([...desired.addressSets].map(([name, { addresses }]) => [name, addresses.digest])),
    rules: [...rulesOf(desired).keys()],
    segments: digests([...desired.segments].map(([name, { digest }]) => [name, digest])),
    workloads: digests([...desired.workloads].map(([name, { digest }]) => [name, digest])),
    scopes: digests([...desired.scopes].map(([name, { digest }]) => [name, digest])),
    portals: digests([...desired.portals].map(([name, { digest }]) => [name, digest])),
    tags: digests([...desired.tags].map(([name, { digest }]) => [name, digest])),
    entries: Object.fromEntries(
      [...entriesOf(desired).values()].map(({ id, digest, category, order }) => [
        id,
        [digest, category, order],
      ]),
    ),
  };
}

function finish(
  defaultAction: Delta['defaultAction'],
  known: HostPart,
  desired: Desired,
  lists: Lists,
): Delta {
  const delta: Delta = Object.fromEntries(
    Object.entries(lists).filter(([, list]) => (list?.length ?? 0) > 0),
  );
  if (defaultAction !== desired.defaultAction) delta.defaultAction = desired.defaultAction;
  if (canonical(known.timeouts) !== canonical(desired.timeouts)) delta.timeouts = desired.timeouts;
  if (known.tracking !== desired.tracking) delta.tracking = desired.tracking ?? 'pickup';
  if (canonical(known.profiles) !== canonical(desired.profiles)) delta.profiles = [...desired.profiles];
  if (canonical(known.limits) !== canonical(desired.limits)) delta.limits = desired.limits;
  return delta;
}

function held<T>(record: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}

function changed<T extends { digest: string }>(
  desired: ReadonlyMap<string, T>,
  heldDigest: (name: string) => string | undefined,
): T[] {
  return [...desired].filter(([name, { digest }]) => heldDigest(name) !== digest).map(([, value]) => value);
}

function gone(desired: ReadonlyMap<string, unknown>, held: Iterable<string>): string[] {
  return [...held].filter((name) => !desired.has(name));
}

function changedAddressSets(before: Desired['addressSets'], after: Desired['addressSets']): Lists {
  if (before === after) return {};
  const setAddressSets: NonNullable<Delta['setAddressSets']> = [];
  const editAddressSets: NonNullable<Delta['editAddressSets']> = [];
  for (const [name, set] of after) {
    const old = before.get(name);
    if (old?.addresses.digest === set.addresses.digest) continue;
    const edit = old && editOfSet(name, old, set);
    if (edit) editAddressSets.push(edit);
    else setAddressSets.push(wholeSet(name, set));
  }
  return { setAddressSets, editAddressSets, removeAddressSets: gone(after, before.keys()) };
}

/** Undefined when sending the whole set says it shorter. */
function editOfSet(
  name: string,
  { addresses: old }: DesiredAddressSet,
  { addresses: now }: DesiredAddressSet,
) {
  const [add, remove] = [subtract(now.ranges, old.ranges), subtract(old.ranges, now.ranges)];
  if (add.length + remove.length > now.ranges.length) return undefined;
  return { name, digest: now.digest, add: add.map(formatRange), remove: remove.map(formatRange) };
}

function wholeSet(name: string, { addresses: { digest, ranges } }: DesiredAddressSet) {
  return { name, digest, ranges: ranges.map(formatRange) };
}

function changedScopes(before: Desired['scopes'], after: Desired['scopes']): Lists {
  if (before === after) return {};
  const setScopes: NonNullable<Delta['setScopes']> = [];
  const editScopes: NonNullable<Delta['editScopes']> = [];
  for (const [name, scope] of after) {
    const old = before.get(name);
    if (old?.digest === scope.digest) continue;
    if (old === undefined) setScopes.push(wholeScope(name, scope));
    else editScopes.push(editOfScope(name, old, scope));
  }
  return { setScopes, editScopes, removeScopes: gone(after, before.keys()) };
}

function editOfScope(name: string, old: DesiredScope, { digest, workloads }: DesiredScope) {
  const add = [...workloads].filter((workload) => !old.workloads.has(workload));
  const remove = [...old.workloads].filter((workload) => !workloads.has(workload));
  return { name, digest, add, remove };
}

function wholeScope(name: string, { digest, workloads }: DesiredScope) {
  return { name, digest, workloads: [...workloads] };
}

/** Rules and entries of the policies that are not the same. */
function changedRules(before: Desired, after: Desired): Lists {
  const setRules = new Map<string, SharedRule>();
  const removeRules = new Set<string>();
  const setEntries: IndexEntry[] = [];
  const removeEntries: string[] = [];
  const [heldPolicies, wantedPolicies] = [placedOf(before), placedOf(after)];
  for (const [name, placed] of wantedPolicies) {
    const old = heldPolicies.get(name);
    if (old?.policy === placed.policy && old.orders === placed.orders) continue;
    for (const [i, { content, entry }] of placed.policy.rules.entries()) {
      if (before.ruleUses.of(content.key) === 0) setRules.set(content.key, content);
      const place = old?.policy.places.get(entry.id) ?? -1;
      const same =
        old?.policy.rules[place]?.entry.digest === entry.digest && old.orders[place] === placed.orders[i];
      if (!same) setEntries.push(entryOf(placed, i));
    }
  }
  for (const [name, old] of heldPolicies) {
    const placed = wantedPolicies.get(name);
    if (placed?.policy === old.policy) continue;
    for (const { content, entry } of old.policy.rules) {
      if (after.ruleUses.of(content.key) === 0) removeRules.add(content.key);
      if (!placed?.policy.places.has(entry.id)) removeEntries.push(entry.id);
    }
  }
  return { setRules: [...setRules.values()], setEntries, removeRules: [...removeRules], removeEntries };
}

function entryOf({ policy, orders }: PlacedPolicy, i: number): IndexEntry {
  const { id, digest, rule, category, direction, scope, profile, tag } = policy.rules[i]?.entry as IndexEntry;
  const more = { ...(profile !== undefined && { profile }), ...(tag !== undefined && { tag }) };
  return { id, digest, rule, category, order: orders[i] as number, direction, scope, ...more };
}
