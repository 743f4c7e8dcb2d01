// Checks what documents about services say about each other: that a client's service has one tag, that each portal can
// carry it, that no two tags have the same number at one place, and that frames do not go round.
import type { Document, ServicePortalDocument, ServiceTagDocument } from '../documents/index.js';
import { attachKind, deviceOf, ofKind } from '../documents/index.js';
import { suggest } from '../documents/nearest.js';
import { remoteAddress } from '../documents/tunnel.js';
import type { Find } from './check.js';
import { ServiceWorld } from './service-legs.js';

export const SERVICE_KINDS = ['ServicePortal', 'ServiceTag', 'ServiceInsertion', 'ServiceChain'] as const;

/** References have been checked: only what they lead to is looked at, where it is there. */
export function checkServices(documents: readonly Document[], error: Find): void {
  const world = new ServiceWorld(documents);
  if (world.portals.size === 0 && world.tags.length === 0 && world.insertions.length === 0) return;
  checkPortals(documents, world, error);
  checkInsertions(world, error);
  checkTags(world, error);
  checkRoles(world, error);
}

function where(document: Document): string {
  return `${document.kind} "${document.metadata.name}" (${document.origin.file}:${document.origin.line})`;
}

function checkPortals(documents: readonly Document[], world: ServiceWorld, error: Find): void {
  const workloads = ofKind(documents, 'Workload');
  for (const portal of world.portals.values()) {
    const { workload: name, tunnel, remote, alternates = [] } = portal.spec;
    if (alternates.includes(portal.metadata.name))
      error(portal, 'spec.alternates', 'it stands in for itself: remove it from the list');
    const workload = workloads.find(({ metadata }) => metadata.name === name);
    if (workload && attachKind(workload.spec) !== 'nic')
      error(
        portal,
        'spec.workload',
        `workload "${name}" is no nic, which is what carries VLAN tags: attach it as one`,
      );
    const other =
      workload &&
      workloads.find(
        (one) =>
          one !== workload &&
          attachKind(one.spec) === 'nic' &&
          deviceOf(one.spec) === deviceOf(workload.spec),
      );
    if (other)
      error(
        portal,
        'spec.workload',
        `nic "${deviceOf(other.spec)}" also belongs to ${where(other)}, which could forge tags: give portals a nic of their own`,
      );
    const remotes = tunnel === undefined ? undefined : world.tunnels.get(tunnel)?.spec.remotes;
    if (
      remotes &&
      remote !== undefined &&
      !remotes.some((one) => remoteAddress(one) === remoteAddress(remote))
    )
      error(
        portal,
        'spec.remote',
        `"${remote}" is no remote of tunnel "${tunnel}": ${suggest(remote, remotes)}`,
      );
  }
}

function checkInsertions(world: ServiceWorld, error: Find): void {
  for (const insertion of world.insertions) {
    const { client, rules } = insertion.spec;
    const services = world.tags.filter(({ spec }) => spec.client === client && spec.from === undefined);
    for (const [i, { through }] of rules.entries()) {
      if (world.tagFor(client, through)) continue;
      const known = services.map(({ spec }) => spec.service);
      error(
        insertion,
        `spec.rules[${i}].through`,
        `client "${client}" has no ServiceTag for service "${through}": ${known.length > 0 ? suggest(through, known) : 'add one'}`,
        insertion.origin.rules?.[i],
      );
    }
  }
}

function checkTags(world: ServiceWorld, error: Find): void {
  const services = new Map<string, ServiceTagDocument>();
  const numbers = new Map<string, ServiceTagDocument>();
  for (const tag of world.tags) {
    const { client, service, from } = tag.spec;
    if (from === undefined) {
      const first = services.get(`${client} ${service}`);
      if (first)
        error(
          tag,
          'spec.service',
          `service "${service}" of client "${client}" already has ${where(first)}: remove one`,
        );
      else services.set(`${client} ${service}`, tag);
    }
    const ways = new Set(world.usersOf(tag).map(({ spec }) => spec.via));
    if (ways.size > 1)
      error(
        tag,
        'spec.tag',
        `insertions send it different ways (via ${[...ways].map((via) => via ?? 'none').join(', ')}): give each client one`,
      );
    const hops = world.hopsOf(tag);
    if (!hops) {
      if (world.usersOf(tag).length > 0 && tag.spec.chain === undefined)
        error(
          tag,
          'spec',
          'has no portal and no chain, and insertions name no gateway (via): say where frames go',
        );
      continue;
    }
    const own = new Set<string>();
    for (const portal of [...(from === undefined ? [] : [from]), ...hops.flatMap(({ portals }) => portals)])
      checkNumber(world, tag, portal, numbers, own, error);
  }
}

function checkNumber(
  world: ServiceWorld,
  tag: ServiceTagDocument,
  portal: string,
  numbers: Map<string, ServiceTagDocument>,
  own: Set<string>,
  error: Find,
): void {
  if (!world.portals.has(portal)) return;
  const number = world.numberAt(tag, portal);
  const isOwn = number !== tag.spec.tag;
  const path = isOwn ? `spec.portalTags.${portal}` : 'spec.tag';
  const [least, most] = [world.leastAt(portal), world.mostAt(portal)];
  const place = world.placeOf(portal);
  const free = () => {
    for (let n = least; n <= most; n++) if (!numbers.has(`${place} ${n}`)) return `the next free one is ${n}`;
    return `all ${most - least + 1} that its encapsulation has are taken: use one with more, or another nic`;
  };
  if (number > most || number < least) {
    const mend = isOwn ? 'give it another' : `give it another there (portalTags: {${portal}: ...})`;
    error(tag, path, `portal "${portal}" can carry ${least} to ${most}, not ${number}: ${mend}; ${free()}`);
    return;
  }
  const key = `${place} ${number}`;
  const first = numbers.get(key);
  if (first === tag || own.has(key))
    error(
      tag,
      path,
      `portal "${portal}" would have number ${number} at ${place} a second time, so frames that come back could not be told: name another (portalTags); ${free()}`,
    );
  else if (first)
    error(tag, path, `number ${number} at ${place} is already that of ${where(first)}: ${free()}`);
  own.add(key);
  if (!first) numbers.set(key, tag);
}

/** Where clients come in no portal may be, or frames could go round between gateways. */
function checkRoles(world: ServiceWorld, error: Find): void {
  const inner = new Map<string, ServicePortalDocument>();
  for (const tag of world.tags)
    for (const name of world.hopsOf(tag)?.flatMap(({ portals }) => portals) ?? []) {
      const portal = world.portals.get(name);
      if (portal) inner.set(world.placeOf(name), portal);
    }
  for (const tag of world.tags) {
    const { from } = tag.spec;
    const other = from === undefined ? undefined : inner.get(world.placeOf(from));
    if (other && from !== undefined)
      error(
        tag,
        'spec.from',
        `clients come in at ${world.placeOf(from)}, where ${where(other)} performs services: frames could go round. Part them`,
      );
  }
}
