// Checks how workloads are attached: no two of them on one device (or one VLAN of a nic), with one MAC or one
// address in a segment, and addresses, gateways and VLANs that fit together.
import type { Document, EdgePairDocument, HostDocument, WorkloadDocument } from '../documents/index.js';
import { attachKind, deviceOf, macOf, ofKind, SIDES } from '../documents/index.js';
import type { Range } from '../documents/ip.js';
import { contains, formatRange, parseAddress, parseInterfaceAddress, prefixRange } from '../documents/ip.js';
import { gatewaysOf, statedAddresses } from '../documents/workload.js';
import { refusal } from '../engine/permits.js';
import { suggest } from '../documents/nearest.js';
import type { Find } from './check.js';
import { checkTunnels } from './check-tunnels.js';

export function checkAttachments(documents: readonly Document[], error: Find, warn: Find): void {
  const workloads = ofKind(documents, 'Workload');
  checkSegments(documents, error);
  checkTrackers(documents, warn);
  checkTunnels(documents, error, warn);
  checkDevices(documents, workloads, error);
  checkEdges(documents, workloads, error);
  checkMacs(workloads, error);
  checkSharedAddresses(workloads, error, warn);
  const host = ofKind(documents, 'Host')[0];
  for (const workload of workloads) {
    checkOwnAddresses(workload, error, warn);
    checkPermission(host, workload, warn);
  }
  for (const pair of ofKind(documents, 'EdgePair')) checkEdgePermission(host, pair, warn);
}

export function place(document: Document): string {
  return `${document.kind} "${document.metadata.name}" (${document.origin.file}:${document.origin.line})`;
}

/** Calls `clash` for every document whose key was seen before; no key, no clash. */
export function findClashes<D extends Document>(
  documents: readonly D[],
  key: (document: D) => string | undefined,
  clash: (first: D, second: D) => void,
): void {
  const seen = new Map<string, D>();
  for (const document of documents) {
    const found = key(document);
    if (found === undefined) continue;
    const first = seen.get(found);
    if (first) clash(first, document);
    else seen.set(found, document);
  }
}

function checkSegments(documents: readonly Document[], error: Find): void {
  const vni = (segment: { spec: { vni?: number | undefined } }) => segment.spec.vni?.toString();
  findClashes(ofKind(documents, 'Segment'), vni, (first, second) =>
    error(
      second,
      'spec.vni',
      `VNI ${second.spec.vni} is already that of ${place(first)}: give each segment its own`,
    ),
  );
}

/** A tracker's name needs no document where segments alone use it; a document that is there makes typing errors likely. */
function checkTrackers(documents: readonly Document[], warn: Find): void {
  const trackers = new Map(ofKind(documents, 'Tracker').map((tracker) => [tracker.metadata.name, tracker]));
  if (trackers.size === 0) return;
  for (const segment of ofKind(documents, 'Segment')) {
    const { name } = segment.metadata;
    const named = segment.spec.tracker;
    const own = trackers.get(name);
    if (named === undefined && own)
      warn(
        segment,
        'spec',
        `shares the connections of ${place(own)}, which has its name: say tracker, or rename one`,
      );
    if (named !== undefined && !trackers.has(named))
      warn(
        segment,
        'spec.tracker',
        `there is no Tracker "${named}": ${suggest(named, [...trackers.keys()])}`,
      );
  }
}

/** An interface of an edge pair is nobody else's. */
function checkEdges(documents: readonly Document[], workloads: WorkloadDocument[], error: Find): void {
  const owners = new Map<string, Document>();
  for (const workload of workloads)
    if (!workload.spec.attach.tap?.netns) owners.set(deviceOf(workload.spec), workload);
  for (const pair of ofKind(documents, 'EdgePair')) {
    for (const side of SIDES) {
      const device = pair.spec[side].interface;
      const first = owners.get(device);
      if (first && first !== pair)
        error(
          pair,
          `spec.${side}.interface`,
          `device "${device}" already belongs to ${place(first)}: use another`,
        );
      else owners.set(device, pair);
    }
  }
}

function checkDevices(documents: readonly Document[], workloads: WorkloadDocument[], error: Find): void {
  const segments = new Map(ofKind(documents, 'Segment').map((segment) => [segment.metadata.name, segment]));
  const tags = (workload: WorkloadDocument) => {
    const { vlan, innerVlan } = segments.get(workload.spec.segment)?.spec ?? {};
    return vlan === undefined
      ? 'untagged frames'
      : `VLAN ${vlan}${innerVlan === undefined ? '' : `.${innerVlan}`}`;
  };
  const path = (workload: WorkloadDocument) =>
    `spec.attach.${attachKind(workload.spec)}.${workload.spec.attach.tap ? 'name' : 'interface'}`;
  const device = ({ spec }: WorkloadDocument) => `${spec.attach.tap?.netns ?? ''} ${deviceOf(spec)}`;
  const isNic = (workload: WorkloadDocument) => attachKind(workload.spec) === 'nic';
  // A nic carries one workload per VLAN; every other device carries one.
  findClashes(
    workloads.filter(isNic),
    (workload) => `${device(workload)} ${tags(workload)}`,
    (first, second) =>
      error(
        second,
        path(second),
        `${tags(second)} of nic "${deviceOf(second.spec)}" already belong to ${place(first)}: give segment "${second.spec.segment}" another vlan, or use another nic`,
      ),
  );
  const owners = new Map<string, WorkloadDocument>();
  for (const workload of workloads) {
    const first = owners.get(device(workload));
    if (!first) owners.set(device(workload), workload);
    else if (!isNic(first) || !isNic(workload)) {
      error(
        workload,
        path(workload),
        `device "${deviceOf(workload.spec)}" already belongs to ${place(first)}: use another`,
      );
    }
  }
}

