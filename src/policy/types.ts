// What the steps of the policy's path hand to each other: read -> check -> resolve -> lower -> publish.
import type {
  EnginePortal,
  EngineProfile,
  EngineSegment,
  EngineServiceTag,
  EngineWorkload,
  IndexEntry,
  SharedRule,
} from '../engine/messages.js';
import type {
  AppliedTo,
  HostSpec,
  SecurityPolicyDocument,
  Selection,
  ServiceDocument,
} from '../documents/index.js';
import type { Kinds } from './kinds.js';
import type { Addresses, Names, World } from './resolve.js';
import type { Uses } from './uses.js';

export type Direction = 'in' | 'out';
export type Action = 'allow' | 'drop' | 'reject' | 'pass';
export type Mode = 'enforce' | 'observe';
export type Timeouts = NonNullable<HostSpec['timeouts']>;
export type Limits = NonNullable<HostSpec['limits']>;

/** A rule by the name that people know it by, and where it is written. */
export interface RuleReference {
  /** `policy/rule`: survives edits and reordering. */
  id: string;
  file: string;
  line: number;
  action: Action;
  mode: Mode;
}

export interface LoweredRule {
  reference: RuleReference;
  content: SharedRule;
  /** All of its index entry but the place in the order. */
  entry: Omit<IndexEntry, 'order'>;
}

/** What a policy comes to, whatever the other documents hold: a function of it and of the services that it names. */
export interface LoweredPolicy {
  document: SecurityPolicyDocument;
  services: readonly ServiceDocument[];
  name: string;
  category: number;
  priority: number;
  /** How its connections are followed; absent: as the host has it. */
  profile: EngineProfile | undefined;
  /** As the document orders them. */
  rules: readonly LoweredRule[];
  /** Where each rule stands in `rules`, by its id. */
  places: ReadonlyMap<string, number>;
  /** What it uses, by name. */
  addressSets: ReadonlyMap<string, AddressSource>;
  scopes: ReadonlyMap<string, ScopeSource>;
}

/** What an address set is of: a group by its name, or what a rule selects itself. */
export type AddressSource = string | Selection;

/** What both select; absent: all workloads and trackers. */
export interface ScopeSource {
  policy: AppliedTo | undefined;
  rule: AppliedTo | undefined;
  /** Of a service insertion: only the workloads of its client. */
  segment?: string;
}

export interface DesiredAddressSet {
  source: AddressSource;
  addresses: Addresses;
}

export interface DesiredScope {
  source: ScopeSource;
  digest: string;
  workloads: Names;
}

export interface PlacedPolicy {
  policy: LoweredPolicy;
  /** The order of each of its rules' entries. */
  orders: readonly number[];
}

/**
 * The whole state that the engine should have, each thing under its name. What two of them have in common is the same
 * object where one was compiled from the other.
 */
export interface Desired {
  defaultAction: 'allow' | 'drop';
  /** Those that the Host document sets; the engine's defaults for the rest. */
  timeouts: Timeouts;
  /** Likewise. */
  limits: Limits;
  tracking: HostSpec['tracking'];
  /** That policies name, each once. */
  profiles: readonly EngineProfile[];
  addressSets: ReadonlyMap<string, DesiredAddressSet>;
  segments: ReadonlyMap<string, EngineSegment>;
  workloads: ReadonlyMap<string, EngineWorkload>;
  scopes: ReadonlyMap<string, DesiredScope>;
  /** Rules and index entries, by policy, in the order in which they are judged. */
  policies: ReadonlyMap<string, PlacedPolicy>;
  /** The rules of service insertions, likewise; their names begin with `insertion:`. */
  insertions: ReadonlyMap<string, PlacedPolicy>;
  portals: ReadonlyMap<string, EnginePortal>;
  tags: ReadonlyMap<string, EngineServiceTag>;
  /** How many entries refer to each rule, by key. */
  ruleUses: Uses;
}

/** From the engine's entries back to the rules that people wrote. */
export interface Report {
  /** The rule of this id, `policy/rule`. */
  rule(id: string): RuleReference | undefined;
  /** Where the default action is set: its Host document; undefined when there is none. */
  host: { file: string; line: number } | undefined;
}

export interface Lowered {
  desired: Desired;
  report: Report;
  /** What the next compile goes on from. */
  kinds: Kinds;
  world: World;
  addressSetUses: Uses;
  scopeUses: Uses;
}
