// Checks what documents say about each other: names that do not exist, groups in a circle, several Host
// documents here; devices, MACs, addresses and VLANs in check-attachments.ts. What single documents say was
// checked when they were read.
import type { AppliedTo, Document, DocumentError, Selection } from '../documents/index.js';
import { documentKey, ofKind } from '../documents/index.js';
import { suggest } from '../documents/nearest.js';
import { protocolNumber, PROTOCOLS } from '../documents/protocols.js';
import { MOST_PROFILES } from '../engine/messages.js';
import type { Kinds } from './kinds.js';
import { profileOf } from './lower.js';

export interface Checked {
  /** With any error the documents must not be used. */
  errors: DocumentError[];
  /** What is allowed but probably not meant. */
  warnings: DocumentError[];
}

/** Makes one finding; `line` where it is known better than the document's. */
export type Find = (document: Document, path: string, message: string, line?: number) => void;

export function checkUnique(documents: readonly Document[], error: Find): void {
  const seen = new Map<string, Document>();
  for (const document of documents) {
    // There is one Host per machine, whatever its name.
    const key = document.kind === 'Host' ? 'Host' : documentKey(document);
    const first = seen.get(key);
    if (first) {
      const where = `${first.origin.file}:${first.origin.line}`;
      const what =
        document.kind === 'Host'
          ? 'second Host: there is one per machine, and it is'
          : 'duplicate: the first is';
      error(document, 'metadata.name', `${what} in ${where}; remove or rename one`);
    } else {
      seen.set(key, document);
    }
  }
}

type Referred =
  'Segment' | 'Workload' | 'Tracker' | 'Group' | 'Service' | 'Tunnel' | 'ServicePortal' | 'ServiceChain';

/** Checks what `documents` refer to, which must be among `all`. */
export function checkReferences(documents: readonly Document[], all: Kinds, error: Find): void {
  for (const document of documents) {
    const refer = (kind: Referred, name: string, path: () => string, line?: number) => {
      const names = all.names(kind);
      if (names.has(name)) return;
      error(document, path(), `there is no ${kind} "${name}": ${suggest(name, [...names])}`, line);
    };
    const referAll = (selection: Selection | AppliedTo | undefined, path: () => string, line?: number) => {
      selection?.groups?.forEach((name, i) => refer('Group', name, () => `${path()}.groups[${i}]`, line));
      selection?.workloads?.names?.forEach((name, i) =>
        refer('Workload', name, () => `${path()}.workloads.names[${i}]`, line),
      );
      const trackers = selection && 'trackers' in selection ? selection.trackers : undefined;
      trackers?.names?.forEach((name, i) =>
        refer('Tracker', name, () => `${path()}.trackers.names[${i}]`, line),
      );
      if (selection?.except) referAll(selection.except, () => `${path()}.except`, line);
    };
    if (document.kind === 'Workload') refer('Segment', document.spec.segment, () => 'spec.segment');
    if (document.kind === 'EdgePair')
      document.spec.bridges.forEach(({ tracker }, i) =>
        refer('Tracker', tracker, () => `spec.bridges[${i}].tracker`),
      );
    if (document.kind === 'Segment')
      document.spec.tunnels?.forEach((name, i) => refer('Tunnel', name, () => `spec.tunnels[${i}]`));
    if (document.kind === 'Group') referAll(document.spec, () => 'spec');
    if (document.kind === 'ServicePortal') {
      const { workload, tunnel, alternates } = document.spec;
      if (workload !== undefined) refer('Workload', workload, () => 'spec.workload');
      if (tunnel !== undefined) refer('Tunnel', tunnel, () => 'spec.tunnel');
      alternates?.forEach((name, i) => refer('ServicePortal', name, () => `spec.alternates[${i}]`));
    }
    if (document.kind === 'ServiceTag') {
      const { portal, chain, from, portalTags = {} } = document.spec;
      if (portal !== undefined) refer('ServicePortal', portal, () => 'spec.portal');
      if (chain !== undefined) refer('ServiceChain', chain, () => 'spec.chain');
      if (from !== undefined) refer('ServicePortal', from, () => 'spec.from');
      for (const name of Object.keys(portalTags))
        refer('ServicePortal', name, () => `spec.portalTags.${name}`);
    }
    if (document.kind === 'ServiceChain')
      document.spec.portals.forEach((name, i) => refer('ServicePortal', name, () => `spec.portals[${i}]`));
    if (document.kind === 'ServiceInsertion') {
      refer('Segment', document.spec.client, () => 'spec.client');
      if (document.spec.via !== undefined) refer('ServicePortal', document.spec.via, () => 'spec.via');
    }
    if (document.kind !== 'SecurityPolicy' && document.kind !== 'ServiceInsertion') continue;
    referAll(document.spec.appliedTo, () => 'spec.appliedTo');
    document.spec.rules.forEach(({ from, to, appliedTo, services }, i) => {
      const line = document.origin.rules?.[i];
      referAll(from, () => `spec.rules[${i}].from`, line);
      referAll(to, () => `spec.rules[${i}].to`, line);
      referAll(appliedTo, () => `spec.rules[${i}].appliedTo`, line);
      services?.forEach((service, j) => {
        if (typeof service === 'string')
          refer('Service', service, () => `spec.rules[${i}].services[${j}]`, line);
      });
    });
  }
}

