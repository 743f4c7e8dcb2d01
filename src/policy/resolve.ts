// Names and labels -> workloads and addresses.
//
// A world is made for each set of workloads and groups. What selections mean in it is worked out when it is asked
// for, and taken over from the world before where nothing that it depends on has changed: then it is the same
// object, and whoever made something of it knows that nothing is to be done.
import type {
  AppliedTo,
  DocumentOf,
  GroupDocument,
  Selection,
  TrackerDocument,
  WorkloadDocument,
  WorkloadSelector,
} from '../documents/index.js';
import { addressesOf, macOf, trackerPlace } from '../documents/index.js';
import type { Range } from '../documents/ip.js';
import { formatRange, mergeRanges, parseRange } from '../documents/ip.js';
import { selects } from '../documents/selection.js';
import { canonicalOf, digest, nameOf } from './names.js';
import { subtract } from './ranges.js';

/** Merged ranges. The digest is of what they were put together from: equal ones may differ in it. */
export interface Addresses {
  digest: string;
  ranges: readonly Range[];
}

export interface ResolvedWorkload {
  document: WorkloadDocument;
  name: string;
  mac: string | undefined;
  /** All it may use; absent: any. */
  addresses: Addresses | undefined;
}

export type Names = ReadonlySet<string>;

/** What a world is made of. */
type Things = {
  readonly [K in 'Workload' | 'Group' | 'Tracker' | 'EdgePair']: readonly DocumentOf<K>[];
};

/** What one part of a selection selects; undefined where it has no such part. */
type Part<T> = T | undefined;

export class World {
  readonly workloads: ReadonlyMap<string, ResolvedWorkload>;
  readonly groups: ReadonlyMap<string, GroupDocument>;
  /** Those that edge pairs name, by what they are called among workloads (`trackerPlace`). */
  readonly trackers: ReadonlyMap<string, TrackerDocument>;
  /** All workloads and trackers. */
  readonly everyone: Names;
  /** By name: workloads that came, went, or say something else than in the world before. */
  private readonly changed = new Set<string>();
  /** Those of them that have other addresses. */
  private readonly readdressed = new Set<string>();
  private previous: World | undefined;
  private readonly selectors = new Map<string, Names>();
  private readonly trackerSelectors = new Map<string, Names>();
  /** By `key=value`. */
  private byLabel: ReadonlyMap<string, ResolvedWorkload[]> | undefined;
  private readonly members: Memo<Names>;
  private readonly addresses: Memo<Addresses>;

  /** Documents without errors. */
  constructor(
    private readonly things: Things,
    previous?: World,
  ) {
    const { Workload, Group } = things;
    this.groups = new Map(Group.map((group) => [group.metadata.name, group]));
    this.trackers = trackersIn(things);
    const names = Workload.map((document) => document.metadata.name).sort();
    const documents = new Map(Workload.map((document) => [document.metadata.name, document]));
    this.workloads = new Map(
      names.map((name) => {
        const document = documents.get(name) as WorkloadDocument;
        return [name, resolveWorkload(document, previous?.workloads.get(name))];
      }),
    );
    this.previous = previous;
    this.members = new Memo(previous?.members);
    this.addresses = new Memo(previous?.addresses);
    if (previous !== undefined) this.compare(previous);
    this.everyone = sameNames(previous?.everyone, [...names, ...this.trackers.keys()]);
  }

  /** Whether it was made of these documents. */
  isOf(things: Things): boolean {
    const kinds = ['Workload', 'Group', 'Tracker', 'EdgePair'] as const;
    return kinds.every((kind) => isSame(things[kind], this.things[kind]));
  }

  /** How much is known of it, asked for by what is there and by what was there. */
  get size(): number {
    return this.members.size + this.addresses.size;
  }

  /** All that was known before and is of use has been asked for: the world before may go. */
  settle(): void {
    this.previous = undefined;
    this.members.settle();
    this.addresses.settle();
  }

  /** Absent: all workloads and trackers. */
  workloadsOf(selection: AppliedTo | undefined): Names {
    return selection === undefined ? this.everyone : this.workloadsBy(canonicalOf(selection), selection);
  }

  workloadsOfBoth(a: AppliedTo | undefined, b: AppliedTo | undefined): Names {
    if (a === undefined || b === undefined) return this.workloadsOf(a ?? b);
    const parts = () => [this.workloadsOf(a), this.workloadsOf(b)];
    return this.members.get(`both:${canonicalOf(a)} ${canonicalOf(b)}`, parts, intersect);
  }

  addressesOf(selection: Selection): Addresses {
    return this.addressesBy(canonicalOf(selection), selection);
  }

