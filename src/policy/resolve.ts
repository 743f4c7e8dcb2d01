// Names and labels -> workloads and addresses.
//
// Every selection that rules use becomes one or more named address sets: a group is `group:NAME` wherever it is
// used, what a rule lists itself is `inline:DIGEST` of the selection's text. So the name stays the same when
// workloads come and go, and only the set's content changes. A selection that finds no address is an empty set:
// it matches nothing, and never turns into "any".
//
// Where rules apply becomes scopes: bitmaps over the workloads, shared by all rules with the same appliedTo.
import type {
  Document,
  GroupDocument,
  Rule,
  SecurityPolicyDocument,
  SegmentDocument,
  Selection,
  ServiceEntry,
  WorkloadDocument,
  WorkloadSelector,
} from '../documents/index.js';
import { addressesOf, macOf, ofKind, protocolNumber } from '../documents/index.js';
import { parsePorts } from '../documents/fields.js';
import type { Range } from '../documents/ip.js';
import { mergeRanges, parseRange } from '../documents/ip.js';
import { selects } from '../documents/selection.js';
import type { ServiceMatch } from '../engine/messages.js';
import { canonical, digest, ruleIds } from './names.js';
import { categoryOf, orderedPolicies } from './order.js';
import type { Action, Mode, RuleReference, Timeouts } from './types.js';

export interface ResolvedWorkload {
  document: WorkloadDocument;
  name: string;
  mac: string | undefined;
  /** All it may use; absent: any. */
  addresses: Range[] | undefined;
}

export interface ResolvedRule {
  reference: RuleReference;
  /** Place of the category, 0 is judged first. */
  category: number;
  in: boolean;
  out: boolean;
  /** Names of address sets; absent: any. Never empty. */
  sources: string[] | undefined;
  destinations: string[] | undefined;
  services: ServiceMatch[] | undefined;
  action: Action;
  mode: Mode;
  log: boolean;
  onChange: 'reevaluate' | 'keep' | 'reset';
  /** Index into `scopes`. */
  scope: number;
}

export interface Resolved {
  defaultAction: 'allow' | 'drop';
  host: { file: string; line: number } | undefined;
  timeouts: Timeouts;
  segments: SegmentDocument[];
  workloads: ResolvedWorkload[];
  /** The address sets that rules use. */
  addressSets: Map<string, Range[]>;
  /** For each scope: 1 at the index of every workload in it. */
  scopes: Uint8Array[];
  /** In the order in which they are judged. */
  rules: ResolvedRule[];
}

