// Tunnel: the way to segments of other hosts. A segment names the tunnels that it stretches over.
import { z } from 'zod';
import { address, device, fields, mac, netns, number, oneOf, text } from './fields.js';
import { formatAddress, linkLocalOf, parseAddress } from './ip.js';

/** What each may say beside its remotes, and the largest key. */
export const ENCAPSULATIONS = {
  vxlan: { over: 'udp', port: 4789, metadata: 'none', mostKey: 0xff_ffff },
  geneve: { over: 'udp', port: 6081, metadata: 'options', mostKey: 0xff_ffff },
  gre: { over: 'ip', port: undefined, metadata: 'none', mostKey: 0xff_ffff },
  nvgre: { over: 'ip', port: undefined, metadata: 'none', mostKey: 0xff_ffff },
  nsh: { over: 'udp', port: 4790, metadata: 'context', mostKey: 0xff_ffff },
  'nsh-ethernet': { over: 'ethernet', port: undefined, metadata: 'context', mostKey: 0xff_ffff },
} as const;

export type EncapsulationName = keyof typeof ENCAPSULATIONS;
const NAMES = Object.keys(ENCAPSULATIONS) as [EncapsulationName, ...EncapsulationName[]];

const MAX_METADATA = { options: 252, context: 244 } as const;

const hexBytes = (what: string, most: number) =>
  text((value) =>
    /^([0-9a-fA-F]{2})*$/.test(value) && value.length <= 2 * most
      ? undefined
      : `"${value.slice(0, 80)}" is not ${what}: write up to ${most} bytes in hexadecimal, like "0a0b0c0d" (quote it)`,
  );

/** A Geneve option, or an NSH context header of type 2: both are a class, a type and data. */
const option = fields({
  class: number('a class', 0, 0xffff),
  /** Geneve: from 128 on critical. NSH: up to 127. */
  type: number('a type', 0, 0xff),
  data: hexBytes('data', 124).optional(),
});

const isMac = (value: string) => mac.safeParse(value).success;

const remote = text((value) =>
  parseAddress(value) || isMac(value)
    ? undefined
    : `"${value.slice(0, 80)}" is not a remote: write an address like 192.0.2.2, or over Ethernet a MAC`,
);

/** What is neither has been complained of, and stays as it is. */
const canonical = (value: string) => (parseAddress(value) || isMac(value) ? remoteAddress(value) : value);

