// Draws a set of 5-tuple rules with a family's statistics.
//
// Prefixes come from a pool for each end that grows with the set: new ones are mostly neighbours of earlier ones,
// so that prefixes nest (a /32 in a /24 in a /16) and share paths as real ones do, and their number grows with the
// number of rules. A set that draws many rules from few prefixes would be easy for every lookup.
import type { EndStatistics, Family, PortClass } from './families.js';
import type { Random } from './random.js';
import type { Masked, Prefix, Tuple } from './tuple.js';
import { formatTuple, prefixOf } from './tuple.js';

const MAX_ATTEMPTS = 1000;
/** For a prefix that is new and not nested too deep. */
const MAX_RETRIES = 20;
/** Most prefixes that hold one new address, the widest (up to /2) not counted. */
const MAX_NESTED = 2;

/** `count` rules, no two the same, special ones mostly before general ones. */
export function generateTuples(family: Family, count: number, random: Random): Tuple[] {
  const pools = {
    source: new PrefixPool(family.source, random),
    destination: new PrefixPool(family.destination, random),
  };
  const seen = new Set<string>();
  const drawn: { tuple: Tuple; rank: number }[] = [];
  for (let attempts = 0; drawn.length < count; attempts++) {
    if (attempts > MAX_ATTEMPTS) throw new Error(`no ${count} different rules come from these statistics`);
    const tuple = drawTuple(family, pools, random);
    const text = formatTuple(tuple);
    if (seen.has(text) || matchesAll(tuple)) continue;
    seen.add(text);
    attempts = 0;
    drawn.push({ tuple, rank: generality(tuple) + random.below(8) });
  }
  return drawn.sort((a, b) => a.rank - b.rank).map(({ tuple }) => tuple);
}

function drawTuple(
  family: Family,
  pools: { source: PrefixPool; destination: PrefixPool },
  random: Random,
): Tuple {
  const cells = family.lengths.flatMap((row, i) =>
    row.map((weight, j) => [[i, j] as const, weight] as const),
  );
  const [sourceClass, destinationClass] = random.weighted(cells);
  const [protocol, from, to] = random.weighted(family.services);
  const anyFlags: Masked = { value: 0, mask: 0 };
  return {
    source: pools.source.draw(sourceClass),
    destination: pools.destination.draw(destinationClass),
    sourcePorts: drawPorts(from, family.source, random),
    destinationPorts: drawPorts(to, family.destination, random),
    protocol: protocol === undefined ? anyFlags : { value: protocol, mask: 0xff },
    flags: protocol === 6 ? random.weighted(family.tcpFlags) : anyFlags,
  };
}

function drawPorts(
  kind: PortClass,
  { ports, portRanges }: EndStatistics,
  random: Random,
): readonly [number, number] {
  if (kind === 'any') return [0, 65535];
  if (kind === 'high') return [1024, 65535];
  if (kind === 'range') return random.weighted(portRanges);
  const port = random.weighted(ports);
  return [port, port];
}

/** What follows such a rule would never be looked at. */
function matchesAll({ source, destination, protocol }: Tuple): boolean {
  return source.length <= 2 && destination.length <= 2 && protocol.mask === 0;
}

/** Higher for rules that match more. */
function generality({ source, destination, sourcePorts, destinationPorts, protocol }: Tuple): number {
  const wide = ([first, last]: readonly [number, number]) => Math.log2(last - first + 1) / 4;
  const addresses = 64 - source.length - destination.length;
  return addresses + wide(sourcePorts) + wide(destinationPorts) + (protocol.mask === 0 ? 4 : 0);
}

/** The prefixes of one end. */
class PrefixPool {
  private readonly addresses: number[] = [];
  private readonly byLength = new Map<number, { list: Prefix[]; known: Set<number> }>();

  constructor(
    private readonly statistics: EndStatistics,
    private readonly random: Random,
  ) {}

  draw(lengthClass: number): Prefix {
    const { lengths, reuse } = this.statistics;
    const length = this.random.weighted(lengths[lengthClass] ?? []);
    const held = this.byLength.get(length) ?? { list: [], known: new Set() };
    this.byLength.set(length, held);
    if (held.list.length > 0 && this.random.chance(reuse)) {
      // Some prefixes are used far more often than others.
      return held.list[Math.floor(this.random.unit() ** 2 * held.list.length)] as Prefix;
    }
    let address = this.newAddress(length);
    for (let i = 0; i < MAX_RETRIES && this.nested(address, length) > MAX_NESTED; i++)
      address = i < 5 ? this.newAddress(length) : this.random.bits();
    if (length > 20) this.addresses.push(address);
    const prefix = prefixOf(address, length);
    if (!held.known.has(prefix.address)) {
      held.known.add(prefix.address);
      held.list.push(prefix);
    }
    return prefix;
  }

  private newAddress(length: number): number {
    const { random, addresses } = this;
    let address = random.bits();
    if (addresses.length > 0 && length > 2 && !random.chance(this.statistics.far)) {
      // A short prefix holds an earlier address; a long one is a neighbour of it.
      const shared = length <= 20 ? 32 : random.pick([16, 20, 23, 24, 26, 28]);
      const mask = shared === 32 ? 0xffffffff : ~(2 ** (32 - shared) - 1);
      address = ((random.pick(addresses) & mask) | (address & ~mask)) >>> 0;
    }
    return address;
  }

  /** How many prefixes hold the address; one of this length is too many. */
  private nested(address: number, length: number): number {
    let found = 0;
    for (const [other, { known }] of this.byLength) {
      if (other <= 2 || !known.has(prefixOf(address, other).address)) continue;
      found += other === length ? MAX_NESTED + 1 : 1;
    }
    return found;
  }
}
