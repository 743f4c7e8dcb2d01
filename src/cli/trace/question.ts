// The packets that `trace --simulate` and `--inject` are asked about: described by options, lines of tcpdump, or a
// capture.
import { readSync, openSync, closeSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { PROTOCOLS, protocolNumber } from '../../documents/protocols.js';
import { errorMessage, HeadgateError } from '../../shared/errors.js';
import type { Described, PacketQuestion } from '../../trace/packet.js';

export interface QuestionOptions {
  from?: string;
  to?: string;
  protocol?: Described['protocol'];
  port?: number;
  sourcePort?: number;
  icmpType?: number;
  icmpCode?: number;
  flags?: number;
  family?: 4 | 6;
  payload?: number;
  vlan?: number[];
  sourceMac?: string;
  destinationMac?: string;
  sourceAddress?: string;
  destinationAddress?: string;
  ttl?: number;
  fragment?: { offset: number; more: boolean };
  line?: string;
  pcap?: string;
  count?: number;
}

/** Most packets of one request. */
const MOST_PACKETS = 1000;

export interface Question {
  packets: PacketQuestion[];
  notes: string[];
}

export async function questionOf(options: QuestionOptions): Promise<Question> {
  if (options.pcap !== undefined) return captured(options.pcap, options);
  if (options.line !== undefined) return lines(options.line, options);
  const { to } = options;
  if (to === undefined || (options.from ?? options.sourceMac ?? options.sourceAddress) === undefined)
    throw usage(
      'Who sends the packet, and where does it go?',
      'Name both: --from web-1 --to db-1, or give --line or --pcap.',
    );
  const { protocol = PROTOCOLS.tcp, port, fragment } = options;
  if (HAS_PORTS.includes(protocol) && port === undefined && (fragment?.offset ?? 0) === 0)
    throw usage('To which port does the packet go?', 'Name it: --port 443, or another --protocol.');
  return { packets: [{ ...overrides(options), protocol, to }], notes: [] };
}

const HAS_PORTS: Described['protocol'][] = [PROTOCOLS.tcp, PROTOCOLS.udp, PROTOCOLS.sctp];

/** What the options say, in the words of the API. */
function overrides(options: QuestionOptions): Omit<Described, 'to' | 'protocol'> {
  const given = {
    from: options.from,
    sourcePort: options.sourcePort,
    destinationPort: options.port,
    icmpType: options.icmpType,
    icmpCode: options.icmpCode,
    tcpFlags: options.flags,
    family: options.family,
    payload: options.payload,
    vlans: options.vlan,
    sourceMac: options.sourceMac,
    destinationMac: options.destinationMac,
    sourceAddress: options.sourceAddress,
    destinationAddress: options.destinationAddress,
    ttl: options.ttl,
    fragment: options.fragment,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

async function lines(line: string, options: QuestionOptions): Promise<Question> {
  const { parseTcpdumpLine } = await import('../../trace/tcpdump-line.js');
  const text = line === '-' ? readAll('-').toString('utf8') : line;
  // What begins with blanks goes on with the line above: -v writes two.
  const found = text.replace(/\r?\n[ \t]+/g, ' ').split(/\r?\n/);
  const wanted = found.filter((one) => one.trim() !== '');
  const more = overrides(options);
  const packets = wanted.slice(0, most(options)).map((one) => ({
    ...parseTcpdumpLine(one),
    ...more,
    ...(options.to === undefined ? {} : { to: options.to }),
  }));
  return { packets, notes: cut(packets.length, wanted.length) };
}

async function captured(path: string, options: QuestionOptions): Promise<Question> {
  const { readCapture } = await import('../../trace/read-capture.js');
  const { from } = options;
  const packets: PacketQuestion[] = [];
  let shortened = 0;
  let total = 0;
  for (const { bytes, cut } of readCapture(readAll(path))) {
    total += 1;
    if (packets.length >= most(options)) continue;
    packets.push({ frame: bytes.toString('base64'), ...(from === undefined ? {} : { from }) });
    shortened += cut ? 1 : 0;
  }
  if (packets.length === 0) throw new HeadgateError('capture', `There are no packets in ${path}.`);
  const kept = shortened === 0 ? [] : [`${shortened} packets were cut off by the capture: use tcpdump -s 0`];
  return { packets, notes: [...cut(packets.length, total), ...kept] };
}

function most({ count }: QuestionOptions): number {
  return Math.min(count ?? MOST_PACKETS, MOST_PACKETS);
}

function cut(taken: number, total: number): string[] {
  return taken < total ? [`the first ${taken} of ${total} packets`] : [];
}

const MOST_BYTES = 64 * 1024 * 1024;

/** A file, or standard input. */
function readAll(path: string): Buffer {
  const chunks: Buffer[] = [];
  let total = 0;
  try {
    const fd = path === '-' ? 0 : openSync(path, 'r');
    for (;;) {
      const chunk = Buffer.alloc(64 * 1024);
      const length = readSync(fd, chunk);
      if (length === 0) break;
      total += length;
      if (total > MOST_BYTES) throw new Error(`it is larger than ${MOST_BYTES / 1024 / 1024} MiB`);
      chunks.push(chunk.subarray(0, length));
    }
    if (fd !== 0) closeSync(fd);
  } catch (cause) {
    const name = path === '-' ? 'Standard input' : path;
    throw new HeadgateError('capture', `${name} cannot be read: ${errorMessage(cause)}.`, { cause });
  }
  return Buffer.concat(chunks);
}

/** What options take. */
export function protocol(text: string): Described['protocol'] {
  if (text === 'arp' || text === 'arp-reply') return text;
  const number = protocolNumber(/^\d+$/.test(text) ? Number(text) : text.toLowerCase());
  if (number !== undefined) return number;
  throw new InvalidArgumentError(
    'tcp, udp, icmp, icmpv6, sctp, arp, arp-reply or a number from 0 to 255 is wanted.',
  );
}

export function vlans(text: string): number[] {
  const ids = text.split(',').map((id) => (/^\d{1,4}$/.test(id) ? Number(id) : NaN));
  if (ids.length <= 2 && ids.every((id) => id <= 4095)) return ids;
  throw new InvalidArgumentError('A VLAN id, or an outer and an inner one like 100,20, is wanted.');
}

export function fragment(text: string): { offset: number; more: boolean } {
  const [, digits, plus] = /^(\d{1,5})(\+?)$/.exec(text) ?? [];
  const offset = Number(digits);
  if (offset % 8 === 0 && offset <= 65_528) return { offset, more: plus === '+' };
  throw new InvalidArgumentError(
    'An offset in bytes, a multiple of 8, is wanted, with a + where more follow: 0+.',
  );
}

export function mac(text: string): string {
  if (/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError('A MAC like 02:00:00:00:00:01 is wanted.');
}

export function usage(message: string, remedy: string): HeadgateError {
  return new HeadgateError('usage', message, { remedy });
}
