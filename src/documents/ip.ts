// Addresses as numbers: parses and formats IPv4, IPv6, CIDRs and ranges, and merges ranges.
//
// A range is a pair of inclusive bounds of one family. Text follows RFC 4291 (IPv6, with an embedded IPv4
// tail) and RFC 5952 (the canonical form that `formatAddress` writes). IPv4 takes exactly four decimal parts
// without leading zeros: 010.0.0.1 means different hosts to different tools. Zones (fe80::1%eth0) are refused.
// Parsers return undefined for what is not valid text; they never throw.

export type Family = 4 | 6;

export interface Address {
  family: Family;
  value: bigint;
}

/** Inclusive bounds, first <= last. */
export interface Range {
  family: Family;
  first: bigint;
  last: bigint;
}

const BITS = { 4: 32, 6: 128 } as const;

const ZERO = 0x30;
const DOT = 0x2e;

function parseIpv4(text: string): bigint | undefined {
  let value = 0;
  let dots = 0;
  let part = -1; // no digit of it yet
  for (let i = 0; i < text.length; i++) {
    const digit = text.charCodeAt(i) - ZERO;
    if (digit >= 0 && digit <= 9) {
      if (part === 0) return undefined;
      part = part < 0 ? digit : part * 10 + digit;
      if (part > 255) return undefined;
    } else {
      if (digit !== DOT - ZERO || part < 0 || ++dots > 3) return undefined;
      value = value * 256 + part;
      part = -1;
    }
  }
  return dots === 3 && part >= 0 ? BigInt(value * 256 + part) : undefined;
}

/** The 16-bit groups of one side of `::`; an IPv4 tail makes two. */
function parseGroups(text: string, mayEndInIpv4: boolean): number[] | undefined {
  if (text === '') return [];
  const parts = text.split(':');
  const groups: number[] = [];
  for (const [i, part] of parts.entries()) {
    if (mayEndInIpv4 && i === parts.length - 1 && part.includes('.')) {
      const tail = parseIpv4(part);
      if (tail === undefined) return undefined;
      groups.push(Number(tail >> 16n), Number(tail & 0xffffn));
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(part)) return undefined;
      groups.push(parseInt(part, 16));
    }
  }
  return groups;
}

function parseIpv6(text: string): bigint | undefined {
  if (text.length > 45) return undefined;
  const sides = text.split('::');
  if (sides.length > 2) return undefined;
  const head = parseGroups(sides[0] ?? '', sides.length === 1);
  const tail = sides.length === 2 ? parseGroups(sides[1] ?? '', true) : [];
  if (!head || !tail) return undefined;
  const missing = 8 - head.length - tail.length;
  if (sides.length === 2 ? missing < 1 : missing !== 0) return undefined;
  let value = 0n;
  for (const group of [...head, ...new Array<number>(missing).fill(0), ...tail])
    value = (value << 16n) | BigInt(group);
  return value;
}

/** `10.0.0.1` or `2001:db8::1`. */
export function parseAddress(text: string): Address | undefined {
  const family: Family = text.includes(':') ? 6 : 4;
  const value = family === 6 ? parseIpv6(text) : parseIpv4(text);
  return value === undefined ? undefined : { family, value };
}

/** `192.0.2.7:4739` or `[2001:db8::7]:4739`. */
export function parseEndpoint(text: string): { address: string; family: Family; port: number } | undefined {
  const match = /^(?:\[([^\]]+:[^\]]*)\]|([^:[\]]+)):([1-9]\d{0,4})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? '';
  const family = parseAddress(address)?.family;
  const port = Number(match?.[3]);
  return family !== undefined && port <= 65_535 ? { address, family, port } : undefined;
}

/** An address with a prefix length, host bits kept: `10.0.1.2/24` as an interface carries it. */
export function parseInterfaceAddress(text: string): { address: Address; prefix: number } | undefined {
  const match = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text);
  const address = match && parseAddress(match[1] ?? '');
  const prefix = Number(match?.[2]);
  return address && prefix <= BITS[address.family] ? { address, prefix } : undefined;
}

/** The range of all addresses that share the first `prefix` bits. */
export function prefixRange(address: Address, prefix: number): Range {
  const hostBits = BigInt(BITS[address.family] - prefix);
  const first = (address.value >> hostBits) << hostBits;
  return { family: address.family, first, last: first | ((1n << hostBits) - 1n) };
}

