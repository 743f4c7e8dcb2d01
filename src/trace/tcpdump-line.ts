// Reads a line of tcpdump as a packet: `tcpdump -n`, also with -e (MACs, VLAN tags), -v (a second line) and -tttt, of
// IPv4, IPv6 and ARP.
import { parseAddress } from '../documents/ip.js';
import { PROTOCOLS, protocolNumber } from '../documents/protocols.js';
import { HeadgateError } from '../shared/errors.js';
import { parseFlags } from './names.js';
import type { Described } from './packet.js';

const MAC = '[0-9a-f]{2}(?::[0-9a-f]{2}){5}';

/** Throws `line` for what it does not understand. */
export function parseTcpdumpLine(given: string): Described {
  const text = given.trim().replace(/\s+/g, ' ');
  const link = linkOf(text);
  const rest = link.rest;
  const packet = arpOf(rest) ?? ipOf(rest);
  if (packet === undefined)
    throw fault(`'${text.slice(0, 100)}' is no line of IPv4, IPv6 or ARP as tcpdump writes it`);
  return { ...packet, ...link.fields };
}

/** What stands before the packet: the time, the interface (of -i any), with -e the MACs and tags. */
function linkOf(text: string): { fields: Partial<Described>; rest: string } {
  const [, macs, packet = ''] = new RegExp(`(?:^| )(${MAC} > ${MAC}),? (.*)$`).exec(text) ?? [];
  if (macs === undefined) return { fields: {}, rest: text.replace(/^.*?\b(?=(IP6?|ARP)\b)/, '') };
  const [sourceMac, destinationMac] = macs.split(' > ') as [string, string];
  const vlans = [...packet.matchAll(/\bvlan (\d{1,4}), p \d/g)].map(([, vlan]) => Number(vlan));
  // The last EtherType names the packet; the text after it, or after the length, is the packet.
  const kind = [...packet.matchAll(/ethertype (IPv4|IPv6|ARP)\b/g)].at(-1);
  if (kind === undefined) throw fault(`the frame from ${sourceMac} carries neither IPv4, IPv6 nor ARP`);
  const behind = packet
    .slice(kind.index)
    .replace(/^ethertype \S+(?: \(0x[0-9a-f]+\))?,? ?(?:length \d+: ?)?/, '');
  const name = { IPv4: 'IP', IPv6: 'IP6', ARP: 'ARP,' }[kind[1] ?? ''] ?? '';
  return {
    fields: { sourceMac, destinationMac, ...(vlans.length > 0 ? { vlans } : {}) },
    rest: `${name} ${behind}`,
  };
}

function arpOf(text: string): Described | undefined {
  const asks = /^ARP,.*? Request who-has (\S+)(?: \([^)]*\))? tell ([0-9.]+)/.exec(text);
  if (asks) return ends('arp', asks[2], asks[1]);
  const says = new RegExp(`^ARP,.*? Reply (\\S+) is-at (${MAC})`).exec(text);
  // Whom it tells does not stand in the line: the MAC of -e does.
  if (says) return { ...ends('arp-reply', says[1], says[1]), sourceMac: says[2] };
  return undefined;
}

function ends(protocol: Described['protocol'], source = '', destination = ''): Described {
  for (const text of [source, destination]) checkAddress(text);
  return { protocol, sourceAddress: source, destinationAddress: destination, to: destination };
}

function checkAddress(text: string): void {
  if (parseAddress(text) === undefined)
    throw fault(`'${text}' is not an address: names are not looked up`, 'Run tcpdump with -n.');
}

/** Of -v, without the braces: `tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto TCP (6), length 60`. */
interface Details {
  ttl?: number;
  protocol?: number;
  fragment?: { offset: number; more: boolean };
}

const IP_LINE = /^(IP6?) (?:\((.*?\d\)?.*?)\) )?(\S+) > (\S+): ?(.*)$/;

function ipOf(text: string): Described | undefined {
  const [, kind, detailed, from = '', to = '', said = ''] = IP_LINE.exec(text) ?? [];
  if (kind === undefined) return undefined;
  const details = detailsOf(detailed ?? '');
  const source = splitPort(from);
  const destination = splitPort(to);
  const isLater = (details.fragment?.offset ?? 0) > 0;
  const packet = ends(protocolOf(kind, said, source.port, details), source.address, destination.address);
  return {
    ...packet,
    ...(source.port === undefined ? {} : { sourcePort: source.port }),
    ...(destination.port === undefined ? {} : { destinationPort: destination.port }),
    ...(details.ttl === undefined ? {} : { ttl: details.ttl }),
    ...(details.fragment === undefined ? {} : { fragment: details.fragment }),
    ...(isLater ? {} : transportOf(packet.protocol, said)),
  };
}

function detailsOf(text: string): Details {
  const ttl = /\b(?:ttl|hlim) (\d+)/.exec(text)?.[1];
  const protocol = /\b(?:proto|next-header) [^(]*\((\d+)\)/.exec(text)?.[1];
  const [, offset, flags = ''] = /\boffset (\d+), flags \[([^\]]*)\]/.exec(text) ?? [];
  const more = flags.includes('+');
  return {
    ...(ttl === undefined ? {} : { ttl: Number(ttl) }),
    ...(protocol === undefined ? {} : { protocol: Number(protocol) }),
    ...(offset === undefined || (offset === '0' && !more)
      ? {}
      : { fragment: { offset: Number(offset), more } }),
  };
}

