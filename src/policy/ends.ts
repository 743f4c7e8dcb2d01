// The two ends of a flow, as people name them: a workload or an address, and the addresses to choose from.
import { PROTOCOLS, type WorkloadDocument } from '../documents/index.js';
import { clip } from '../documents/fields.js';
import type { Address, Family } from '../documents/ip.js';
import { formatAddress, parseAddress } from '../documents/ip.js';
import { suggest } from '../documents/nearest.js';
import { statedAddresses } from '../documents/workload.js';
import type { World } from './evaluate.js';

export interface End {
  workload: WorkloadDocument | undefined;
  /** Those to choose from. */
  addresses: Address[];
}

/** Throws an Error that says how to mend the question. */
export function findEnd(world: World, text: string, explicit: string | undefined, notes: string[]): End {
  const address = parseAddress(text);
  if (address) {
    const owners = world.owners(address);
    const names = owners.map(({ metadata }) => metadata.name);
    if (owners.length > 1)
      notes.push(`${text} may be used by ${clip(names.join(', '))}: judged as ${names[0] ?? ''}`);
    return { workload: owners[0], addresses: [address] };
  }
  const found = world.workloads.get(text);
  if (!found)
    throw new Error(`there is no workload "${clip(text)}": ${suggest(text, [...world.workloads.keys()])}`);
  if (explicit !== undefined) return { workload: found.document, addresses: [explicitAddress(explicit)] };
  const addresses = (statedAddresses(found.document.spec) ?? []).map(({ family, first }) => ({
    family,
    value: first,
  }));
  if (addresses.length === 0)
    throw new Error(`workload "${text}" has no addresses in its document: say which address it uses`);
  return { workload: found.document, addresses };
}

export function explicitAddress(text: string): Address {
  const address = parseAddress(text);
  if (!address) throw new Error(`"${clip(text)}" is not an address: write it like 10.0.1.2 or 2001:db8::2`);
  return address;
}

export interface Choice {
  from: string;
  to: string;
  protocol: number;
  /** Which family, where the ends have both; absent: IPv4. */
  family?: Family | undefined;
}

/** An address of each end, both of one family. */
export function chooseAddresses(
  from: End,
  to: End,
  question: Choice,
): { source: string; destination: string } {
  const natural = question.protocol === PROTOCOLS.icmpv6 ? 6 : 4;
  const families: Family[] = question.family ? [question.family] : natural === 6 ? [6, 4] : [4, 6];
  for (const family of families) {
    const source = from.addresses.find((address) => address.family === family);
    const destination = to.addresses.find((address) => address.family === family);
    if (source && destination)
      return { source: formatAddress(source), destination: formatAddress(destination) };
  }
  const wanted = question.family ? `IPv${question.family} addresses` : 'addresses of one family';
  throw new Error(`${question.from} and ${question.to} do not both have ${wanted}: name the addresses`);
}
