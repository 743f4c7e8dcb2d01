// What a change of documents means before anything is done: which documents and fields change, how many rules
// and workloads that touches, and the delta that would go to the engine.
import { isDeepStrictEqual } from 'node:util';
import type { Delta } from '../engine/messages.js';
import type { Document, Kind, Origin } from '../documents/index.js';
import { documentKey, KINDS } from '../documents/index.js';
import { compile } from './compile.js';
import { difference } from './difference.js';
import { ruleIds } from './names.js';
import { change } from './publish.js';
import type { Desired, LoweredRule } from './types.js';

export interface FieldChange {
  /** `spec.rules[web-in].action`: rules go by the name in their id, list entries by position. */
  path: string;
  /** Absent: the field is new. */
  before?: unknown;
  /** Absent: the field is gone. */
  after?: unknown;
}

export interface DocumentChange {
  change: 'added' | 'changed' | 'removed';
  kind: Kind;
  name: string;
  origin: Origin;
  /** Only for `changed`. */
  fields: FieldChange[];
}

export interface Plan {
  /** In the order kind, name. */
  changes: DocumentChange[];
  unchanged: number;
  /** What changes in the engine: a workload counts when its rules or its attachment change. */
  counts: {
    rulesAdded: number;
    rulesChanged: number;
    rulesRemoved: number;
    workloadsTouched: number;
    addressSetsTouched: number;
  };
  /** What publishing would send to an engine that holds the old documents. */
  delta: Delta;
}

/** What two whole sets of documents come to, where that is known already. */
interface Compiled {
  before: Desired;
  after: Desired;
}

/** Compares two whole sets of documents, both read and checked without errors. */
export function plan(
  before: readonly Document[],
  after: readonly Document[],
  compiled: Compiled = { before: compile(before).desired, after: compile(after).desired },
): Plan {
  const { changes, unchanged } = changedDocuments(before, after);
  const delta = change(compiled.before, compiled.after);
  return { changes, unchanged, counts: countsOf(delta, compiled), delta };
}

function changedDocuments(
  before: readonly Document[],
  after: readonly Document[],
): Pick<Plan, 'changes' | 'unchanged'> {
  const { fresh, gone, replaced } = difference(before, after);
  const changes: DocumentChange[] = [];
  const note = (change: DocumentChange['change'], document: Document, fields: FieldChange[] = []) =>
    changes.push({
      change,
      kind: document.kind,
      name: document.metadata.name,
      origin: document.origin,
      fields,
    });
  let unchanged = after.length - fresh.length;
  for (const document of fresh) {
    const previous = replaced.get(documentKey(document))?.before;
    if (!previous) note('added', document);
    else if (sameDocument(previous, document)) unchanged++;
    else note('changed', document, changedFields(previous, document));
  }
  for (const document of gone) if (!replaced.has(documentKey(document))) note('removed', document);
  changes.sort((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || (a.name < b.name ? -1 : 1));
  return { changes, unchanged };
}

/** What a delta from the one state to the other touches. */
export function countsOf(delta: Delta, { before, after }: Compiled): Plan['counts'] {
  const { setEntries = [], removeEntries = [], editScopes = [] } = delta;
  const changed = setEntries.flatMap(({ id }) => (ruleOf(before, id) ? [id] : []));
  return {
    rulesAdded: setEntries.length - changed.length,
    rulesChanged: changed.length,
    rulesRemoved: removeEntries.length,
    workloadsTouched: new Set([
      ...(delta.setWorkloads ?? []).map(({ name }) => name),
      ...(delta.removeWorkloads ?? []),
      ...editScopes.flatMap(({ add, remove }) => [...add, ...remove]),
      ...workloadsOf(after, new Set(setEntries.map(({ scope }) => scope))),
      ...workloadsOf(before, scopesOf(before, removeEntries)),
      ...workloadsOf(before, scopesOf(before, changed)),
    ]).size,
    addressSetsTouched: [delta.setAddressSets, delta.editAddressSets, delta.removeAddressSets].reduce(
      (sum, list) => sum + (list?.length ?? 0),
      0,
    ),
  };
}

function ruleOf({ policies }: Desired, id: string): LoweredRule | undefined {
  const policy = policies.get(id.slice(0, id.indexOf('/')))?.policy;
  return policy?.rules[policy.places.get(id) ?? -1];
}

function scopesOf(desired: Desired, ids: readonly string[]): Set<string> {
  return new Set(ids.flatMap((id) => ruleOf(desired, id)?.entry.scope ?? []));
}

/** The workloads of these scopes. */
function workloadsOf({ scopes }: Desired, names: Set<string>): Set<string> {
  return new Set([...names].flatMap((name) => [...(scopes.get(name)?.workloads ?? [])]));
}

/** Whether two documents say the same; where they are written does not count. */
export function sameDocument(a: Document, b: Document): boolean {
  return a.kind === b.kind && isDeepStrictEqual(a.metadata, b.metadata) && isDeepStrictEqual(a.spec, b.spec);
}

function changedFields(before: Document, after: Document): FieldChange[] {
  const labels = compare('metadata.labels', before.metadata.labels, after.metadata.labels);
  if (before.kind !== 'SecurityPolicy' || after.kind !== 'SecurityPolicy') {
    return [...labels, ...compare('spec', before.spec, after.spec)];
  }
  // Rules by name: an inserted rule is one addition, not a change of all that follow.
  const named = ({ rules, ...spec }: typeof before.spec, ids: string[]) => ({
    spec,
    rules: new Map(rules.map((rule, i) => [ids[i]?.slice(ids[i].indexOf('/') + 1) ?? '', rule])),
  });
  const old = named(before.spec, ruleIds(before));
  const now = named(after.spec, ruleIds(after));
  const fields = [...labels, ...compare('spec', old.spec, now.spec)];
  for (const name of new Set([...old.rules.keys(), ...now.rules.keys()])) {
    fields.push(...compare(`spec.rules[${name}]`, old.rules.get(name), now.rules.get(name)));
  }
  const kept = (a: Map<string, unknown>, b: Map<string, unknown>) =>
    [...a.keys()].filter((name) => b.has(name));
  const [oldOrder, newOrder] = [kept(old.rules, now.rules), kept(now.rules, old.rules)];
  if (!isDeepStrictEqual(oldOrder, newOrder))
    fields.push({ path: 'spec.rules (order)', before: oldOrder, after: newOrder });
  return fields;
}

function compare(path: string, before: unknown, after: unknown): FieldChange[] {
  if (isDeepStrictEqual(before, after)) return [];
  if (isMap(before) && isMap(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) => compare(`${path}.${key}`, before[key], after[key]));
  }
  return [{ path, ...(before !== undefined && { before }), ...(after !== undefined && { after }) }];
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
