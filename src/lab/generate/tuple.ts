// Bare 5-tuple rules in ClassBench's text form, one a line, the first line first in priority:
//
//   @src/len <tab> dst/len <tab> splo : sphi <tab> dplo : dphi <tab> proto/mask <tab> flags/mask
//
// TCP flags are carried along; nothing here matches by them.

export interface Prefix {
  /** The first address, unsigned. */
  address: number;
  length: number;
}

export interface Masked {
  value: number;
  mask: number;
}

export interface Tuple {
  source: Prefix;
  destination: Prefix;
  /** Inclusive. */
  sourcePorts: readonly [number, number];
  destinationPorts: readonly [number, number];
  /** The mask is 0 (any) or 0xff. */
  protocol: Masked;
  flags: Masked;
}

/** The last address of a prefix. */
export function lastOf({ address, length }: Prefix): number {
  return length === 0 ? 0xffffffff : (address | (2 ** (32 - length) - 1)) >>> 0;
}

/** The prefix of this length that holds the address. */
export function prefixOf(address: number, length: number): Prefix {
  return { address: length === 0 ? 0 : (address & (-1 << (32 - length))) >>> 0, length };
}

export function formatTuple(tuple: Tuple): string {
  const prefix = ({ address, length }: Prefix) =>
    `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}/${length}`;
  const ports = ([first, last]: readonly [number, number]) => `${first} : ${last}`;
  const hex = (value: number, digits: number) => `0x${value.toString(16).padStart(digits, '0')}`;
  const { protocol, flags } = tuple;
  return [
    `@${prefix(tuple.source)}`,
    prefix(tuple.destination),
    ports(tuple.sourcePorts),
    ports(tuple.destinationPorts),
    `${hex(protocol.value, 2)}/${hex(protocol.mask, 2)}`,
    `${hex(flags.value, 4)}/${hex(flags.mask, 4)}`,
  ].join('\t');
}

const FORM =
  /^@([\d.]+)\/(\d+)\s+([\d.]+)\/(\d+)\s+(\d+) : (\d+)\s+(\d+) : (\d+)\s+0x([\da-f]+)\/0x([\da-f]+)(?:\s+0x([\da-f]+)\/0x([\da-f]+))?\s*$/i;

/** Reads a rule set; throws an Error that names the line that is none. */
export function parseTuples(text: string): Tuple[] {
  const tuples: Tuple[] = [];
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue;
    const match = FORM.exec(line);
    if (!match) throw new Error(`line ${i + 1} is not a rule of the ClassBench form: ${line.slice(0, 100)}`);
    const part = (n: number) => match[n] ?? '0';
    const number = (n: number) => Number(part(n));
    const prefix = (n: number) => prefixOf(parseIpv4(part(n)), number(n + 1));
    const masked = (n: number) => ({ value: parseInt(part(n), 16), mask: parseInt(part(n + 1), 16) });
    tuples.push({
      source: prefix(1),
      destination: prefix(3),
      sourcePorts: [number(5), number(6)],
      destinationPorts: [number(7), number(8)],
      protocol: masked(9),
      flags: masked(11),
    });
  }
  return tuples;
}

function parseIpv4(text: string): number {
  return text.split('.').reduce((value, part) => value * 256 + Number(part), 0);
}
