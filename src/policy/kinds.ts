// A set of documents by kind. Where only policies changed, everything else is taken over from the set before.
import type { Document, DocumentOf, Kind, ServiceDocument } from '../documents/index.js';
import { KINDS } from '../documents/index.js';
import { difference } from './difference.js';

type Lists = { [K in Kind]: readonly DocumentOf<K>[] };

const known = new WeakMap<readonly Document[], Kinds>();

export class Kinds {
  private readonly namesByKind = new Map<Kind, ReadonlySet<string>>();

  private constructor(
    readonly documents: readonly Document[],
    readonly lists: Lists,
    /** By name. */
    readonly services: ReadonlyMap<string, ServiceDocument>,
  ) {}

  static of(documents: readonly Document[], previous?: Kinds): Kinds {
    let kinds = known.get(documents);
    if (kinds === undefined) {
      kinds = (previous && Kinds.withOtherPolicies(documents, previous)) ?? Kinds.sorted(documents);
      known.set(documents, kinds);
    }
    return kinds;
  }

  names(kind: Exclude<Kind, 'SecurityPolicy'>): ReadonlySet<string> {
    let names = this.namesByKind.get(kind);
    if (names === undefined) {
      names = new Set(this.lists[kind].map((document) => document.metadata.name));
      this.namesByKind.set(kind, names);
    }
    return names;
  }

  private static sorted(documents: readonly Document[]): Kinds {
    const lists = Object.fromEntries(KINDS.map((kind) => [kind, []])) as unknown as Record<Kind, Document[]>;
    for (const document of documents) lists[document.kind].push(document);
    const services = (lists as Lists).Service.map((one) => [one.metadata.name, one] as const);
    return new Kinds(documents, lists as Lists, new Map(services));
  }

  /** Undefined when there are other changes than of policies. */
  private static withOtherPolicies(documents: readonly Document[], previous: Kinds): Kinds | undefined {
    const { fresh, gone } = difference(previous.documents, documents);
    const come = fresh.filter((document) => document.kind === 'SecurityPolicy');
    if (come.length < fresh.length || gone.some(({ kind }) => kind !== 'SecurityPolicy')) return undefined;
    const left = new Set<Document>(gone);
    const stay = previous.lists.SecurityPolicy.filter((policy) => !left.has(policy));
    const lists = { ...previous.lists, SecurityPolicy: [...stay, ...come] };
    const kinds = new Kinds(documents, lists, previous.services);
    for (const [kind, names] of previous.namesByKind) kinds.namesByKind.set(kind, names);
    return kinds;
  }
}
