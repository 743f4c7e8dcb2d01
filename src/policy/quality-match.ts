// What rules match, in a form that can be compared: whether one rule's flows are all another's, or some of them.
//
// Every "covers" is true only if it is; it may be false where it would take more to see it. "Meets" is the other way
// round: false only if no flow can match both.
import type { Address, Range } from '../documents/ip.js';
import { mergeRanges } from '../documents/ip.js';
import { parseService, type ServiceMatch } from '../engine/service-text.js';
import type { Desired, LoweredRule } from './types.js';

export interface MatchedRule {
  rule: LoweredRule;
  category: number;
  isEnforced: boolean;
  in: boolean;
  out: boolean;
  /** Number of its scope, for `Scopes`. */
  scope: number;
  source: Side;
  destination: Side;
  /** Number of its services, for `ServiceLists`. */
  services: number;
  /** No flow can match it: its scope or one of its ends is empty. */
  isEmpty: boolean;
}

export interface Matched {
  /** In the order in which they are judged. */
  rules: readonly MatchedRule[];
  scopes: Scopes;
  services: ServiceLists;
  sides: Sides;
}

export function matchedRules(desired: Desired): Matched {
  const scopes = new Scopes(desired);
  const services = new ServiceLists();
  const sides = new Sides(desired);
  const rules = [...desired.policies.values()].flatMap(({ policy }) =>
    policy.rules.map((rule): MatchedRule => {
      const { content, entry } = rule;
      const [source, destination] = [sides.of(content.sources), sides.of(content.destinations)];
      const scope = scopes.numberOf(entry.scope);
      return {
        rule,
        category: entry.category,
        isEnforced: content.mode === 'enforce',
        in: entry.direction !== 'out',
        out: entry.direction !== 'in',
        scope,
        source,
        destination,
        services: services.numberOf(content.services),
        isEmpty: source.length === 0 || destination.length === 0 || scopes.of(scope).size === 0,
      };
    }),
  );
  return { rules, scopes, services, sides };
}

/**
 * One end of a rule: where each of its ranges begins, and the first place behind it, in turn, ascending. Places are the
 * ranks of addresses among all at which any range of any rule begins or ends.
 */
export type Side = Int32Array;

const ANYWHERE: readonly Range[] = [
  { family: 4, first: 0n, last: (1n << 32n) - 1n },
  { family: 6, first: 0n, last: (1n << 128n) - 1n },
];

export class Sides {
  private readonly sorted4: Float64Array;
  private readonly sorted6: readonly bigint[];
  private readonly places4: ReadonlyMap<number, number>;
  private readonly places6: ReadonlyMap<bigint, number>;
  private readonly known = new Map<string, Side>();
  private readonly any: Side;

  constructor(private readonly desired: Desired) {
    const [all4, all6] = [new Set<number>(), new Set<bigint>()];
    const sets = [...desired.addressSets.values()].map(({ addresses }) => addresses.ranges);
    for (const ranges of [ANYWHERE, ...sets]) {
      for (const { family, first, last } of ranges) {
        if (family === 4) all4.add(Number(first)).add(Number(last) + 1);
        else all6.add(first).add(last + 1n);
      }
    }
    this.sorted4 = Float64Array.from(all4).sort();
    this.sorted6 = [...all6].sort((a, b) => (a < b ? -1 : 1));
    this.places4 = new Map(Array.from(this.sorted4, (end, i) => [end, i]));
    this.places6 = new Map(this.sorted6.map((end, i) => [end, this.sorted4.length + i]));
    this.any = this.placed(ANYWHERE);
  }

  of(names: readonly string[] | undefined): Side {
    if (names === undefined) return this.any;
    const key = names.join(' ');
    let side = this.known.get(key);
    if (!side) {
      const ranges = names.flatMap((name) => this.desired.addressSets.get(name)?.addresses.ranges ?? []);
      this.known.set(key, (side = this.placed(names.length === 1 ? ranges : mergeRanges(ranges))));
    }
    return side;
  }

  /** The place of an address, for `holdsPlace`. */
  placeOf({ family, value }: Address): number {
    if (family === 4) return countUpTo(this.sorted4, Number(value)) - 1;
    return this.sorted4.length + countUpTo(this.sorted6, value) - 1;
  }

  private placed(ranges: readonly Range[]): Side {
    const side = new Int32Array(2 * ranges.length);
    for (const [i, { family, first, last }] of ranges.entries()) {
      const place = (end: bigint) =>
        (family === 4 ? this.places4.get(Number(end)) : this.places6.get(end)) ?? -1;
      side[2 * i] = place(first);
      side[2 * i + 1] = place(last + 1n);
    }
    return side;
  }
}

