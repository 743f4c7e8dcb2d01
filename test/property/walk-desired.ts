// Judges a packet by the compiled state as the engine is told to: the index table of the workload, category by
// category, key by key. Written for tests only and as plainly as can be; it knows nothing of documents.
import type { ServiceMatch, SharedRule } from '../../src/engine/messages.js';
import type { Desired, Direction, Packet } from '../../src/policy/index.js';

function toNumber(text: string): bigint {
  if (!text.includes(':')) return text.split('.').reduce((value, part) => value * 256n + BigInt(part), 0n);
  const [head = '', tail] = text.split('::');
  const groups = (part: string) => part.split(':').filter((group) => group !== '');
  const filling = tail === undefined ? 0 : 8 - groups(head).length - groups(tail).length;
  const all = [...groups(head), ...new Array<string>(filling).fill('0'), ...groups(tail ?? '')];
  return all.reduce((value, group) => value * 65536n + BigInt(`0x${group}`), 0n);
}

function inRange(range: string, address: string): boolean {
  if (range.includes(':') !== address.includes(':')) return false;
  const value = toNumber(address);
  const [first = '', last = first] = range.split('-');
  if (!first.includes('/')) return toNumber(first) <= value && value <= toNumber(last);
  const [network = '', prefix = ''] = first.split('/');
  const shift = BigInt((network.includes(':') ? 128 : 32) - Number(prefix));
  return toNumber(network) >> shift === value >> shift;
}

function inSets(desired: Desired, sets: string[] | undefined, address: string): boolean {
  if (!sets) return true;
  return sets.some((name) => {
    const set = desired.addressSets.get(name);
    if (!set) throw new Error(`address set ${name} is used but not there`);
    return set.ranges.some((range) => inRange(range, address));
  });
}

function serves(match: ServiceMatch, packet: Packet): boolean {
  const listed = (ports: [number, number][] | undefined, port = 0) =>
    !ports || ports.some(([first, last]) => first <= port && port <= last);
  if (match.protocol !== undefined && match.protocol !== packet.protocol) return false;
  if (!listed(match.ports, packet.destinationPort) || !listed(match.sourcePorts, packet.sourcePort))
    return false;
  if (match.icmpType !== undefined && match.icmpType !== (packet.icmpType ?? 0)) return false;
  return match.icmpCode === undefined || match.icmpCode === (packet.icmpCode ?? 0);
}

function matches(desired: Desired, rule: SharedRule, packet: Packet): boolean {
  if (!inSets(desired, rule.sources, packet.source)) return false;
  if (!inSets(desired, rule.destinations, packet.destination)) return false;
  return !rule.services || rule.services.some((service) => serves(service, packet));
}

export interface Walked {
  action: 'allow' | 'drop' | 'reject';
  /** The key that decided; absent: the default. */
  key?: string;
  passed: string[];
  observed: string[];
}

export function walk(desired: Desired, workload: string, direction: Direction, packet: Packet): Walked {
  const index = desired.indexes.get(workload);
  if (!index) throw new Error(`no index table for ${workload}`);
  const passed: string[] = [];
  const observed: string[] = [];
  category: for (const keys of index[direction]) {
    for (const key of keys) {
      const rule = desired.rules.get(key);
      if (!rule) throw new Error(`rule ${key} is used but not there`);
      if (!matches(desired, rule, packet)) continue;
      if (rule.mode === 'observe') {
        observed.push(key);
      } else if (rule.action === 'pass') {
        passed.push(key);
        continue category;
      } else {
        return { action: rule.action, key, passed, observed };
      }
    }
  }
  return { action: desired.defaultAction, passed, observed };
}
