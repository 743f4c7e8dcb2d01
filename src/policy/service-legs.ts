// Where the frames of a service tag go: its hops, and the key that they have at each portal. What checks and lowering have
// in common.
import type {
  Document,
  ServiceChainDocument,
  ServiceInsertionDocument,
  ServicePortalDocument,
  ServiceTagDocument,
  TunnelDocument,
} from '../documents/index.js';
import { ofKind } from '../documents/index.js';
import { ENCAPSULATIONS, keyOf } from '../documents/tunnel.js';
import { LEAST_NVGRE } from './check-tunnels.js';

/** The documents about services by name. */
export class ServiceWorld {
  readonly portals: ReadonlyMap<string, ServicePortalDocument>;
  readonly chains: ReadonlyMap<string, ServiceChainDocument>;
  readonly tunnels: ReadonlyMap<string, TunnelDocument>;
  readonly tags: readonly ServiceTagDocument[];
  readonly insertions: readonly ServiceInsertionDocument[];
  /** Of tags without `from`, by client and service. */
  private readonly byService = new Map<string, ServiceTagDocument>();

  constructor(documents: readonly Document[]) {
    const byName = <D extends Document>(list: D[]) => new Map(list.map((one) => [one.metadata.name, one]));
    this.portals = byName(ofKind(documents, 'ServicePortal'));
    this.chains = byName(ofKind(documents, 'ServiceChain'));
    this.tunnels = byName(ofKind(documents, 'Tunnel'));
    this.tags = ofKind(documents, 'ServiceTag');
    this.insertions = ofKind(documents, 'ServiceInsertion');
    for (const tag of this.tags)
      if (tag.spec.from === undefined) this.byService.set(`${tag.spec.client} ${tag.spec.service}`, tag);
  }

  tagFor(client: string, service: string): ServiceTagDocument | undefined {
    return this.byService.get(`${client} ${service}`);
  }

  /** The insertions whose rules name it. */
  usersOf({ spec }: ServiceTagDocument): ServiceInsertionDocument[] {
    if (spec.from !== undefined) return [];
    return this.insertions.filter(
      (one) =>
        one.spec.client === spec.client && one.spec.rules.some(({ through }) => through === spec.service),
    );
  }

  /** The portals of each hop, the named one first; undefined where the documents do not say. */
  hopsOf(tag: ServiceTagDocument): { open: boolean; portals: string[] }[] | undefined {
    const via = this.usersOf(tag).find(({ spec }) => spec.via !== undefined)?.spec.via;
    const { portal, chain } = tag.spec;
    const names =
      via !== undefined
        ? [via]
        : portal !== undefined
          ? [portal]
          : chain === undefined
            ? undefined
            : this.chains.get(chain)?.spec.portals;
    return names?.map((name) => {
      const { alternates = [], fail } = this.portals.get(name)?.spec ?? {};
      return { open: fail === 'open', portals: [name, ...alternates] };
    });
  }

  /** The number that the tag has at a portal, and what it becomes on the wire. */
  numberAt({ spec }: ServiceTagDocument, portal: string): number {
    const own = spec.portalTags;
    return own !== undefined && Object.hasOwn(own, portal) ? (own[portal] as number) : spec.tag;
  }

  keyAt(tag: ServiceTagDocument, portal: string): number {
    return this.key(portal, this.numberAt(tag, portal));
  }

  key(portal: string, number: number): number {
    const { tunnel, outerVlan } = this.portals.get(portal)?.spec ?? {};
    const encapsulation = tunnel === undefined ? undefined : this.tunnels.get(tunnel)?.spec.encapsulation;
    if (encapsulation !== undefined) return keyOf(encapsulation, number);
    return outerVlan === undefined ? number : outerVlan * 4096 + number;
  }

  /** The largest number that a portal's encapsulation can carry. */
  mostAt(portal: string): number {
    const { tunnel } = this.portals.get(portal)?.spec ?? {};
    if (tunnel === undefined) return 4094;
    const { encapsulation } = this.tunnels.get(tunnel)?.spec ?? {};
    return encapsulation === undefined ? 0xff_ffff : ENCAPSULATIONS[encapsulation].mostKey;
  }

  leastAt(portal: string): number {
    const { tunnel } = this.portals.get(portal)?.spec ?? {};
    return this.tunnels.get(tunnel ?? '')?.spec.encapsulation === 'nvgre' ? LEAST_NVGRE : 1;
  }

  /** Where keys have to differ: the nic, or the remote of the tunnel. */
  placeOf(portal: string): string {
    const { workload, tunnel, remote, outerVlan } = this.portals.get(portal)?.spec ?? {};
    return workload === undefined
      ? `remote ${remote} of tunnel ${tunnel}`
      : `workload "${workload}"${outerVlan === undefined ? '' : ` behind VLAN ${outerVlan}`}`;
  }
}
