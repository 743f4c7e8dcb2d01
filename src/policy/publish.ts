// What the engine holds and what it should hold -> the smallest delta between them, by names and digests.
import type { Delta, Inventory } from '../engine/messages.js';
import { canonical } from './names.js';
import type { Desired, Timeouts } from './types.js';

/**
 * The smallest delta that turns what the engine holds into what is desired. The inventory does not tell the
 * timeouts: `knownTimeouts` are those last published. When they are not known (control was restarted), timeouts
 * that the Host document sets are sent once more.
 */
export function diff(inventory: Inventory, desired: Desired, knownTimeouts: Timeouts = {}): Delta {
  const rulesHeld = new Set(inventory.rules);
  const lists = {
    setAddressSets: changed(desired.addressSets, inventory.addressSets),
    setRules: [...desired.rules.values()].filter((rule) => !rulesHeld.has(rule.key)),
    setSegments: changed(desired.segments, inventory.segments),
    setWorkloads: changed(desired.workloads, inventory.workloads),
    setIndexes: changed(desired.indexes, inventory.indexes),
    removeAddressSets: gone(desired.addressSets, Object.keys(inventory.addressSets)),
    removeRules: gone(desired.rules, inventory.rules),
    removeSegments: gone(desired.segments, Object.keys(inventory.segments)),
    removeWorkloads: gone(desired.workloads, Object.keys(inventory.workloads)),
  };
  const delta: Delta = Object.fromEntries(Object.entries(lists).filter(([, list]) => list.length > 0));
  if (inventory.defaultAction !== desired.defaultAction) delta.defaultAction = desired.defaultAction;
  if (canonical(knownTimeouts) !== canonical(desired.timeouts)) delta.timeouts = desired.timeouts;
  return delta;
}

function changed<T extends { digest: string }>(desired: Map<string, T>, held: Record<string, string>): T[] {
  return [...desired].filter(([name, { digest }]) => held[name] !== digest).map(([, value]) => value);
}

function gone(desired: Map<string, unknown>, held: readonly string[]): string[] {
  return held.filter((name) => !desired.has(name));
}

/** Nothing to publish. */
export function isEmpty(delta: Delta): boolean {
  return Object.keys(delta).length === 0;
}

/** The inventory of an engine that holds this. */
export function inventoryOf(desired: Desired, generation = 1): Inventory {
  const digests = (things: Map<string, { digest: string }>) =>
    Object.fromEntries([...things].map(([name, { digest }]) => [name, digest]));
  return {
    generation,
    defaultAction: desired.defaultAction,
    addressSets: digests(desired.addressSets),
    rules: [...desired.rules.keys()],
    segments: digests(desired.segments),
    workloads: digests(desired.workloads),
    indexes: digests(desired.indexes),
  };
}
