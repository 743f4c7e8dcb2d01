// The lab that a set of documents describes: one namespace for each workload with a TAP device in one, and its
// addresses. Workloads on veth and NIC interfaces are the operator's own: a lab does not know what is behind them.
import { ofKind, type Document, type WorkloadDocument } from '../documents/index.js';
import { formatAddress } from '../documents/ip.js';
import { statedAddresses } from '../documents/workload.js';
import { HeadgateError } from '../shared/errors.js';

export interface Place {
  workload: string;
  netns: string;
  /** The device inside the namespace. */
  device: string;
  /** The first address of each family that is a single one. */
  ipv4?: string;
  ipv6?: string;
}

/** Throws when two workloads share a namespace: attempts from one could not be told from the other's. */
export function placesOf(documents: readonly Document[]): Place[] {
  const places = ofKind(documents, 'Workload').flatMap((document) => placeOf(document) ?? []);
  const seen = new Map<string, string>();
  for (const { workload, netns } of places) {
    const other = seen.get(netns);
    if (other !== undefined) {
      throw new HeadgateError(
        'lab-topology',
        `Workloads ${other} and ${workload} are in one namespace, ${netns}.`,
        {
          remedy:
            'A lab needs a namespace for each workload: give them names of their own in attach.tap.netns.',
        },
      );
    }
    seen.set(netns, workload);
  }
  return places;
}

function placeOf({ metadata, spec }: WorkloadDocument): Place | undefined {
  const netns = spec.attach.tap?.netns;
  if (netns === undefined || netns.startsWith('/')) return undefined;
  const single = (statedAddresses(spec) ?? []).filter(({ first, last }) => first === last);
  const first = (family: 4 | 6) => single.find((range) => range.family === family)?.first;
  const [four, six] = [first(4), first(6)];
  return {
    workload: metadata.name,
    netns,
    device: spec.attach.tap?.name ?? '',
    ...(four === undefined ? {} : { ipv4: formatAddress({ family: 4, value: four }) }),
    ...(six === undefined ? {} : { ipv6: formatAddress({ family: 6, value: six }) }),
  };
}