/** Sections that want their connections followed differently have a profile each, of which there are few. */
export function checkProfiles(all: Kinds, error: Find): void {
  const seen = new Set<string>();
  for (const document of all.lists.SecurityPolicy) {
    const { name } = profileOf(document) ?? {};
    if (name === undefined || seen.has(name)) continue;
    seen.add(name);
    if (seen.size !== MOST_PROFILES + 1) continue;
    const message =
      `the policies ask for more than ${MOST_PROFILES} different settings of tracking and timeouts: ` +
      'give some of them the same, or leave to the Host what they share';
    error(document, document.spec.tracking ? 'spec.tracking' : 'spec.timeouts', message);
  }
}

const HELPER_SERVICES = { ftp: { protocol: 'tcp', port: 21 }, tftp: { protocol: 'udp', port: 69 } } as const;

/** A helper reads what connections say: those of its protocol, and no more than the rule's services name. */
export function checkHelpers(all: Kinds, error: Find): void {
  for (const document of all.lists.SecurityPolicy)
    document.spec.rules.forEach(({ helper, services }, i) => {
      if (helper === undefined) return;
      const { protocol: wanted, port } = HELPER_SERVICES[helper];
      const entries = services?.flatMap((one) =>
        typeof one === 'string' ? (all.services.get(one)?.spec.entries ?? []) : [one],
      );
      if (entries?.every(({ protocol }) => protocolNumber(protocol) === PROTOCOLS[wanted])) return;
      const message =
        `the helper ${helper} reads connections of ${wanted} alone: give the rule services of ${wanted}, ` +
        `such as { protocol: ${wanted}, ports: [${port}] }`;
      error(document, `spec.rules[${i}].helper`, message, document.origin.rules?.[i]);
    });
}

const MAX_NESTING = 64;

/** Depth-first; each circle is named once, at the group that closes it. */
export function checkCycles(documents: readonly Document[], error: Find): void {
  const groups = new Map(ofKind(documents, 'Group').map((group) => [group.metadata.name, group]));
  /** Of groups that are done: how many levels they and what they hold make. */
  const done = new Map<string, number>();
  for (const start of groups.keys()) {
    // An explicit stack: chains of groups may be longer than the call stack.
    const path: { name: string; next: number }[] = [{ name: start, next: 0 }];
    const onPath = new Set([start]);
    while (path.length > 0) {
      const top = path[path.length - 1] as { name: string; next: number };
      const group = groups.get(top.name);
      const held = group ? groupsOf(group.spec) : [];
      const child = done.has(top.name) ? undefined : held[top.next++];
      if (child === undefined) {
        const height = 1 + Math.max(0, ...held.map(({ name }) => done.get(name) ?? 0));
        if (group && height === MAX_NESTING + 1 && !done.has(top.name)) {
          error(
            group,
            'spec.groups',
            `groups are nested deeper than ${MAX_NESTING} levels: hold the inner ones directly`,
          );
        }
        done.set(top.name, height);
        onPath.delete(top.name);
        path.pop();
      } else if (onPath.has(child.name)) {
        const circle = path.slice(path.findIndex(({ name }) => name === child.name)).map(({ name }) => name);
        const shown = [...circle.slice(0, 10), ...(circle.length > 10 ? ['...'] : []), child.name].join(
          ' -> ',
        );
        if (group) error(group, child.path, `groups hold each other in a circle: ${shown}; remove one step`);
      } else if (groups.has(child.name)) {
        path.push({ name: child.name, next: 0 });
        onPath.add(child.name);
      }
    }
  }
}

/** The groups that a group is made of, those that it excludes among them. */
function groupsOf({ groups = [], except }: Selection): { name: string; path: string }[] {
  return [
    ...groups.map((name, i) => ({ name, path: `spec.groups[${i}]` })),
    ...(except?.groups ?? []).map((name, i) => ({ name, path: `spec.except.groups[${i}]` })),
  ];
}
