// What the engine that follows is told of the policy beside what the packet path gives back of it: the things that are few
// and rich in fields, as control sent them. Rules, entries, scopes and addresses, of which there are many, stay in the
// packet path alone (tables/publisher_policy.cc).
import type { Delta } from './messages.js';

const KINDS = [
  ['setSegments', 'removeSegments'],
  ['setWorkloads', 'removeWorkloads'],
  ['setPortals', 'removePortals'],
  ['setTags', 'removeTags'],
] as const;
type SetKey = (typeof KINDS)[number][0];

export class HeldPolicy {
  readonly #held = new Map<SetKey, Map<string, { name: string }>>(KINDS.map(([set]) => [set, new Map()]));

  /** A delta that was applied. */
  apply(delta: Delta): void {
    for (const [set, remove] of KINDS) {
      const held = this.#held.get(set);
      for (const one of delta[set] ?? []) held?.set(one.name, one);
      for (const name of delta[remove] ?? []) held?.delete(name);
    }
  }

  /** All of them, as one change. */
  all(): Pick<Delta, SetKey> {
    return Object.fromEntries(KINDS.map(([set]) => [set, [...(this.#held.get(set)?.values() ?? [])]]));
  }
}