/** How many of the sorted values are not greater. */
function countUpTo<T extends number | bigint>(sorted: ArrayLike<T>, value: T): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((sorted[middle] as T) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

export function holdsPlace(side: Side, place: number): boolean {
  const at = rangeAt(side, place);
  return at >= 0 && place < (side[at + 1] as number);
}

/** Whether the addresses of `inner` are all in `outer`; neither is empty. */
export function coversSide(outer: Side, inner: Side): boolean {
  if (outer === inner) return true;
  if (
    (outer[0] as number) > (inner[0] as number) ||
    (outer[outer.length - 1] as number) < (inner[inner.length - 1] as number)
  )
    return false;
  for (let i = 0; i < inner.length; i += 2) {
    const at = rangeAt(outer, inner[i] as number);
    if (at < 0 || (inner[i + 1] as number) > (outer[at + 1] as number)) return false;
  }
  return true;
}

/** Whether any address is in both; neither is empty. */
export function meetsSide(a: Side, b: Side): boolean {
  if (a === b) return true;
  if ((a[0] as number) >= (b[b.length - 1] as number) || (b[0] as number) >= (a[a.length - 1] as number))
    return false;
  const [few, many] = a.length < b.length ? [a, b] : [b, a];
  for (let i = 0; i < few.length; i += 2) {
    const at = rangeAt(many, (few[i + 1] as number) - 1);
    if (at >= 0 && (many[at + 1] as number) > (few[i] as number)) return true;
  }
  return false;
}

/** Whether the ends together hold all of `inner`. */
export function coverSideTogether(outers: readonly Side[], inner: Side): boolean {
  const ranges = outers.flatMap((side) =>
    Array.from({ length: side.length / 2 }, (_, i) => [side[2 * i], side[2 * i + 1]] as [number, number]),
  );
  ranges.sort(([a], [b]) => a - b);
  for (let i = 0; i < inner.length; i += 2) {
    let next = inner[i] as number;
    for (const [first, behind] of ranges) if (first <= next && behind > next) next = behind;
    if (next < (inner[i + 1] as number)) return false;
  }
  return true;
}

/** Index of the last range that begins at a place or before; -1: none. */
function rangeAt(side: Side, place: number): number {
  let [low, high] = [0, side.length >> 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((side[2 * middle] as number) <= place) low = middle + 1;
    else high = middle;
  }
  return 2 * (low - 1);
}

/** Sets of workloads. */
export class Scopes {
  private readonly numbers = new Map<string, number>();
  private readonly members: ReadonlySet<string>[] = [];

  constructor({ scopes }: Desired) {
    for (const [name, { workloads }] of scopes) {
      this.numbers.set(name, this.members.length);
      this.members.push(workloads);
    }
  }

  numberOf(name: string): number {
    const number = this.numbers.get(name);
    if (number === undefined) throw new Error(`there is no scope ${name}`);
    return number;
  }

  of(scope: number): ReadonlySet<string> {
    return this.members[scope] as ReadonlySet<string>;
  }

  /** Whether the one has all workloads of the other. */
  holds(outer: number, inner: number): boolean {
    return outer === inner || holdsAll(this.of(outer), this.of(inner));
  }

  /** Whether they have any workload in common. */
  meet(a: number, b: number): boolean {
    return haveCommon(this.of(a), this.of(b));
  }

  get count(): number {
    return this.members.length;
  }
}

function holdsAll(all: ReadonlySet<string>, some: ReadonlySet<string>): boolean {
  if (some.size > all.size) return false;
  for (const name of some) if (!all.has(name)) return false;
  return true;
}

function haveCommon(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  const [few, many] = a.size < b.size ? [a, b] : [b, a];
  for (const name of few) if (many.has(name)) return true;
  return false;
}

/** What rules say of protocols and ports; number 0 is any. */
export class ServiceLists {
  private readonly numbers = new Map<string, number>();
  private readonly lists: Services[] = [undefined];
  private readonly outlines: Outline[] = [{ protocols: -1, low: 0, high: 65535 }];

  numberOf(texts: readonly string[] | undefined): number {
    if (texts === undefined) return 0;
    const key = texts.join(' ');
    let number = this.numbers.get(key);
    if (number === undefined) {
      const list = texts.map(parseService);
      this.numbers.set(key, (number = this.lists.length));
      this.lists.push(list);
      this.outlines.push(outlineOf(list));
    }
    return number;
  }

  /** Undefined: any. */
  listOf(number: number): Services {
    return this.lists[number];
  }

  covers(outer: number, inner: number): boolean {
    if (outer === 0 || outer === inner) return true;
    const [a, b] = [this.outlines[outer] as Outline, this.outlines[inner] as Outline];
    if ((b.protocols & ~a.protocols) !== 0 || b.low < a.low || b.high > a.high) return false;
    return coversServices(this.lists[outer], this.lists[inner]);
  }

  coverTogether(outers: readonly number[], inner: number): boolean {
    return coversServices(
      outers.flatMap((number) => this.lists[number] ?? []),
      this.lists[inner],
    );
  }

  meet(a: number, b: number): boolean {
    if (a === 0 || b === 0 || a === b) return true;
    const shared = (this.outlines[a] as Outline).protocols & (this.outlines[b] as Outline).protocols;
    return shared !== 0 && meetsServices(this.lists[a], this.lists[b]);
  }
}

/** What tells most lists apart at once. */
interface Outline {
  /** A bit for each protocol that is named often, and one for all others. */
  protocols: number;
  /** Bounds of destination ports, where there are any. */
  low: number;
  high: number;
}

function outlineOf(list: readonly ServiceMatch[]): Outline {
  const outline = { protocols: 0, low: 65536, high: -1 };
  for (const entry of list) {
    const bit = [6, 17, 132, 1, 58].indexOf(entry.protocol ?? -1);
    outline.protocols |= entry.protocol === undefined ? -1 : bit < 0 ? 32 : 1 << bit;
    if (!hasPorts(entry)) continue;
    for (const [first, last] of entry.ports ?? ALL_PORTS) {
      outline.low = Math.min(outline.low, first);
      outline.high = Math.max(outline.high, last);
    }
  }
  return outline;
}

const ALL_PORTS: readonly [number, number][] = [[0, 65535]];
const TCP_UDP_SCTP = [6, 17, 132];

type Services = readonly ServiceMatch[] | undefined;

/** Whether all that `inner` matches is matched by `outer`, each entry by those of its protocol. */
function coversServices(outer: Services, inner: Services): boolean {
  if (outer === undefined || outer === inner) return true;
  return inner?.every((entry) => coversEntry(outer, entry)) ?? false;
}

function coversEntry(outer: readonly ServiceMatch[], entry: ServiceMatch): boolean {
  const same = outer.filter(({ protocol }) => protocol === entry.protocol);
  if (same.length === 0) return false;
  if (!hasPorts(entry))
    return same.some(
      ({ icmpType, icmpCode }) =>
        (icmpType === undefined || icmpType === entry.icmpType) &&
        (icmpCode === undefined || icmpCode === entry.icmpCode),
    );
  const [only] = same;
  if (only && same.length === 1)
    return holdsPorts(only.ports, entry.ports) && holdsPorts(only.sourcePorts, entry.sourcePorts);
  // Ports of one end are put together only over entries that take all of the other's.
  return (
    holdsPorts(portsOf(same, 'ports', 'sourcePorts', entry), entry.ports) ||
    holdsPorts(portsOf(same, 'sourcePorts', 'ports', entry), entry.sourcePorts)
  );
}

function portsOf(
  entries: readonly ServiceMatch[],
  end: 'ports' | 'sourcePorts',
  other: 'ports' | 'sourcePorts',
  inner: ServiceMatch,
): Ports {
  return entries.flatMap((one) => (holdsPorts(one[other], inner[other]) ? (one[end] ?? ALL_PORTS) : []));
}

function hasPorts({ protocol }: ServiceMatch): boolean {
  return TCP_UDP_SCTP.includes(protocol);
}

type Ports = readonly (readonly [number, number])[];

function holdsPorts(outer: Ports | undefined, inner: Ports = ALL_PORTS): boolean {
  if (outer === undefined) return true;
  const sorted = outer.length > 1 ? [...outer].sort(([a], [b]) => a - b) : outer;
  return inner.every(([first, last]) => {
    let next = first;
    for (const [from, to] of sorted) {
      if (from > next) break;
      if (to >= next) next = to + 1;
    }
    return next > last;
  });
}

function meetsServices(a: Services, b: Services): boolean {
  if (a === b || a === undefined || b === undefined) return true;
  return a.some((one) => b.some((other) => meetsEntry(one, other)));
}

function meetsEntry(a: ServiceMatch, b: ServiceMatch): boolean {
  return (
    a.protocol === b.protocol &&
    isSame(a.icmpType, b.icmpType) &&
    isSame(a.icmpCode, b.icmpCode) &&
    overlap(a.ports, b.ports) &&
    overlap(a.sourcePorts, b.sourcePorts)
  );
}

function isSame(a: number | undefined, b: number | undefined): boolean {
  return a === undefined || b === undefined || a === b;
}

function overlap(a: Ports = ALL_PORTS, b: Ports = ALL_PORTS): boolean {
  return a.some(([first, last]) => b.some(([from, to]) => first <= to && from <= last));
}