export const tunnelSpecSchema = fields({
  encapsulation: oneOf('encapsulation', NAMES),
  /** Outer source address; not over Ethernet. */
  local: address.optional(),
  /** The other hosts: addresses of the family of `local`, or MACs over Ethernet. */
  remotes: z
    .array(remote)
    .min(1, { error: () => 'a tunnel needs at least one remote' })
    .max(4000),
  /** The namespace of the underlay; absent: the engine's own. */
  netns: netns.optional(),
  /** The interface of the underlay; absent: any. Over Ethernet it has to be given. */
  interface: device.optional(),
  /** UDP port, here and there; absent: the encapsulation's own. With one, GRE goes in UDP (RFC 8086, port 4754). */
  port: number('a UDP port', 1, 65_535).optional(),
  /** Longest outer packet; absent: as the kernel knows it for each remote. */
  mtu: number('an MTU', 576, 65_535).optional(),
  /** Geneve: options in every packet. NSH: context headers of metadata type 2. */
  options: z.array(option).max(61).optional(),
  /** NSH: the 16 bytes of metadata type 1. */
  context: hexBytes('a context', 16).optional(),
}).superRefine((value, context) => {
  const complain = (message: string, path: string) =>
    context.addIssue({ code: 'custom', message, path: [path] });
  const { over, metadata } = ENCAPSULATIONS[value.encapsulation];
  if (over === 'ethernet') {
    if (value.local !== undefined) complain('is not used over Ethernet: leave it out', 'local');
    if (value.interface === undefined) complain('is needed over Ethernet: name the interface', 'interface');
  } else if (value.local === undefined)
    complain('is needed: the address that the other hosts send to', 'local');
  if (value.port !== undefined && over === 'ethernet')
    complain(`${value.encapsulation} has no ports: leave it out`, 'port');
  if (value.options && metadata === 'none')
    complain(`${value.encapsulation} has no options: leave them out, or use geneve`, 'options');
  if (value.context !== undefined && metadata !== 'context')
    complain(`${value.encapsulation} has no context: leave it out, or use nsh`, 'context');
  if (value.context !== undefined && value.options) complain('takes context or options, not both', 'context');
  if (value.context !== undefined && value.context.length !== 32)
    complain('the context of metadata type 1 has 16 bytes', 'context');
  if (metadata === 'context' && value.options?.some(({ type }) => type > 127))
    complain('a type of NSH is up to 127', 'options');
  const bytes = metadataOf(value).length / 2;
  if (metadata !== 'none' && bytes > MAX_METADATA[metadata])
    complain(`is too long: ${bytes} bytes, and at most ${MAX_METADATA[metadata]} fit`, 'options');
  const seen = new Set<string>();
  value.remotes.forEach((one, i) => {
    const path = ['remotes', i];
    const say = (message: string) => context.addIssue({ code: 'custom', message, path });
    if (isMac(one) !== (over === 'ethernet'))
      say(
        over === 'ethernet'
          ? `"${one}" is not a MAC, which a remote is over Ethernet`
          : `"${one}" is a MAC: give an address`,
      );
    else if (value.local !== undefined && one.includes(':') !== value.local.includes(':'))
      say(`"${one}" is not of the family of local, ${value.local}: use one tunnel for IPv4 and one for IPv6`);
    const same = canonical(one);
    if (seen.has(same)) say(`"${one}" is there twice: leave one out`);
    if (value.local !== undefined && same === canonical(value.local)) say(`"${one}" is this host itself`);
    seen.add(same);
  });
});

export type TunnelSpec = z.infer<typeof tunnelSpecSchema>;

/** The remote as the engine has it: over Ethernet the link-local address made of the MAC. */
export function remoteAddress(remote: string): string {
  const parsed = parseAddress(remote);
  return formatAddress(parsed ?? linkLocalOf(remote.toLowerCase()));
}

/** Options or context as they lie on the wire, in hexadecimal. */
export function metadataOf(spec: Pick<TunnelSpec, 'encapsulation' | 'options' | 'context'>): string {
  if (spec.context !== undefined) return spec.context.toLowerCase();
  return (spec.options ?? []).map((one) => optionText(spec.encapsulation, one)).join('');
}

/** Geneve counts words of data (RFC 8926, 3.5), NSH bytes (RFC 8300, 2.5.1); both are padded to words. */
function optionText(
  encapsulation: EncapsulationName,
  { class: number, type, data = '' }: z.infer<typeof option>,
): string {
  const bytes = data.length / 2;
  const words = Math.ceil(bytes / 4);
  const length = encapsulation === 'geneve' ? words : bytes;
  const hex = (value: number, digits: number) => value.toString(16).padStart(digits, '0');
  return `${hex(number, 4)}${hex(type, 2)}${hex(length, 2)}${data.toLowerCase().padEnd(words * 8, '0')}`;
}

/** Bytes around what a workload sends: outer IP, UDP, the encapsulation, and the inner Ethernet header. */
export function overheadOf(spec: TunnelSpec): number {
  const { over, metadata } = ENCAPSULATIONS[spec.encapsulation];
  const ip = over === 'ethernet' ? 0 : spec.local?.includes(':') ? 40 : 20;
  const udp = over === 'udp' || spec.port !== undefined ? 8 : 0;
  const nshBehindVxlan = metadata === 'context' && over === 'udp' ? 8 : 0;
  return ip + udp + nshBehindVxlan + 8 + metadataOf(spec).length / 2 + 14;
}

/** The key of a segment with that VNI; NSH: the path, at its first service index. */
export function keyOf(encapsulation: EncapsulationName, vni: number): number {
  return ENCAPSULATIONS[encapsulation].metadata === 'context' ? vni * 256 + 255 : vni;
}
