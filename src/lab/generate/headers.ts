// Draws headers to look up in a set of 5-tuple rules, a line each, in decimal:
//
//   source <tab> destination <tab> source port <tab> destination port <tab> protocol <tab> rule
//
// `rule` is the one that the header was drawn from, counted from 0, or -1. It matches the header; an earlier one may,
// too. Where a rule takes any protocol, the header is TCP or UDP; other protocols than these have ports 0.
import type { Random } from './random.js';
import { lastOf } from './tuple.js';
import type { Prefix, Tuple } from './tuple.js';

/**
 * corner: the low or the high end of each field, as ClassBench draws; uniform: anywhere inside the rule's ranges;
 * anywhere: any address and port, whatever the rules are.
 */
export const HEADER_KINDS = ['corner', 'uniform', 'anywhere'] as const;
export type HeaderKind = (typeof HEADER_KINDS)[number];

export interface Header {
  source: number;
  destination: number;
  sourcePort: number;
  destinationPort: number;
  protocol: number;
  rule: number;
}

/** How often a header follows itself, drawn from a Pareto distribution; b = 0: once. */
export interface Locality {
  a: number;
  b: number;
}

export function generateHeaders(
  tuples: readonly Tuple[],
  count: number,
  kind: HeaderKind,
  random: Random,
  { a, b }: Locality = { a: 1, b: 0 },
): Header[] {
  const headers: Header[] = [];
  while (headers.length < count) {
    const header = kind === 'anywhere' ? anywhere(random) : drawFrom(tuples, kind, random);
    const times = Math.max(1, Math.ceil(b / (1 - random.unit()) ** (1 / a)));
    for (let i = 0; i < times && headers.length < count; i++) headers.push(header);
  }
  return headers;
}

function drawFrom(tuples: readonly Tuple[], kind: 'corner' | 'uniform', random: Random): Header {
  const rule = random.below(tuples.length);
  const tuple = tuples[rule] as Tuple;
  const within = (first: number, last: number) =>
    kind === 'uniform' ? random.between(first, last) : random.chance(0.5) ? first : last;
  const address = (prefix: Prefix) => within(prefix.address, lastOf(prefix));
  const protocol = tuple.protocol.mask === 0 ? random.pick([6, 17]) : tuple.protocol.value;
  const header = {
    source: address(tuple.source),
    destination: address(tuple.destination),
    sourcePort: within(...tuple.sourcePorts),
    destinationPort: within(...tuple.destinationPorts),
  };
  return { ...withPorts(header, protocol), rule };
}

function anywhere(random: Random): Header {
  const header = {
    source: random.bits(),
    destination: random.bits(),
    sourcePort: random.below(65536),
    destinationPort: random.below(65536),
  };
  return { ...withPorts(header, random.pick([6, 6, 6, 17, 17, 1, 47, 132])), rule: -1 };
}

function withPorts(header: Omit<Header, 'protocol' | 'rule'>, protocol: number): Omit<Header, 'rule'> {
  return protocol === 6 || protocol === 17
    ? { ...header, protocol }
    : { ...header, sourcePort: 0, destinationPort: 0, protocol };
}

export function formatHeader(header: Header): string {
  const { source, destination, sourcePort, destinationPort, protocol, rule } = header;
  return [source, destination, sourcePort, destinationPort, protocol, rule].join('\t');
}

/** Whether a rule matches a header; TCP flags are not looked at. */
export function matches(tuple: Tuple, header: Header): boolean {
  const holds = (prefix: Prefix, address: number) => prefix.address <= address && address <= lastOf(prefix);
  const within = ([first, last]: readonly [number, number], port: number) => first <= port && port <= last;
  return (
    (header.protocol & tuple.protocol.mask) === (tuple.protocol.value & tuple.protocol.mask) &&
    holds(tuple.source, header.source) &&
    holds(tuple.destination, header.destination) &&
    within(tuple.sourcePorts, header.sourcePort) &&
    within(tuple.destinationPorts, header.destinationPort)
  );
}
