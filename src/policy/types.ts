// What the steps of the policy's path hand to each other: read -> check -> resolve -> lower -> publish.
import type {
  AddressSet,
  EngineSegment,
  EngineWorkload,
  IndexTables,
  SharedRule,
} from '../engine/messages.js';
import type { HostSpec } from '../documents/index.js';

export type Direction = 'in' | 'out';
export type Action = 'allow' | 'drop' | 'reject' | 'pass';
export type Mode = 'enforce' | 'observe';
export type Timeouts = NonNullable<HostSpec['timeouts']>;

/** A rule by the name that people know it by, and where it is written. */
export interface RuleReference {
  /** `policy/rule`: survives edits and reordering. */
  id: string;
  file: string;
  line: number;
  action: Action;
  mode: Mode;
}

/** The whole state that the engine should have, each thing under its name or digest. */
export interface Desired {
  defaultAction: 'allow' | 'drop';
  /** Those that the Host document sets; the engine's defaults for the rest. */
  timeouts: Timeouts;
  addressSets: Map<string, AddressSet>;
  rules: Map<string, SharedRule>;
  segments: Map<string, EngineSegment>;
  workloads: Map<string, EngineWorkload>;
  indexes: Map<string, IndexTables>;
}

/** From the engine's rule keys back to the rules that people wrote. */
export interface Report {
  /**
   * The rule behind a key at one workload and direction. Where equal rules apply to a workload twice, the one that
   * is judged first.
   */
  rule(workload: string, direction: Direction, key: string): RuleReference | undefined;
  /** The rule behind a key when the place is not known: the first that has this content. */
  anyRule(key: string): RuleReference | undefined;
  /** The engine's key of the rule with this id. */
  keyOf(id: string): string | undefined;
  /** Where the default action is set: its Host document; undefined when there is none. */
  host: { file: string; line: number } | undefined;
}

export interface Lowered {
  desired: Desired;
  report: Report;
}
