// Draws flows that hit a set of documents: a rule is picked, a workload that it applies to, and a packet that its ends
// and services hold. Earlier rules may take the packet all the same; where the workload's own address is not in the
// rule's end, or the other end has no address of the family, the packet misses the rule.
import type {
  Document,
  Rule,
  SecurityPolicyDocument,
  Selection,
  ServiceEntry,
} from '../../documents/index.js';
import { addressesOf, ofKind, protocolNumber } from '../../documents/index.js';
import { parsePorts } from '../../documents/fields.js';
import type { Range } from '../../documents/ip.js';
import { contains, formatAddress, mergeRanges, parseRange } from '../../documents/ip.js';
import { selects } from '../../documents/selection.js';
import type { Packet } from '../../policy/evaluate.js';
import { subtract } from '../../policy/ranges.js';
import type { Direction } from '../../policy/types.js';
import type { Random } from './random.js';

/** corner: the ends of each range; uniform: anywhere in it. */
export const FLOW_KINDS = ['corner', 'uniform'] as const;
export type FlowKind = (typeof FLOW_KINDS)[number];

/** A new flow as one workload's rules are asked about it. */
export interface Flow {
  workload: string;
  direction: Direction;
  packet: Packet;
}

interface Place {
  name: string;
  labels: Record<string, string>;
  addresses: Range[];
}

export class FlowDraw {
  private readonly places: Place[];
  private readonly groups: Map<string, Selection>;
  private readonly services: Map<string, ServiceEntry[]>;
  private readonly rules: { policy: SecurityPolicyDocument; rule: Rule }[];
  private readonly ranges = new Map<string, Range[]>();
  private readonly scopes = new Map<string, Place[]>();

  constructor(
    documents: readonly Document[],
    private readonly random: Random,
  ) {
    this.places = ofKind(documents, 'Workload').map(({ metadata: { name, labels }, spec }) => ({
      name,
      labels,
      addresses: addressesOf(name, spec) ?? [],
    }));
    this.groups = new Map(ofKind(documents, 'Group').map((group) => [group.metadata.name, group.spec]));
    this.services = new Map(ofKind(documents, 'Service').map((one) => [one.metadata.name, one.spec.entries]));
    this.rules = ofKind(documents, 'SecurityPolicy').flatMap((policy) =>
      policy.spec.rules.map((rule) => ({ policy, rule })),
    );
    if (this.rules.length === 0 || this.places.length === 0)
      throw new Error('flows need at least one rule and one workload: there is none');
  }

  draw(kind: FlowKind): Flow {
    const { random } = this;
    const { policy, rule } = random.pick(this.rules);
    const scope = this.scopeOf(policy.spec.appliedTo, rule.appliedTo);
    const place = random.pick(scope.length > 0 ? scope : this.places);
    const direction =
      rule.direction === 'in' || rule.direction === 'out'
        ? rule.direction
        : random.pick(['in', 'out'] as const);
    const [own, other] = direction === 'in' ? [rule.to, rule.from] : [rule.from, rule.to];
    const ownRange = this.ownRange(place, own);
    const near = this.within(ownRange, kind);
    const far = this.within(this.farRange(other, ownRange.family), kind);
    const [source, destination] = direction === 'in' ? [far, near] : [near, far];
    return {
      workload: place.name,
      direction,
      packet: { ...this.headers(rule, kind, ownRange.family), source, destination },
    };
  }

  private within({ family, first, last }: Range, kind: FlowKind): string {
    const { random } = this;
    const ends = random.chance(0.5) ? first : last;
    return formatAddress({ family, value: kind === 'corner' ? ends : random.betweenBig(first, last) });
  }

  private ownRange({ addresses }: Place, selection: Selection | undefined): Range {
    const held = selection && this.rangesOf(selection);
    const fits = addresses.filter(
      ({ family, first }) => !held || held.some((range) => contains(range, { family, value: first })),
    );
    return this.random.pick(
      fits.length > 0 ? fits : addresses.length > 0 ? addresses : [parseRange('192.0.2.1') as Range],
    );
  }

  private farRange(selection: Selection | undefined, family: 4 | 6): Range {
    const ranges = selection ? this.rangesOf(selection) : this.random.pick(this.places).addresses;
    const fits = ranges.filter((range) => range.family === family);
    const anywhere = parseRange(family === 4 ? '198.51.100.0/24' : '2001:db8:ffff::/64') as Range;
    return fits.length > 0 ? this.random.pick(fits) : anywhere;
  }

  private headers(rule: Rule, kind: FlowKind, family: 4 | 6): Omit<Packet, 'source' | 'destination'> {
    const { random } = this;
    const entries = rule.services?.flatMap((one) =>
      typeof one === 'string' ? (this.services.get(one) ?? []) : [one],
    );
    const entry = entries ? random.pick(entries) : { protocol: random.pick(['tcp', 'udp']) };
    const protocol = protocolNumber(entry.protocol) ?? 6;
    const port = (ports: (number | string)[] | undefined) => {
      const [first, last] = (ports && parsePorts(random.pick(ports))) ?? [0, 65535];
      return kind === 'corner' ? (random.chance(0.5) ? first : last) : random.between(first, last);
    };
    if (protocol === 6 || protocol === 17 || protocol === 132)
      return { protocol, sourcePort: port(entry.sourcePorts), destinationPort: port(entry.ports) };
    if (protocol !== 1 && protocol !== 58) return { protocol };
    const echo = family === 4 ? 8 : 128;
    return { protocol, icmpType: entry.icmpType ?? echo, icmpCode: entry.icmpCode ?? 0 };
  }

  private scopeOf(policy: Selection | undefined, rule: Selection | undefined): Place[] {
    const key = JSON.stringify([policy, rule]);
    let scope = this.scopes.get(key);
    if (!scope) {
      scope = this.places.filter(
        (place) => (!policy || this.holds(policy, place)) && (!rule || this.holds(rule, place)),
      );
      this.scopes.set(key, scope);
    }
    return scope;
  }

  private holds(selection: Selection, place: Place): boolean {
    const { workloads, groups = [], except } = selection;
    if (except && this.holds(except, place)) return false;
    if (workloads && selects(workloads, place.name, place.labels)) return true;
    return groups.some((name) => this.holds(this.groups.get(name) ?? {}, place));
  }

  private rangesOf(selection: Selection): Range[] {
    const key = JSON.stringify(selection);
    let ranges = this.ranges.get(key);
    if (!ranges) {
      const { workloads, addresses = [], groups = [], except } = selection;
      const members = workloads
        ? this.places.filter(({ name, labels }) => selects(workloads, name, labels))
        : [];
      const all = [
        ...members.flatMap((place) => place.addresses),
        ...addresses.flatMap((text) => parseRange(text) ?? []),
        ...groups.flatMap((name) => this.rangesOf(this.groups.get(name) ?? {})),
      ];
      ranges = except ? subtract(mergeRanges(all), mergeRanges(this.rangesOf(except))) : all;
      this.ranges.set(key, ranges);
    }
    return ranges;
  }
}
