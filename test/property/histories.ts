// Sets of documents as they follow each other: some stay the same objects, some say something else, some are gone.
import fc from 'fast-check';
import type { Document, Kind } from '../../src/documents/index.js';
import { documentKey } from '../../src/documents/index.js';
import { documentSets } from './arbitrary-documents.js';

/** `mayGo`: kinds of which documents are left out now and then. */
export const histories = (mayGo: readonly Kind[]): fc.Arbitrary<Document[][]> =>
  fc
    .tuple(fc.array(documentSets, { minLength: 2, maxLength: 4 }), fc.infiniteStream(fc.nat(19)))
    .map(([sets, dice]) => {
      const history: Document[][] = [];
      for (const set of sets) {
        const last = history.at(-1) ?? [];
        const others = last.filter(({ kind }) => kind !== 'SecurityPolicy');
        const before = new Map(last.map((document) => [documentKey(document), document]));
        const left = set.filter(
          (one) => !mayGo.includes(one.kind) || isNeeded(one, set) || dice.next().value < 18,
        );
        const next = left.map((one) =>
          dice.next().value < 14 ? (before.get(documentKey(one)) ?? one) : one,
        );
        // Every other time only policies change.
        const onlyPolicies = others.length > 0 && dice.next().value < 10;
        history.push(
          onlyPolicies ? [...others, ...next.filter(({ kind }) => kind === 'SecurityPolicy')] : next,
        );
      }
      return history;
    });

/** A portal has to be attached as something. */
const isNeeded = ({ metadata }: Document, set: readonly Document[]) =>
  set.some(({ kind, spec }) => kind === 'ServicePortal' && spec.workload === metadata.name);
