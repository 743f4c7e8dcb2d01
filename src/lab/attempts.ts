// What is tried between every pair: each service that the documents name, a TCP and a UDP port that they do not
// name, and a ping; over IPv4 and IPv6.
import { ofKind, protocolNumber, type Document, type ServiceEntry } from '../documents/index.js';
import type { Place } from './topology.js';

/** `tcp/443`, `udp/53` or `icmp` (which is ICMPv6 over IPv6). */
export interface LabService {
  protocol: 'tcp' | 'udp' | 'icmp';
  port: number;
}

export interface Attempt {
  from: Place;
  to: Place;
  service: LabService;
  family: 4 | 6;
  /** The destination's address of that family. */
  address: string;
}

export const serviceName = ({ protocol, port }: LabService): string =>
  protocol === 'icmp' ? 'icmp' : `${protocol}/${port}`;

export function parseService(text: string): LabService | undefined {
  if (text === 'icmp') return { protocol: 'icmp', port: 0 };
  const [, protocol, port] = /^(tcp|udp)\/(\d{1,5})$/.exec(text) ?? [];
  return protocol === undefined || Number(port) > 65535
    ? undefined
    : { protocol: protocol as 'tcp' | 'udp', port: Number(port) };
}

/** The services that the documents name (of a range of ports the first), one unnamed port of each kind, and icmp. */
export function servicesOf(documents: readonly Document[], more: LabService[] = []): LabService[] {
  const named = [...entriesOf(documents).flatMap(fromEntry), ...more];
  const unnamed = (protocol: 'tcp' | 'udp'): LabService => {
    const taken = new Set(named.filter((service) => service.protocol === protocol).map(({ port }) => port));
    let port = protocol === 'tcp' ? 9999 : 9998;
    while (taken.has(port)) port--;
    return { protocol, port };
  };
  const all = [...named, unnamed('tcp'), unnamed('udp'), { protocol: 'icmp', port: 0 } as const];
  const unique = new Map(all.map((service) => [serviceName(service), service]));
  const order = ['tcp', 'udp', 'icmp'];
  return [...unique.values()].sort(
    (a, b) => order.indexOf(a.protocol) - order.indexOf(b.protocol) || a.port - b.port,
  );
}

function entriesOf(documents: readonly Document[]): ServiceEntry[] {
  const services = ofKind(documents, 'Service').flatMap(({ spec }) => spec.entries);
  const rules = ofKind(documents, 'SecurityPolicy').flatMap(({ spec }) => spec.rules);
  return [
    ...services,
    ...rules.flatMap((rule) => rule.services ?? []).filter((entry) => typeof entry !== 'string'),
  ];
}

function fromEntry(entry: ServiceEntry): LabService[] {
  const number = protocolNumber(entry.protocol);
  const protocol = number === 6 ? 'tcp' : number === 17 ? 'udp' : undefined;
  if (protocol === undefined) return [];
  return (entry.ports ?? []).map((port) => ({ protocol, port: Number.parseInt(String(port), 10) }));
}

/** Every ordered pair, every service, both families where both ends have them. */
export function attemptsBetween(places: Place[], services: LabService[]): Attempt[] {
  return places.flatMap((from) =>
    places
      .filter((to) => to !== from)
      .flatMap((to) =>
        services.flatMap((service) => [
          ...(from.ipv4 !== undefined && to.ipv4 !== undefined
            ? [{ from, to, service, family: 4, address: to.ipv4 } as const]
            : []),
          ...(from.ipv6 !== undefined && to.ipv6 !== undefined
            ? [{ from, to, service, family: 6, address: to.ipv6 } as const]
            : []),
        ]),
      ),
  );
}
