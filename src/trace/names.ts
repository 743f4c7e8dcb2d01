// Names and numbers in headers: TCP flags as tcpdump writes them, EtherTypes, ICMP.

/** As tcpdump has them, by their bit. */
const FLAGS: [letter: string, bit: number][] = [
  ['F', 0x01],
  ['S', 0x02],
  ['R', 0x04],
  ['P', 0x08],
  ['.', 0x10],
  ['U', 0x20],
  ['E', 0x40],
  ['W', 0x80],
];

export const SYN = 0x02;
export const RST = 0x04;
export const ACK = 0x10;

/** `S.`, or `none`. */
export function flagLetters(flags: number): string {
  return (
    FLAGS.filter(([, bit]) => (flags & bit) !== 0)
      .map(([letter]) => letter)
      .join('') || 'none'
  );
}

/** `S.`, `SA`, `none`; undefined for another letter. `A` is `.`. */
export function parseFlags(text: string): number | undefined {
  if (text === 'none') return 0;
  let flags = 0;
  for (const letter of text.toUpperCase().replaceAll('A', '.')) {
    const bit = FLAGS.find(([known]) => known === letter)?.[1];
    if (bit === undefined) return undefined;
    flags |= bit;
  }
  return text === '' ? undefined : flags;
}

export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd, qinq: 0x88a8 } as const;

export function ethertypeName(ethertype: number): string {
  const names: Record<number, string> = { 0x0800: 'IPv4', 0x0806: 'ARP', 0x86dd: 'IPv6' };
  return names[ethertype] ?? `EtherType 0x${ethertype.toString(16).padStart(4, '0')}`;
}

const ICMP4: Record<number, string> = {
  0: 'echo reply',
  3: 'unreachable',
  5: 'redirect',
  8: 'echo request',
  11: 'time exceeded',
};
const ICMP6: Record<number, string> = {
  1: 'unreachable',
  2: 'packet too big',
  3: 'time exceeded',
  128: 'echo request',
  129: 'echo reply',
  133: 'router solicitation',
  134: 'router advertisement',
  135: 'neighbour solicitation',
  136: 'neighbour advertisement',
  137: 'redirect',
};

/** `echo request`, or `type 13`. */
export function icmpName(family: 4 | 6, type: number): string {
  return (family === 4 ? ICMP4 : ICMP6)[type] ?? `type ${type}`;
}
