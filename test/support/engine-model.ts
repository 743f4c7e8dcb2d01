// What an engine holds, kept as plainly as can be: a delta is applied whole, or refused for what it says and changes
// nothing. Sets of addresses are kept as ranges, so that edits have to be right.
import type {
  Delta,
  EnginePortal,
  EngineSegment,
  EngineServiceTag,
  EngineWorkload,
  IndexEntry,
  Inventory,
  SharedRule,
} from '../../src/engine/messages.js';
import type { Range } from '../../src/documents/ip.js';
import { formatRange, mergeRanges, parseRange } from '../../src/documents/ip.js';
import { subtract } from '../../src/policy/ranges.js';

interface State {
  generation: number;
  defaultAction: 'allow' | 'drop' | undefined;
  timeouts: NonNullable<Delta['timeouts']>;
  limits: NonNullable<Delta['limits']>;
  tracking: NonNullable<Delta['tracking']>;
  profiles: NonNullable<Delta['profiles']>;
  addressSets: Map<string, { digest: string; ranges: string[] }>;
  rules: Map<string, SharedRule>;
  segments: Map<string, EngineSegment>;
  workloads: Map<string, EngineWorkload>;
  scopes: Map<string, { digest: string; workloads: Set<string> }>;
  entries: Map<string, IndexEntry>;
  portals: Map<string, EnginePortal>;
  tags: Map<string, EngineServiceTag>;
}

const empty: State = {
  generation: 0,
  defaultAction: undefined,
  timeouts: {},
  limits: {},
  tracking: 'pickup',
  profiles: [],
  addressSets: new Map(),
  rules: new Map(),
  segments: new Map(),
  workloads: new Map(),
  scopes: new Map(),
  entries: new Map(),
  portals: new Map(),
  tags: new Map(),
};

export class EngineModel {
  state: State = empty;

  apply(delta: Delta): void {
    if (delta.base !== undefined && delta.base !== this.state.generation) {
      throw refusal('stale', `made against generation ${delta.base}, not ${this.state.generation}`);
    }
    const next = applied(this.state, delta);
    check(next);
    this.state = next;
  }

  inventory(): Inventory {
    const {
      generation,
      defaultAction,
      addressSets,
      rules,
      segments,
      workloads,
      scopes,
      entries,
      portals,
      tags,
    } = this.state;
    const digests = (things: Map<string, { digest: string }>) =>
      Object.fromEntries([...things].map(([name, { digest }]) => [name, digest]));
    return {
      generation,
      ...(defaultAction === undefined ? {} : { defaultAction }),
      addressSets: digests(addressSets),
      rules: [...rules.keys()],
      segments: digests(segments),
      workloads: digests(workloads),
      scopes: digests(scopes),
      portals: digests(portals),
      tags: digests(tags),
      entries: Object.fromEntries(
        [...entries].map(([id, { digest, category, order }]) => [id, [digest, category, order]]),
      ),
    };
  }
}

function applied(state: State, delta: Delta): State {
  const next: State = {
    generation: state.generation + 1,
    defaultAction: delta.defaultAction ?? state.defaultAction,
    timeouts: delta.timeouts ?? state.timeouts,
    limits: delta.limits ?? state.limits,
    tracking: delta.tracking ?? state.tracking,
    profiles: delta.profiles ?? state.profiles,
    addressSets: new Map(state.addressSets),
    rules: new Map(state.rules),
    segments: new Map(state.segments),
    workloads: new Map(state.workloads),
    scopes: new Map(state.scopes),
    entries: new Map(state.entries),
    portals: new Map(state.portals),
    tags: new Map(state.tags),
  };
  for (const { name, digest, ranges } of delta.setAddressSets ?? [])
    next.addressSets.set(name, { digest, ranges });
  for (const { name, digest, add, remove } of delta.editAddressSets ?? []) {
    const kept = subtract(parse(held(next.addressSets, name).ranges), parse(remove));
    const ranges = mergeRanges([...kept, ...parse(add)]).map(formatRange);
    next.addressSets.set(name, { digest, ranges });
  }
  for (const rule of delta.setRules ?? []) next.rules.set(rule.key, rule);
  for (const segment of delta.setSegments ?? []) next.segments.set(segment.name, segment);
  for (const workload of delta.setWorkloads ?? []) next.workloads.set(workload.name, workload);
  for (const { name, digest, workloads } of delta.setScopes ?? [])
    next.scopes.set(name, { digest, workloads: new Set(workloads) });
  for (const { name, digest, add, remove } of delta.editScopes ?? []) {
    const workloads = new Set(held(next.scopes, name).workloads);
    for (const one of remove) if (!workloads.delete(one)) throw dangling(`${one} in ${name}`);
    for (const one of add) workloads.add(one);
    next.scopes.set(name, { digest, workloads });
  }
  for (const entry of delta.setEntries ?? []) next.entries.set(entry.id, entry);
  for (const portal of delta.setPortals ?? []) next.portals.set(portal.name, portal);
  for (const tag of delta.setTags ?? []) next.tags.set(tag.name, tag);
  const remove = (from: Map<string, unknown>, names: string[] = []) => {
    for (const name of names) if (!from.delete(name)) throw dangling(name);
  };
  remove(next.entries, delta.removeEntries);
  remove(next.tags, delta.removeTags);
  remove(next.portals, delta.removePortals);
  remove(next.scopes, delta.removeScopes);
  remove(next.rules, delta.removeRules);
  remove(next.addressSets, delta.removeAddressSets);
  remove(next.workloads, delta.removeWorkloads);
  remove(next.segments, delta.removeSegments);
  return next;
}

/** Everything that is named has to be there, and no two entries at one place. */
function check({ addressSets, rules, segments, workloads, scopes, entries, portals, tags }: State): void {
  for (const { segment } of workloads.values()) if (segment !== undefined) held(segments, segment);
  for (const { bridges = [] } of segments.values()) for (const { judge } of bridges) held(workloads, judge);
  for (const { sources = [], destinations = [] } of rules.values())
    for (const name of [...sources, ...destinations]) held(addressSets, name);
  for (const scope of scopes.values()) for (const name of scope.workloads) held(workloads, name);
  for (const { workload } of portals.values()) held(workloads, workload);
  for (const { segment, entry, hops } of tags.values()) {
    if (segment !== undefined) held(segments, segment);
    for (const { portal } of [...(entry ? [entry] : []), ...hops.flatMap(({ legs }) => legs)])
      held(portals, portal);
  }
  for (const { tag } of entries.values()) if (tag !== undefined) held(tags, tag);
  const places = new Set<string>();
  for (const { id, rule, scope, category, order } of entries.values()) {
    held(rules, rule);
    held(scopes, scope);
    const place = `${category} ${order}`;
    if (places.has(place)) throw refusal('order-taken', `${id} has the place of another entry`);
    places.add(place);
  }
}

function parse(texts: readonly string[]): Range[] {
  return mergeRanges(texts.flatMap((text) => parseRange(text) ?? []));
}

function held<T>(things: Map<string, T>, name: string): T {
  const found = things.get(name);
  if (found === undefined) throw dangling(name);
  return found;
}

function dangling(name: string): Error {
  return refusal('EINVAL', `${name} is named but not there`);
}

function refusal(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
