// What is compared: several ways to join two namespaces. Each makes a client and a server namespace of its own,
// so that all stand at the same time and are measured in turn.
import { execFileSync } from 'node:child_process';
import { createNamespace, deleteNamespace, ip } from '../namespaces.js';

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
