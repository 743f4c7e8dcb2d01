// Judges a packet by what was published, as the engine is told to: the entries of the scopes that hold the workload,
// category by category, in their order. Written for tests only and as plainly as can be; it knows nothing of documents.
import type { SharedRule } from '../../src/engine/messages.js';
import { parseService } from '../../src/engine/service-text.js';
import type { Direction, Packet } from '../../src/policy/index.js';
import type { EngineModel } from '../support/engine-model.js';

type State = EngineModel['state'];

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

function inSets(state: State, sets: string[] | undefined, address: string): boolean {
  if (!sets) return true;
  return sets.some((name) => {
    const set = state.addressSets.get(name);
    if (!set) throw new Error(`address set ${name} is used but not there`);
    return set.ranges.some((range) => inRange(range, address));
  });
}

function serves(text: string, packet: Packet): boolean {
  const match = parseService(text);
  const listed = (ports: [number, number][] | undefined, port = 0) =>
    !ports || ports.some(([first, last]) => first <= port && port <= last);
  if (match.protocol !== packet.protocol) return false;
  if (!listed(match.ports, packet.destinationPort) || !listed(match.sourcePorts, packet.sourcePort))
    return false;
  if (match.icmpType !== undefined && match.icmpType !== (packet.icmpType ?? 0)) return false;
  return match.icmpCode === undefined || match.icmpCode === (packet.icmpCode ?? 0);
}

function matches(state: State, rule: SharedRule, packet: Packet): boolean {
  if (!inSets(state, rule.sources, packet.source)) return false;
  if (!inSets(state, rule.destinations, packet.destination)) return false;
  return !rule.services || rule.services.some((service) => serves(service, packet));
}

export interface Walked {
  action: 'allow' | 'drop' | 'reject';
  /** The id of the entry that decided; absent: the default. */
  rule?: string;
  passed: string[];
  observed: string[];
}

export function walk(state: State, workload: string, direction: Direction, packet: Packet): Walked {
  if (!state.workloads.has(workload)) throw new Error(`there is no workload ${workload}`);
  const passed: string[] = [];
  const observed: string[] = [];
  category: for (const category of [0, 1, 2, 3]) {
    const entries = [...state.entries.values()]
      .filter((entry) => entry.category === category)
      .filter((entry) => entry.direction === direction || entry.direction === 'both')
      .filter(({ scope }) => state.scopes.get(scope)?.workloads.has(workload))
      .sort((a, b) => a.order - b.order);
    for (const { id, rule: key } of entries) {
      const rule = state.rules.get(key);
      if (!rule) throw new Error(`rule ${key} is used but not there`);
      if (!matches(state, rule, packet)) continue;
      if (rule.mode === 'observe') {
        observed.push(id);
      } else if (rule.action === 'pass') {
        passed.push(id);
        continue category;
      } else {
        return { action: rule.action, rule: id, passed, observed };
      }
    }
  }
  if (state.defaultAction === undefined) throw new Error('nothing was published');
  return { action: state.defaultAction, passed, observed };
}