  addressesOfGroup(name: string): Addresses {
    return this.addressesBy(`group:${name}`, this.group(name).spec);
  }

  private workloadsOfGroup(name: string): Names {
    return this.workloadsBy(`group:${name}`, this.group(name).spec);
  }

  private workloadsBy(key: string, selection: AppliedTo): Names {
    const { except } = selection;
    if (!except) return this.members.get(key, this.workloadsIn(selection), unite);
    const all = () => this.members.get(`all ${key}`, this.workloadsIn(selection), unite);
    return this.members.get(`${key} without`, () => [all(), this.workloadsOf(except)], without);
  }

  private addressesBy(key: string, selection: Selection): Addresses {
    const { except } = selection;
    if (!except) return this.addresses.get(key, this.addressesIn(selection), combine);
    const all = () => this.addresses.get(`all ${key}`, this.addressesIn(selection), combine);
    return this.addresses.get(`${key} without`, () => [all(), this.addressesOf(except)], less);
  }

  /** The parts whose union a selection is, but for what it excludes. */
  private workloadsIn(selection: AppliedTo): () => Part<Names>[] {
    return () => [
      selection.workloads && this.selected(selection.workloads),
      selection.trackers && this.trackersBy(selection.trackers),
      ...(selection.groups ?? []).map((name) => this.workloadsOfGroup(name)),
    ];
  }

  private addressesIn(selection: Selection): () => Part<Addresses>[] {
    return () => [
      selection.addresses && statedOnce(selection.addresses),
      selection.workloads && this.addressesOfSelected(selection.workloads),
      ...(selection.groups ?? []).map((name) => this.addressesOfGroup(name)),
    ];
  }

  private addressesOfSelected(selector: WorkloadSelector): Addresses {
    const names = this.selected(selector);
    const addressesOf = (name: string) => this.workloads.get(name)?.addresses;
    return this.addresses.get(
      `selector:${canonicalOf(selector)}`,
      () => [names, ...[...this.readdressed].filter((name) => names.has(name)).map(addressesOf)],
      () => combine([...names].map(addressesOf)),
    );
  }

  /** In the order of `workloads`. */
  private selected(selector: WorkloadSelector): Names {
    const key = canonicalOf(selector);
    const known = this.selectors.get(key);
    if (known !== undefined) return known;
    const found = this.carriedOver(selector, this.previous?.selectors.get(key));
    this.selectors.set(key, found);
    return found;
  }

  private trackersBy(selector: WorkloadSelector): Names {
    const key = canonicalOf(selector);
    let names = this.trackerSelectors.get(key);
    if (names === undefined) {
      const found = [...this.trackers].filter(([, { metadata }]) =>
        selects(selector, metadata.name, metadata.labels),
      );
      names = sameNames(
        this.previous?.trackerSelectors.get(key),
        found.map(([place]) => place),
      );
      this.trackerSelectors.set(key, names);
    }
    return names;
  }

  private carriedOver(selector: WorkloadSelector, before: Names | undefined): Names {
    const selected = ({ name, document }: ResolvedWorkload) =>
      selects(selector, name, document.metadata.labels);
    const those = (keep: (workload: ResolvedWorkload) => boolean, of = this.workloads.values()) => {
      const names = new Set<string>();
      for (const workload of of) if (keep(workload)) names.add(workload.name);
      return names;
    };
    if (before === undefined) return those(selected, this.candidates(selector));
    const isIn = (name: string) => {
      const workload = this.workloads.get(name);
      return workload !== undefined && selected(workload);
    };
    if ([...this.changed].every((name) => before.has(name) === isIn(name))) return before;
    return those(({ name }) => (this.changed.has(name) ? isIn(name) : before.has(name)));
  }

  /** All that the selector may select, in the order of `workloads`. */
  private candidates({ matchLabels = {} }: WorkloadSelector): IterableIterator<ResolvedWorkload> {
    const [label] = Object.entries(matchLabels);
    if (label === undefined) return this.workloads.values();
    this.byLabel ??= indexByLabel(this.workloads.values());
    return (this.byLabel.get(label.join('=')) ?? []).values();
  }

  private compare(previous: World): void {
    for (const [name, workload] of this.workloads) {
      const before = previous.workloads.get(name);
      if (before === workload) continue;
      this.changed.add(name);
      if (before?.addresses !== workload.addresses) this.readdressed.add(name);
    }
    for (const name of previous.workloads.keys()) if (!this.workloads.has(name)) this.changed.add(name);
  }

  private group(name: string): GroupDocument {
    const group = this.groups.get(name);
    if (!group) throw new Error(`group "${name}" does not exist`);
    return group;
  }
}