function checkMacs(workloads: WorkloadDocument[], error: Find): void {
  const key = (workload: WorkloadDocument) => {
    const mac = macOf(workload.metadata.name, workload.spec);
    return mac && `${workload.spec.segment} ${mac}`;
  };
  findClashes(workloads, key, (first, second) => {
    const mac = macOf(second.metadata.name, second.spec) ?? '';
    const path = `spec.attach.${attachKind(second.spec)}.mac`;
    error(
      second,
      path,
      `MAC ${mac} is already that of ${place(first)} in segment "${second.spec.segment}": give it another`,
    );
  });
}

interface Use {
  range: Range;
  workload: WorkloadDocument;
  path: string;
  /** Put on its tap, not only allowed. */
  configured: boolean;
}

/** Sweeps over each segment's ranges in order, remembering the one that reaches farthest. */
function checkSharedAddresses(workloads: WorkloadDocument[], error: Find, warn: Find): void {
  const bySegment = new Map<string, Use[]>();
  for (const workload of workloads) {
    const uses = bySegment.get(workload.spec.segment) ?? [];
    bySegment.set(workload.spec.segment, uses);
    const onTap = tapAddresses(workload);
    for (const use of onTap) uses.push({ ...use, workload, configured: true });
    if (!workload.spec.addresses) continue;
    for (const [i, range] of (statedAddresses(workload.spec) ?? []).entries()) {
      if (onTap.some((own) => formatRange(own.range) === formatRange(range))) continue;
      uses.push({ range, workload, path: `spec.addresses[${i}]`, configured: false });
    }
  }
  for (const [segment, uses] of bySegment) {
    uses.sort(
      (a, b) =>
        a.range.family - b.range.family ||
        (a.range.first < b.range.first ? -1 : a.range.first > b.range.first ? 1 : 0),
    );
    let farthest: Use | undefined;
    for (const use of uses) {
      const overlaps = farthest?.range.family === use.range.family && use.range.first <= farthest.range.last;
      if (farthest && overlaps && farthest.workload !== use.workload) {
        const both = `${formatRange(use.range)} is also used by ${place(farthest.workload)} in segment "${segment}"`;
        if (farthest.configured && use.configured)
          error(use.workload, use.path, `${both}: give each its own address`);
        else warn(use.workload, use.path, `${both}: rules cannot tell the two apart there`);
      }
      if (!farthest || !overlaps || use.range.last > farthest.range.last) farthest = use;
    }
  }
}

function tapAddresses({ spec }: WorkloadDocument) {
  return (spec.attach.tap?.addresses ?? []).flatMap((text, i) => {
    const own = parseInterfaceAddress(text);
    if (!own) return [];
    const { family, value } = own.address;
    return [
      {
        text,
        range: { family, first: value, last: value },
        network: prefixRange(own.address, own.prefix),
        path: `spec.attach.tap.addresses[${i}]`,
      },
    ];
  });
}

function checkOwnAddresses(workload: WorkloadDocument, error: Find, warn: Find): void {
  const own = tapAddresses(workload);
  const allowed = statedAddresses(workload.spec);
  for (const { text, range, path } of own) {
    const address = { family: range.family, value: range.first };
    if (allowed?.some((one) => contains(one, address))) continue;
    error(
      workload,
      path,
      `${text} is not among spec.addresses, so it would be refused as spoofed: add it there`,
    );
  }
  for (const text of gatewaysOf(workload.spec)) {
    const gateway = parseAddress(text);
    const linkLocal = /^fe80:/i.test(text);
    if (!gateway || linkLocal || own.some(({ network }) => contains(network, gateway))) continue;
    error(
      workload,
      'spec.attach.tap.gateway',
      `gateway ${text} is in none of the tap's networks: add an address of its network, or mend it`,
    );
  }
  const hasIpv6 = allowed?.some((range) => range.family === 6);
  if (hasIpv6 && macOf(workload.metadata.name, workload.spec) === undefined) {
    const kind = attachKind(workload.spec);
    warn(
      workload,
      `spec.attach.${kind}`,
      `has IPv6 addresses but no mac, so its link-local address is not known and is refused: give mac, or add it to spec.addresses`,
    );
  }
}

/** What the engine will refuse by the Host file, which it reads itself, is said beforehand in its own words. */
function checkPermission(host: HostDocument | undefined, workload: WorkloadDocument, warn: Find): void {
  if (!host) return;
  const { tap } = workload.spec.attach;
  const device = deviceOf(workload.spec);
  const attach = tap ? { kind: 'tap' as const, netns: tap.netns, device } : { kind: 'nic' as const, device };
  const why = refusal(permitsOf(host), attach);
  if (why === undefined) return;
  warn(
    workload,
    `spec.attach.${attachKind(workload.spec)}`,
    `the engine will refuse to attach it: ${why} of ${place(host)}`,
  );
}

function checkEdgePermission(host: HostDocument | undefined, pair: EdgePairDocument, warn: Find): void {
  if (!host) return;
  for (const side of SIDES) {
    const why = refusal(permitsOf(host), { kind: 'veth', device: pair.spec[side].interface });
    if (why === undefined) continue;
    warn(pair, `spec.${side}.interface`, `the engine will refuse to attach it: ${why} of ${place(host)}`);
  }
}

function permitsOf({ spec }: HostDocument) {
  const { namespaces = [], interfaces = [] } = spec.attach ?? {};
  return { namespaces, interfaces };
}