/** Groups, labels and names -> workloads and address ranges. Throws on references that `check` would refuse. */
export function resolve(documents: readonly Document[]): Resolved {
  const host = ofKind(documents, 'Host')[0];
  const workloads = ofKind(documents, 'Workload')
    .map((document) => ({
      document,
      name: document.metadata.name,
      mac: macOf(document.metadata.name, document.spec),
      addresses: addressesOf(document.metadata.name, document.spec),
    }))
    .sort(byName);
  const selections = new Selections(workloads, ofKind(documents, 'Group'));
  const services = new Map(
    ofKind(documents, 'Service').map((service) => [service.metadata.name, service.spec.entries]),
  );
  const rules = orderedPolicies(documents).flatMap((policy) => resolvePolicy(policy, selections, services));
  return {
    defaultAction: host?.spec.default ?? 'allow',
    host: host && { file: host.origin.file, line: host.origin.line },
    timeouts: host?.spec.timeouts ?? {},
    segments: ofKind(documents, 'Segment').sort((a, b) => byName(a.metadata, b.metadata)),
    workloads,
    addressSets: selections.addressSets,
    scopes: selections.scopes,
    rules,
  };
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function resolvePolicy(
  policy: SecurityPolicyDocument,
  selections: Selections,
  services: Map<string, ServiceEntry[]>,
): ResolvedRule[] {
  const category = categoryOf(policy);
  const ids = ruleIds(policy);
  return policy.spec.rules.map((rule, i) => {
    const mode = rule.mode ?? policy.spec.mode ?? 'enforce';
    const line = policy.origin.rules?.[i] ?? policy.origin.line;
    return {
      reference: { id: ids[i] ?? '', file: policy.origin.file, line, action: rule.action, mode },
      category,
      in: rule.direction !== 'out',
      out: rule.direction !== 'in',
      sources: rule.from && selections.addressSetsOf(rule.from),
      destinations: rule.to && selections.addressSetsOf(rule.to),
      services: rule.services && servicesOf(rule.services, services),
      action: rule.action,
      mode,
      log: rule.log ?? false,
      onChange: rule.onChange ?? 'reevaluate',
      scope: selections.scopeOf(policy.spec.appliedTo, rule.appliedTo),
    };
  });
}

function servicesOf(
  listed: NonNullable<Rule['services']>,
  named: Map<string, ServiceEntry[]>,
): ServiceMatch[] {
  return listed.flatMap((one) => {
    const entries = typeof one === 'string' ? named.get(one) : [one];
    if (!entries) throw new Error(`service "${String(one)}" does not exist`);
    return entries.map(matchOf);
  });
}

/** A service entry in the engine's terms. */
export function matchOf(entry: ServiceEntry): ServiceMatch {
  const bounds = (ports: (number | string)[]) =>
    ports.flatMap((text) => [parsePorts(text) ?? []] as [number, number][]);
  const protocol = protocolNumber(entry.protocol);
  return {
    ...(protocol !== undefined && { protocol }),
    ...(entry.ports && { ports: bounds(entry.ports) }),
    ...(entry.sourcePorts && { sourcePorts: bounds(entry.sourcePorts) }),
    ...(entry.icmpType !== undefined && { icmpType: entry.icmpType }),
    ...(entry.icmpCode !== undefined && { icmpCode: entry.icmpCode }),
  };
}

/** What selections mean, each worked out once. */
class Selections {
  readonly addressSets = new Map<string, Range[]>();
  readonly scopes: Uint8Array[] = [];
  private readonly scopeIndexes = new Map<string, number>();
  private readonly groups: Map<string, GroupDocument>;
  private readonly members = new Map<string, Uint8Array>();
  private readonly groupRanges = new Map<string, Range[]>();

  constructor(
    private readonly workloads: ResolvedWorkload[],
    groups: GroupDocument[],
  ) {
    this.groups = new Map(groups.map((group) => [group.metadata.name, group]));
  }

  /** Names of the address sets whose union the selection is; never none. */
  addressSetsOf(selection: Selection): string[] {
    const { groups = [], ...own } = selection;
    const names = new Set<string>();
    for (const group of groups) {
      names.add(`group:${group}`);
      if (!this.addressSets.has(`group:${group}`))
        this.addressSets.set(`group:${group}`, this.rangesOfGroup(group));
    }
    if (Object.keys(own).length > 0 || names.size === 0) {
      const name = `inline:${digest(canonical(own))}`;
      names.add(name);
      if (!this.addressSets.has(name)) this.addressSets.set(name, mergeRanges(this.rangesOf(own)));
    }
    return [...names].sort();
  }

  /** The scope of a rule: its policy's appliedTo and its own, both. Absent: all workloads. */
  scopeOf(policy: Selection | undefined, rule: Selection | undefined): number {
    const key = canonical([policy, rule]);
    let index = this.scopeIndexes.get(key);
    if (index === undefined) {
      const all = new Uint8Array(this.workloads.length).fill(1);
      const [a, b] = [policy, rule].map((selection) => (selection ? this.workloadsOf(selection) : all));
      index = this.scopes.push(all.map((_, i) => (a?.[i] ?? 0) & (b?.[i] ?? 0))) - 1;
      this.scopeIndexes.set(key, index);
    }
    return index;
  }

  private workloadsOf(selection: Selection): Uint8Array {
    const bitmap = new Uint8Array(this.workloads.length);
    const add = (other: Uint8Array) => other.forEach((bit, i) => (bitmap[i] = (bitmap[i] ?? 0) | bit));
    if (selection.workloads) add(this.selected(selection.workloads));
    for (const group of selection.groups ?? []) add(this.workloadsOf(this.group(group).spec));
    return bitmap;
  }

  private selected(selector: WorkloadSelector): Uint8Array {
    const key = canonical(selector);
    let bitmap = this.members.get(key);
    if (!bitmap) {
      bitmap = Uint8Array.from(this.workloads, ({ name, document }) =>
        selects(selector, name, document.metadata.labels) ? 1 : 0,
      );
      this.members.set(key, bitmap);
    }
    return bitmap;
  }

  private rangesOf(selection: Selection): Range[] {
    const ranges = (selection.addresses ?? []).flatMap((text) => parseRange(text) ?? []);
    if (selection.workloads) {
      const bitmap = this.selected(selection.workloads);
      for (const [i, workload] of this.workloads.entries()) {
        if (bitmap[i]) ranges.push(...(workload.addresses ?? []));
      }
    }
    for (const group of selection.groups ?? [])
      for (const range of this.rangesOfGroup(group)) ranges.push(range);
    return ranges;
  }

  private rangesOfGroup(name: string): Range[] {
    let ranges = this.groupRanges.get(name);
    if (!ranges) {
      ranges = mergeRanges(this.rangesOf(this.group(name).spec));
      this.groupRanges.set(name, ranges);
    }
    return ranges;
  }

  private group(name: string): GroupDocument {
    const group = this.groups.get(name);
    if (!group) throw new Error(`group "${name}" does not exist`);
    return group;
  }
}
