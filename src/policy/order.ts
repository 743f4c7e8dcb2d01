// The order in which rules are judged: policies by category, then priority (lower first), then name; and the numbers
// that index entries carry so that the engine judges in that order.
//
// A number stays with its rule: what comes between two others gets one between theirs, so an edit moves no other
// rule. Only where a gap is used up do the nearest neighbours get new numbers.
import type { Document, SecurityPolicyDocument } from '../documents/index.js';
import { CATEGORIES, ofKind } from '../documents/index.js';
import { DEFAULT_CATEGORY, DEFAULT_PRIORITY } from '../documents/security-policy.js';
import { ORDER_LIMIT } from '../engine/messages.js';

/** The category's place: 0 is judged first. */
export function categoryOf(policy: SecurityPolicyDocument): number {
  return CATEGORIES.indexOf(policy.spec.category ?? DEFAULT_CATEGORY);
}

export function priorityOf(policy: SecurityPolicyDocument): number {
  return policy.spec.priority ?? DEFAULT_PRIORITY;
}

export function orderedPolicies(documents: readonly Document[]): SecurityPolicyDocument[] {
  return ofKind(documents, 'SecurityPolicy')
    .map((document) => ({
      document,
      name: document.metadata.name,
      category: categoryOf(document),
      priority: priorityOf(document),
    }))
    .sort(byPlace)
    .map(({ document }) => document);
}

interface Place {
  category: number;
  priority: number;
  name: string;
}

export function byPlace(a: Place, b: Place): number {
  return (
    a.category - b.category || a.priority - b.priority || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)
  );
}

/** The distance of neighbours that are new: that many times a gap can be halved before others have to move. */
const SPACING = 2 ** 28;
/** The least distance that is left where neighbours had to move. */
const LEAST_SPACING = 2 ** 10;

/**
 * Increasing numbers for things in their order, of which some hold one already. As many as can keep theirs, except
 * where the gap between two that do is too small for what comes between them.
 */
export function assignOrders(held: readonly (number | undefined)[]): number[] {
  const orders = isIncreasing(held) ? [...held] : keepMost(held);
  for (let i = 0; i < orders.length; i++) if (orders[i] === undefined) i = fill(orders, i);
  return orders as number[];
}

/** Numbers the run that begins at `from`, moving neighbours where it has no room; gives back its last place. */
function fill(orders: (number | undefined)[], from: number): number {
  const end = (at: number) => {
    while (at < orders.length && orders[at] === undefined) at++;
    return Math.min(at, orders.length);
  };
  let to = end(from);
  const room = () => (orders[to] ?? ORDER_LIMIT) - (orders[from - 1] ?? -1) - 1;
  if (room() < to - from) {
    while (room() < (to - from) * LEAST_SPACING && (from > 0 || to < orders.length)) {
      from = Math.max(0, from - 1);
      to = end(to + 1);
    }
  }
  spread(orders, from, to);
  return to - 1;
}

/** Numbers from `from` to before `to`: evenly between two neighbours, from one neighbour on, or around the middle. */
function spread(orders: (number | undefined)[], from: number, to: number): void {
  const [before, after] = [orders[from - 1], orders[to]];
  const count = to - from;
  const step = Math.floor(((after ?? ORDER_LIMIT) - (before ?? -1)) / (count + 1));
  const near = Math.min(step, SPACING);
  let order = before ?? (after ?? (ORDER_LIMIT + count * near) / 2) - (count + 1) * near;
  const distance = before !== undefined && after !== undefined ? step : near;
  for (let i = from; i < to; i++) orders[i] = order = Math.floor(order) + distance;
}

function isIncreasing(held: readonly (number | undefined)[]): boolean {
  let last = -1;
  for (const order of held) {
    if (order === undefined) continue;
    if (order <= last) return false;
    last = order;
  }
  return true;
}

/** Leaves out all that are not in the longest increasing subsequence. */
function keepMost(held: readonly (number | undefined)[]): (number | undefined)[] {
  /** ends[n]: the place of the least number that ends a subsequence of n + 1. */
  const ends: number[] = [];
  const before = new Array<number | undefined>(held.length);
  for (const [i, order] of held.entries()) {
    if (order === undefined) continue;
    let low = 0;
    for (let high = ends.length; low < high;) {
      const middle = (low + high) >> 1;
      if ((held[ends[middle] as number] as number) < order) low = middle + 1;
      else high = middle;
    }
    before[i] = ends[low - 1];
    ends[low] = i;
  }
  const kept = new Array<number | undefined>(held.length);
  for (let i = ends.at(-1); i !== undefined; i = before[i]) kept[i] = held[i];
  return kept;
}