/** `10.0.0.7`, `10.0.0.0/8` or `10.0.0.1-10.0.0.9`, and the same for IPv6. */
export function parseRange(text: string): Range | undefined {
  const result = explainRange(text);
  return 'range' in result ? result.range : undefined;
}

/** Like `parseRange`, but says in words what is wrong and how to mend it. */
export function explainRange(text: string): { range: Range } | { wrong: string } {
  if (text.includes('/')) {
    const cidr = parseInterfaceAddress(text);
    if (!cidr) return { wrong: `"${text}" is not a CIDR: write it like 10.0.0.0/8 or 2001:db8::/32` };
    const range = prefixRange(cidr.address, cidr.prefix);
    if (range.first === cidr.address.value) return { range };
    const network = formatAddress({ family: range.family, value: range.first });
    return {
      wrong: `"${text}" has bits set behind its prefix: write ${network}/${cidr.prefix} for the network or ${formatAddress(cidr.address)} for the one address`,
    };
  }
  const dash = text.indexOf('-');
  const first = parseAddress((dash < 0 ? text : text.slice(0, dash)).trim());
  const last = dash < 0 ? first : parseAddress(text.slice(dash + 1).trim());
  if (!first || !last) {
    return {
      wrong: `"${text}" is not an address, a CIDR or a range: write 10.0.0.7, 10.0.0.0/8 or 10.0.0.1-10.0.0.9`,
    };
  }
  if (first.family !== last.family)
    return { wrong: `"${text}" mixes IPv4 and IPv6: a range stays in one family` };
  if (first.value > last.value) return { wrong: `"${text}" ends before it begins: swap the two addresses` };
  return { range: { family: first.family, first: first.value, last: last.value } };
}

export function addressRange(address: Address): Range {
  return { family: address.family, first: address.value, last: address.value };
}

export function contains(range: Range, address: Address): boolean {
  return range.family === address.family && range.first <= address.value && address.value <= range.last;
}

function formatIpv6(value: bigint): string {
  const groups: number[] = [];
  for (let shift = 112n; shift >= 0n; shift -= 16n) groups.push(Number((value >> shift) & 0xffffn));
  let best = { start: 0, length: 1 };
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
    if (end > start) start = end;
  }
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  if (best.length < 2) return hex(groups);
  return `${hex(groups.slice(0, best.start))}::${hex(groups.slice(best.start + best.length))}`;
}

export function formatAddress({ family, value }: Address): string {
  if (family === 6) return formatIpv6(value);
  const number = Number(value);
  return `${number >>> 24}.${(number >>> 16) & 0xff}.${(number >>> 8) & 0xff}.${number & 0xff}`;
}

/** The shortest of address, CIDR and range that says the same. */
export function formatRange({ family, first, last }: Range): string {
  const text = formatAddress({ family, value: first });
  if (first === last) return text;
  const size = last - first + 1n;
  const isPrefix = (size & (size - 1n)) === 0n && (first & (size - 1n)) === 0n;
  if (!isPrefix) return `${text}-${formatAddress({ family, value: last })}`;
  return `${text}/${BITS[family] - (size.toString(2).length - 1)}`;
}

/** Sorted (IPv4 first), with overlapping and adjacent ranges joined. */
export function mergeRanges(ranges: readonly Range[]): Range[] {
  const sorted = [...ranges].sort(
    (a, b) => a.family - b.family || (a.first < b.first ? -1 : a.first > b.first ? 1 : 0),
  );
  const merged: Range[] = [];
  for (const range of sorted) {
    const previous = merged.at(-1);
    if (previous && previous.family === range.family && range.first <= previous.last + 1n) {
      if (range.last > previous.last) previous.last = range.last;
    } else {
      merged.push({ ...range });
    }
  }
  return merged;
}

/** The link-local address that a host makes from its MAC (RFC 4291, appendix A: modified EUI-64). */
export function linkLocalOf(mac: string): Address {
  const bytes = mac.split(':').map((part) => BigInt(parseInt(part, 16)));
  const eui64 = [(bytes[0] ?? 0n) ^ 2n, bytes[1], bytes[2], 0xffn, 0xfen, bytes[3], bytes[4], bytes[5]];
  return {
    family: 6,
    value: eui64.reduce<bigint>((value, byte) => (value << 8n) | (byte ?? 0n), 0xfe80n << 48n),
  };
}
