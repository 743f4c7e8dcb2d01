// Checks a set of documents, compiles it, and says what it finds. After a change only what has changed is looked at:
// whatever else was found of the set before still holds.
import { isDeepStrictEqual } from 'node:util';
import type { Document, DocumentError } from '../documents/index.js';
import { documentKey } from '../documents/index.js';
import { checkAttachments } from './check-attachments.js';
import { checkCycles, checkHelpers, checkProfiles, checkReferences, checkUnique } from './check.js';
import type { Checked, Find } from './check.js';
import { checkServices } from './check-services.js';
import { compile } from './compile.js';
import type { Replacement } from './difference.js';
import { difference } from './difference.js';
import { Kinds } from './kinds.js';
import { warnAboutNothing } from './nothing.js';
import { placedOf } from './publish.js';
import type { Desired, Lowered, LoweredPolicy } from './types.js';

/** A set of documents that was checked, with what it comes to. */
export interface Examined extends Checked {
  all: readonly Document[];
  /** Absent with any error. */
  lowered: Lowered | undefined;
  /** What is to be warned of: how workloads are attached, and what each policy selects in vain, by its name. */
  attachments: DocumentError[];
  nothing: ReadonlyMap<string, DocumentError[]>;
}

/** Checks what documents say about each other; they must have been read without errors. */
export function check(documents: readonly Document[]): Checked {
  const { errors, warnings } = examine(documents);
  return { errors, warnings };
}

/**
 * Checks documents and compiles them. `previous` is what was found of a set that has most of its documents, the same
 * objects, in common with these.
 */
export function examine(documents: readonly Document[], previous?: Examined): Examined {
  const base = previous?.lowered ? previous : undefined;
  const { fresh, gone, replaced } = difference(base?.all ?? [], documents);
  const errors: DocumentError[] = [];
  const namesStay = gone.every((one) => one.kind === 'SecurityPolicy' || replaced.has(documentKey(one)));
  const attachmentsStay =
    base && [...fresh, ...gone].every((one) => isAttachedAs(one, replaced.get(documentKey(one)), base));
  const attachments = attachmentsStay ? base.attachments : [];
  if (replaced.size < fresh.length) checkUnique(documents, into(errors));
  const kinds = Kinds.of(documents, base?.lowered?.kinds);
  checkReferences(namesStay ? fresh : documents, kinds, into(errors));
  if (fresh.some(({ kind }) => kind === 'SecurityPolicy')) checkProfiles(kinds, into(errors));
  if (fresh.some(({ kind }) => kind === 'SecurityPolicy' || kind === 'Service'))
    checkHelpers(kinds, into(errors));
  if (fresh.some(({ kind }) => kind === 'Group')) checkCycles(documents, into(errors));
  if (!attachmentsStay) checkAttachments(documents, into(errors), into(attachments));
  // They may refer to what has changed, and are few.
  if (errors.length === 0) checkServices(documents, into(errors));
  const lowered = errors.length === 0 ? compile(documents, base?.lowered) : undefined;
  const nothing = lowered ? selectedInVain(lowered.desired, base) : new Map<string, DocumentError[]>();
  const warnings = [...attachments, ...[...nothing.values()].flat()];
  return { errors, warnings, all: documents, lowered, attachments, nothing };
}

function into(list: DocumentError[]): Find {
  return ({ origin }, path, message, line = origin.line) =>
    list.push({ file: origin.file, line, column: 1, path, message });
}

/** Whether a document that came or went leaves alone how workloads are attached; labels, for one, do. */
function isAttachedAs(
  one: Document,
  replacement: Replacement | undefined,
  { attachments }: Examined,
): boolean {
  if (one.kind !== 'Workload')
    return !['Segment', 'Host', 'Tracker', 'EdgePair', 'Tunnel'].includes(one.kind);
  if (!replacement) return false;
  const { before, after } = replacement;
  // Where something stands is part of a warning.
  const moved = attachments.length > 0 && !isDeepStrictEqual(before.origin, after.origin);
  return !moved && isDeepStrictEqual(before.spec, after.spec);
}

function selectedInVain(desired: Desired, base: Examined | undefined): Map<string, DocumentError[]> {
  const before = base?.lowered?.desired;
  const found = new Map<string, DocumentError[]>();
  for (const [name, { policy }] of placedOf(desired)) {
    const known = before?.policies.get(name) ?? before?.insertions.get(name);
    const isKnown = before !== undefined && known?.policy === policy && findsTheSame(policy, before, desired);
    const warnings = (isKnown ? base?.nothing.get(name) : undefined) ?? [];
    if (!isKnown) warnAboutNothing(policy, desired, into(warnings));
    found.set(name, warnings);
  }
  return found;
}

function findsTheSame({ addressSets, scopes }: LoweredPolicy, before: Desired, after: Desired): boolean {
  const same = (names: Iterable<string>, a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>) =>
    a === b || [...names].every((name) => a.get(name) === b.get(name));
  return (
    same(addressSets.keys(), before.addressSets, after.addressSets) &&
    same(scopes.keys(), before.scopes, after.scopes)
  );
}