function trackersIn({ Tracker, EdgePair }: Things): Map<string, TrackerDocument> {
  const named = new Set(EdgePair.flatMap(({ spec }) => spec.bridges.map(({ tracker }) => tracker)));
  const found = Tracker.filter(({ metadata }) => named.has(metadata.name));
  return new Map(found.map((tracker) => [trackerPlace(tracker.metadata.name), tracker]));
}

/** The set of before, where it has the same names. */
function sameNames(before: Names | undefined, names: readonly string[]): Names {
  const same = before?.size === names.length && names.every((name) => before.has(name));
  return same && before ? before : new Set(names);
}

function indexByLabel(workloads: Iterable<ResolvedWorkload>): Map<string, ResolvedWorkload[]> {
  const index = new Map<string, ResolvedWorkload[]>();
  for (const workload of workloads) {
    for (const label of Object.entries(workload.document.metadata.labels)) {
      const text = label.join('=');
      const list = index.get(text);
      if (list === undefined) index.set(text, [workload]);
      else list.push(workload);
    }
  }
  return index;
}

/** Values with what each was made from; made again only when a part of that is another object. */
class Memo<V> {
  private readonly known = new Map<string, { parts: readonly unknown[]; value: V }>();
  private previous: Memo<V> | undefined;

  constructor(previous: Memo<V> | undefined) {
    this.previous = previous;
  }

  get<P>(key: string, partsOf: () => P[], make: (parts: P[]) => V): V {
    let known = this.known.get(key);
    if (known === undefined) {
      const parts = partsOf();
      const before = this.previous?.known.get(key);
      known =
        before?.parts.length === parts.length && before.parts.every((part, i) => part === parts[i])
          ? before
          : { parts, value: make(parts) };
      this.known.set(key, known);
    }
    return known.value;
  }

  settle(): void {
    this.previous = undefined;
  }

  get size(): number {
    return this.known.size;
  }
}

function isSame(a: readonly unknown[], b: readonly unknown[]): boolean {
  return a.length === b.length && a.every((one, i) => one === b[i]);
}

function unite(all: Part<Names>[]): Names {
  const parts = all.filter((part) => part !== undefined);
  const [first, ...rest] = parts;
  return first !== undefined && rest.length === 0 ? first : new Set(parts.flatMap((part) => [...part]));
}

function intersect([a, b]: Names[]): Names {
  return new Set([...(a ?? [])].filter((name) => b?.has(name)));
}

function without([all, except]: Names[]): Names {
  return new Set([...(all ?? [])].filter((name) => !except?.has(name)));
}

function less([all, except]: Addresses[]): Addresses {
  return {
    digest: digest(`${all?.digest} without ${except?.digest}`),
    ranges: subtract(all?.ranges ?? [], except?.ranges ?? []),
  };
}

function combine(all: Part<Addresses>[]): Addresses {
  const parts = all.filter((part) => part !== undefined);
  const [first, ...rest] = parts;
  if (first !== undefined && rest.length === 0) return first;
  return {
    digest: digest(parts.map((part) => part.digest).join(' ')),
    ranges: mergeRanges(parts.flatMap((part) => part.ranges)),
  };
}

/** Whether it selects the same addresses whatever workloads and groups there are. */
export function isFixed(selection: Selection): selection is Selection & { addresses: string[] } {
  const { addresses, workloads, groups, except } = selection;
  return addresses !== undefined && !workloads && !groups && !except;
}

const statedBefore = new WeakMap<readonly string[], Addresses>();

/** The same object for the same list. */
function statedOnce(texts: readonly string[]): Addresses {
  let addresses = statedBefore.get(texts);
  if (addresses === undefined) statedBefore.set(texts, (addresses = stated(texts)));
  return addresses;
}

export function stated(texts: readonly string[]): Addresses {
  const ranges = texts.flatMap((text) => parseRange(text) ?? []);
  return {
    digest: nameOf(texts.join(' ')),
    ranges: ranges.length > 1 ? mergeRanges(ranges) : ranges,
  };
}

function resolveWorkload(document: WorkloadDocument, before: ResolvedWorkload | undefined): ResolvedWorkload {
  if (before?.document === document) return before;
  const name = document.metadata.name;
  const ranges = addressesOf(name, document.spec);
  const addresses = ranges && { digest: digest(ranges.map(formatRange).join(' ')), ranges };
  const same = addresses?.digest === before?.addresses?.digest;
  return {
    document,
    name,
    mac: macOf(name, document.spec),
    addresses: same && before ? before.addresses : addresses,
  };
}
