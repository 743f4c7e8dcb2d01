// Resolved policy -> the state that the engine should have: shared rules, address sets, and for each workload
// one index table per direction.
//
// A rule is stored once, under the digest of its content; index tables list keys in the order of judging.
// Workloads in the same scopes have the same tables, so each distinct table is built and digested once, however
// many workloads share it. A second rule with the same content in one category can never decide anything and
// is left out of the table; both keep their ids in the documents, and reports name the first.
import type { Document } from '../documents/index.js';
import { deviceOf, attachKind } from '../documents/index.js';
import { formatRange } from '../documents/ip.js';
import { gatewaysOf } from '../documents/workload.js';
import type {
  AddressSet,
  Attach,
  EngineSegment,
  EngineWorkload,
  IndexTables,
  SharedRule,
} from '../engine/messages.js';
import { digest } from './names.js';
import type { Resolved, ResolvedRule, ResolvedWorkload } from './resolve.js';
import { resolve } from './resolve.js';
import type { Desired, Direction, Lowered, Report, RuleReference } from './types.js';

const CATEGORY_COUNT = 4;

/** Documents without errors -> the engine's state: resolve and lower. */
export function compile(documents: readonly Document[]): Lowered {
  return lower(resolve(documents));
}

/** Resolved policy -> the engine's state. */
export function lower(resolved: Resolved): Lowered {
  const shared = resolved.rules.map(sharedRule);
  const tables = new Tables(
    resolved,
    shared.map((rule) => rule.key),
  );
  const indexes = new Map<string, IndexTables>();
  for (const [i, { name }] of resolved.workloads.entries()) {
    const { digest, in: towards, out } = tables.of(i);
    indexes.set(name, { workload: name, digest, in: towards, out });
  }
  const desired: Desired = {
    defaultAction: resolved.defaultAction,
    timeouts: resolved.timeouts,
    addressSets: new Map(
      [...resolved.addressSets].map(([name, ranges]) => [name, addressSet(name, ranges.map(formatRange))]),
    ),
    // Rules that apply to no workload stay here: they cost little and are there when one comes.
    rules: new Map(shared.map((rule) => [rule.key, rule])),
    segments: new Map(resolved.segments.map((document) => [document.metadata.name, engineSegment(document)])),
    workloads: new Map(resolved.workloads.map((workload) => [workload.name, engineWorkload(workload)])),
    indexes,
  };
  return { desired, report: makeReport(resolved, shared, tables) };
}

function sharedRule(rule: ResolvedRule): SharedRule {
  const content = {
    ...(rule.sources && { sources: rule.sources }),
    ...(rule.destinations && { destinations: rule.destinations }),
    ...(rule.services && { services: rule.services }),
    action: rule.action,
    mode: rule.mode,
    log: rule.log,
    onChange: rule.onChange,
  };
  return { key: digest(JSON.stringify(content)), ...content };
}

function addressSet(name: string, ranges: string[]): AddressSet {
  return { name, digest: digest(ranges.join()), ranges };
}

function engineSegment({ metadata: { name }, spec }: Resolved['segments'][number]): EngineSegment {
  const content = {
    ...(spec.vlan !== undefined && { vlan: spec.vlan }),
    ...(spec.innerVlan !== undefined && { innerVlan: spec.innerVlan }),
    tracker: spec.tracker ?? name,
  };
  return { name, digest: digest(JSON.stringify(content)), ...content };
}

function engineWorkload({ name, document, mac, addresses }: ResolvedWorkload): EngineWorkload {
  const content = {
    segment: document.spec.segment,
    attach: engineAttach(document, mac),
    ...(mac !== undefined && { mac }),
    ...(addresses && { addresses: addresses.map(formatRange) }),
  };
  return { name, digest: digest(JSON.stringify(content)), ...content };
}

function engineAttach({ spec }: ResolvedWorkload['document'], mac: string | undefined): Attach {
  const { tap } = spec.attach;
  const kind = attachKind(spec);
  if (kind !== 'tap' || !tap || mac === undefined)
    return { kind: kind === 'veth' ? 'veth' : 'nic', device: deviceOf(spec) };
  return {
    kind,
    ...(tap.netns !== undefined && { netns: tap.netns }),
    device: tap.name,
    mac,
    addresses: tap.addresses ?? [],
    gateways: gatewaysOf(spec),
    ...(tap.mtu !== undefined && { mtu: tap.mtu }),
  };
}

interface Table {
  digest: string;
  in: string[][];
  out: string[][];
  /** Indexes of the rules behind `in` and `out`. */
  rules: number[];
  byKey: { in: Map<string, number>; out: Map<string, number> } | undefined;
}

/** The distinct index tables, by the scopes that a workload is in. */
class Tables {
  private readonly tables = new Map<string, Table>();
  private readonly repeated: Set<string>;

  constructor(
    private readonly resolved: Resolved,
    private readonly keys: string[],
  ) {
    const seen = new Set<string>();
    this.repeated = new Set(keys.filter((key) => seen.has(key) || !seen.add(key)));
  }

  of(workload: number): Table {
    const membership = this.resolved.scopes.map((scope) => scope[workload]).join('');
    let table = this.tables.get(membership);
    if (!table) this.tables.set(membership, (table = this.build(workload)));
    return table;
  }

  ruleBehind(workload: number, direction: Direction, key: string): number | undefined {
    const table = this.of(workload);
    table.byKey ??= this.byKey(table);
    return table.byKey[direction].get(key);
  }

  private build(workload: number): Table {
    const { scopes, rules } = this.resolved;
    const emptyTable = () => Array.from({ length: CATEGORY_COUNT }, () => [] as string[]);
    const table: Table = { digest: '', in: emptyTable(), out: emptyTable(), rules: [], byKey: undefined };
    const seen = new Set<string>();
    for (const [i, rule] of rules.entries()) {
      if (!scopes[rule.scope]?.[workload]) continue;
      table.rules.push(i);
      const key = this.keys[i] ?? '';
      for (const direction of ['in', 'out'] as const) {
        if (!rule[direction]) continue;
        if (this.repeated.has(key)) {
          const place = `${direction} ${rule.category} ${key}`;
          if (seen.has(place)) continue;
          seen.add(place);
        }
        table[direction][rule.category]?.push(key);
      }
    }
    table.digest = digest(JSON.stringify([table.in, table.out]));
    return table;
  }

  private byKey(table: Table): NonNullable<Table['byKey']> {
    const found = { in: new Map<string, number>(), out: new Map<string, number>() };
    for (const i of table.rules) {
      const rule = this.resolved.rules[i];
      const key = this.keys[i] ?? '';
      for (const direction of ['in', 'out'] as const) {
        if (rule?.[direction] && !found[direction].has(key)) found[direction].set(key, i);
      }
    }
    return found;
  }
}

function makeReport(resolved: Resolved, shared: SharedRule[], tables: Tables): Report {
  const workloads = new Map(resolved.workloads.map(({ name }, i) => [name, i]));
  const first = new Map<string, RuleReference>();
  const keys = new Map<string, string>();
  for (const [i, { key }] of shared.entries()) {
    const reference = resolved.rules[i]?.reference;
    if (!reference) continue;
    if (!first.has(key)) first.set(key, reference);
    keys.set(reference.id, key);
  }
  return {
    rule(workload, direction, key) {
      const i = workloads.get(workload);
      const rule = i === undefined ? undefined : tables.ruleBehind(i, direction, key);
      return rule === undefined ? undefined : resolved.rules[rule]?.reference;
    },
    anyRule: (key) => first.get(key),
    keyOf: (id) => keys.get(id),
    host: resolved.host,
  };
}
