// What is compared: several ways to join two namespaces. Each makes a client and a server namespace of its own,
// so that all stand at the same time and are measured in turn.
import { execFileSync } from 'node:child_process';
import { createNamespace, deleteNamespace, execIn, ip, waitUntil } from '../namespaces.js';

/** Two namespaces that can reach each other, and the server's IPv4 address. */
export interface Ends {
  client: string;
  server: string;
  serverAddress: string;
}

export interface Join {
  /** As in the result: `nftables-1000`, `ovs`, ... */
  name: string;
  /** One line on what it is, for the report. */
  about: string;
  setUp(): Promise<Ends>;
  tearDown(): Promise<void>;
}

/** Namespace names of a join. The sandbox has a /run/netns of its own: they need not be unique on the machine. */
export function endsOf(name: string, serverAddress = '10.1.0.2'): Ends {
  return { client: `hg-${name}-c`, server: `hg-${name}-s`, serverAddress };
}

export function makeEnds(ends: Ends): void {
  createNamespace(ends.client);
  createNamespace(ends.server);
}

export function removeEnds(ends: Ends): void {
  deleteNamespace(ends.client);
  deleteNamespace(ends.server);
}

/** A veth from `netns`, there called eth0 with the address, to `middle`, there called `device`. Both ends are up. */
export function vethInto(netns: string, address: string, middle: string, device: string): void {
  ip('-n', middle, 'link', 'add', device, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns);
  ip('-n', middle, 'link', 'set', device, 'up');
  ip('-n', netns, 'link', 'set', 'eth0', 'up');
  ip('-n', netns, 'address', 'add', address, 'dev', 'eth0', 'nodad');
}

/** Runs a command in a namespace to its end, with text on stdin. */
export function runIn(netns: string, argv: string[], input?: string, env?: NodeJS.ProcessEnv): string {
  return execFileSync('nsenter', [`--net=/run/netns/${netns}`, '--', ...argv], {
    encoding: 'utf8',
    stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    ...(input === undefined ? {} : { input }),
    ...(env === undefined ? {} : { env: { ...process.env, ...env } }),
  });
}

/** Until the server answers the client's ping. */
export async function answers(ends: Ends): Promise<void> {
  await waitUntil(`${ends.server} answers ${ends.client}`, () =>
    execIn(ends.client, ['ping', '-n', '-c', '1', '-W', '0.3', ends.serverAddress]).then(() => true),
  );
}

// Two hosts on an underlay, for tunnels: [client] - host 1 - under ==veth== under - host 2 - [server]

export const UNDERLAY_ADDRESSES = ['192.0.2.1', '192.0.2.2'] as const;
export const VNI = 4242;
/** Of the ends: behind the longest header an outer packet of 1,500 bytes. */
export const INNER_MTU = 1400;

export type Underlay = [string, string];

export const underlayOf = (name: string): Underlay => [`hg-${name}-u1`, `hg-${name}-u2`];

export function makeUnderlay(underlay: Underlay): void {
  for (const netns of underlay) createNamespace(netns);
  const [one, two] = underlay;
  ip('-n', one, 'link', 'add', 'under', 'type', 'veth', 'peer', 'name', 'under', 'netns', two);
  for (const [i, netns] of underlay.entries()) {
    ip('-n', netns, 'link', 'set', 'under', 'up');
    ip('-n', netns, 'address', 'add', `${UNDERLAY_ADDRESSES[i]}/24`, 'dev', 'under');
  }
}

export function removeUnderlay(underlay: Underlay): void {
  for (const netns of underlay) deleteNamespace(netns);
}
