// Workload: a VM, a container or a NIC, how it is attached, and the addresses it may use.
import { createHash } from 'node:crypto';
import { z } from 'zod';
import {
  address,
  addressRange,
  device,
  fields,
  interfaceAddress,
  mac,
  name,
  netns,
  number,
  stringOr,
} from './fields.js';
import {
  addressRange as single,
  linkLocalOf,
  mergeRanges,
  parseAddress,
  parseInterfaceAddress,
  parseRange,
} from './ip.js';
import type { Range } from './ip.js';
import { limits } from './limits.js';

const gateways = z.array(address).superRefine((value, context) => {
  const families = value.map((gateway) => (gateway.includes(':') ? 6 : 4));
  if (new Set(families).size < families.length) {
    context.addIssue({
      code: 'custom',
      message: 'more than one gateway of a family: at most one IPv4 and one IPv6',
    });
  }
});

const tap = fields({
  /** A name below /run/netns or an absolute path; absent: the engine's own namespace. */
  netns: netns.optional(),
  name: device,
  /** Absent: made from the workload's name. */
  mac: mac.optional(),
  /** Put on the device, with prefix. */
  addresses: z.array(interfaceAddress).max(64).optional(),
  /** Default routes: one address, or a list with at most one of each family. */
  gateway: stringOr(address, gateways).optional(),
  mtu: number('an MTU', 576, 65_535).optional(),
}).superRefine((value, context) => {
  // The kernel refuses IPv6 below 1280 (RFC 8200, section 5).
  if ((value.mtu ?? 1280) >= 1280 || !value.addresses?.some((text) => text.includes(':'))) return;
  context.addIssue({ code: 'custom', message: 'IPv6 needs an MTU of at least 1280', path: ['mtu'] });
});

const veth = fields({ interface: device, mac: mac.optional() });
const nic = fields({ interface: device, mac: mac.optional() });

const attach = fields({ tap: tap.optional(), veth: veth.optional(), nic: nic.optional() }).superRefine(
  (value, context) => {
    const given = Object.keys(value);
    if (given.length === 1) return;
    const message =
      given.length === 0
        ? 'needs one of tap, veth, nic'
        : `takes one of tap, veth, nic, not ${given.join(' and ')}`;
    context.addIssue({ code: 'custom', message });
  },
);

export const workloadSpecSchema = fields({
  segment: name,
  attach,
  /** All it may use: addresses, CIDRs, ranges. Absent: those of its tap; without them any. */
  addresses: z.array(addressRange).max(4000).optional(),
  /** What it may begin, over what the Host says. */
  limits: limits.optional(),
});

export type WorkloadSpec = z.infer<typeof workloadSpecSchema>;
export type AttachKind = 'tap' | 'veth' | 'nic';

export function attachKind(spec: WorkloadSpec): AttachKind {
  return spec.attach.tap ? 'tap' : spec.attach.veth ? 'veth' : 'nic';
}

/** The network device that carries the workload. */
export function deviceOf(spec: WorkloadSpec): string {
  return spec.attach.tap?.name ?? spec.attach.veth?.interface ?? spec.attach.nic?.interface ?? '';
}

/** A locally administered unicast MAC that is always the same for a name. */
export function macFromName(workload: string): string {
  const bytes = createHash('sha256').update(`headgate mac ${workload}`).digest().subarray(0, 6);
  bytes[0] = ((bytes[0] ?? 0) & 0xfc) | 0x02;
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** The one MAC that the workload may use, in lower case; absent for veth and nic without `mac`: learned. */
export function macOf(workload: string, spec: WorkloadSpec): string | undefined {
  const { tap, veth, nic } = spec.attach;
  const given = (tap ?? veth ?? nic)?.mac?.toLowerCase();
  return given ?? (tap ? macFromName(workload) : undefined);
}

/**
 * The addresses that the workload may use, merged; absent: any. A workload with IPv6 addresses and a known MAC
 * also has the link-local address made from it, without which IPv6 does not work (RFC 4291, section 2.8).
 */
export function addressesOf(workload: string, spec: WorkloadSpec): Range[] | undefined {
  const ranges = statedAddresses(spec);
  const mac = macOf(workload, spec);
  if (!ranges) return undefined;
  if (mac !== undefined && ranges.some((range) => range.family === 6)) ranges.push(single(linkLocalOf(mac)));
  return mergeRanges(ranges);
}

/** As the document says them, in its order. */
export function statedAddresses(spec: WorkloadSpec): Range[] | undefined {
  if (spec.addresses) return spec.addresses.flatMap((text) => parseRange(text) ?? []);
  const own = spec.attach.tap?.addresses?.flatMap((text) => parseInterfaceAddress(text)?.address ?? []);
  return own?.length ? own.map(single) : undefined;
}

/** Gateways as a list, whichever way they were written. */
export function gatewaysOf(spec: WorkloadSpec): string[] {
  return [spec.attach.tap?.gateway ?? []].flat().filter((text) => parseAddress(text));
}