/** `10.0.0.1.443` and `fd00::1.443`: a port is behind the last dot. */
function splitPort(text: string): { address: string; port?: number } {
  if (parseAddress(text) !== undefined) return { address: text };
  const dot = text.lastIndexOf('.');
  const [address, port] = [text.slice(0, dot), text.slice(dot + 1)];
  if (dot < 0 || parseAddress(address) === undefined) return { address: text };
  if (!/^\d{1,5}$/.test(port))
    throw fault(`'${port}' is the name of a port`, 'Run tcpdump with -n: numbers are wanted.');
  return { address, port: Number(port) };
}

function protocolOf(kind: string, said: string, port: number | undefined, details: Details): number {
  if (details.protocol !== undefined) return details.protocol;
  if (said.startsWith('Flags [')) return PROTOCOLS.tcp;
  if (said.startsWith('sctp')) return PROTOCOLS.sctp;
  if (/^(HBH )?ICMP6?\b/.test(said)) return kind === 'IP6' ? PROTOCOLS.icmpv6 : PROTOCOLS.icmp;
  // tcpdump names what is inside UDP instead of UDP itself.
  if (port !== undefined) return PROTOCOLS.udp;
  const number = /^ip-proto-(\d+)/.exec(said)?.[1];
  const known = [/^GREv/, /^ESP\(/, /^AH\(/].findIndex((one) => one.test(said));
  const found = number === undefined ? [47, 50, 51][known] : Number(number);
  if (found !== undefined) return found;
  const word = /^\w+/.exec(said)?.[0] ?? '';
  const byName = protocolNumber(word.toLowerCase());
  if (byName !== undefined) return byName;
  throw fault(`'${said.slice(0, 60)}' does not say which protocol it is`, 'Run tcpdump with -v.');
}

const HAS_TRANSPORT: Described['protocol'][] = Object.values(PROTOCOLS);
const ICMP_HEADER = 8;

function transportOf(protocol: Described['protocol'], said: string): Partial<Described> {
  const length = /, length (\d+)/.exec(said)?.[1] ?? /\((\d+)\)$/.exec(said)?.[1];
  if (said.startsWith('ip-proto-') && HAS_TRANSPORT.includes(protocol))
    throw fault('it is a later fragment, and does not say where it begins', 'Run tcpdump with -v.');
  if (protocol === PROTOCOLS.tcp) return { ...flagsOf(said), ...payloadOf(length, 0) };
  if (protocol === PROTOCOLS.udp) return payloadOf(length, 0);
  if (protocol === PROTOCOLS.icmp || protocol === PROTOCOLS.icmpv6)
    return { ...icmpOf(protocol === PROTOCOLS.icmp ? 4 : 6, said), ...payloadOf(length, ICMP_HEADER) };
  return {};
}

function payloadOf(length: string | undefined, header: number): Partial<Described> {
  return length === undefined ? {} : { payload: Math.max(0, Number(length) - header) };
}

function flagsOf(said: string): Partial<Described> {
  const letters = /^Flags \[([^\]]*)\]/.exec(said)?.[1];
  const tcpFlags = letters === undefined ? undefined : parseFlags(letters);
  if (tcpFlags === undefined) throw fault(`the TCP flags of '${said.slice(0, 60)}' are not known`);
  return { tcpFlags };
}

/** What tcpdump calls a type: and the code where the words name one. */
const ICMP: [words: RegExp, type4: number | undefined, type6: number | undefined, code?: number][] = [
  [/echo request/, 8, 128],
  [/echo reply/, 0, 129],
  [/(udp|tcp) port .*unreachable|unreachable port/, 3, 1, 3],
  [/net .*unreachable/, 3, undefined, 0],
  [/host .*unreachable/, 3, undefined, 1],
  [/protocol .*unreachable/, 3, undefined, 2],
  [/unreachable - need to frag/, 3, undefined, 4],
  [/admin prohibited/, 3, undefined, 13],
  [/unreachable/, 3, 1],
  [/packet too big/, undefined, 2],
  [/time exceeded/, 11, 3],
  [/redirect/, 5, 137],
  [/router solicitation/, 10, 133],
  [/router advertisement/, 9, 134],
  [/neighbor solicitation/, undefined, 135],
  [/neighbor advertisement/, undefined, 136],
  [/multicast listener report v2/, undefined, 143],
];

function icmpOf(family: 4 | 6, said: string): Partial<Described> {
  const found = ICMP.find(
    ([words, type4, type6]) => words.test(said) && (family === 4 ? type4 : type6) !== undefined,
  );
  const numbered = /\btype[- #](\d{1,3})/.exec(said)?.[1];
  const type = found === undefined ? numbered && Number(numbered) : family === 4 ? found[1] : found[2];
  if (typeof type !== 'number') throw fault(`the ICMP message '${said.slice(0, 60)}' is not known`);
  const code = family === 4 || type === 1 ? found?.[3] : undefined;
  const id = /\bid (\d{1,5})\b/.exec(said)?.[1];
  return {
    icmpType: type,
    ...(code === undefined ? {} : { icmpCode: family === 6 ? 4 : code }),
    ...(id === undefined ? {} : { icmpId: Number(id) }),
  };
}

function fault(what: string, remedy?: string): HeadgateError {
  return new HeadgateError('line', `This line cannot be read: ${what}.`, {
    remedy:
      remedy ?? 'A line of `tcpdump -n` or `tcpdump -ne` is wanted, or describe the packet: --from, --to ...',
  });
}
