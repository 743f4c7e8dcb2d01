// A test bed for service tags: two tenants with the same addresses at an originating switch, and a gateway, each a Headgate
// of its own in a namespace of its own, joined by an underlay; behind the gateway service portals.
//
//   red-a 10.0.0.1 --TAP--+                                          +--q1-- eth0 p1   192.0.2.1
//   red-b 10.0.0.2 --TAP--+                     underlay             +--q2-- eth0 p2   192.0.2.1
//                         +-- sw: Headgate -- u0 ====== d0 -- gw: Headgate --q3-- eth0 p3
//   blue-a 10.0.0.1 -TAP--+
//   blue-b 10.0.0.2 -TAP--+
//
// In each portal's namespace an appliance (service-appliance.py) gives frames back.
import type { ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { ApiClient } from '../../src/cli/client.js';
import type {
  ApplyResult,
  DocumentResult,
  FlowsResult,
  StatsResult,
  StatusResult,
} from '../../src/control/api.js';
import { onEnd } from '../../src/lab/cleanup.js';
import { foldersIn, startHeadgate, tail, type Headgate } from '../../src/lab/headgate.js';
import {
  createNamespace,
  deleteNamespace,
  execIn,
  ip,
  spawnIn,
  waitUntil,
} from '../../src/lab/namespaces.js';
import { Agent } from '../../src/lab/probe.js';
import { document, type Document } from './bed.js';

const APPLIANCE = fileURLToPath(new URL('service-appliance.py', import.meta.url));
export const TUNNEL_APPLIANCE = fileURLToPath(new URL('service-tunnel-appliance.py', import.meta.url));
export const TENANTS = ['red', 'blue'] as const;
export const ENDS = ['red-a', 'red-b', 'blue-a', 'blue-b'] as const;
export const PORTALS = ['p1', 'p2', 'p3'] as const;
export type End = (typeof ENDS)[number];
export type PortalName = (typeof PORTALS)[number];

export interface Seen {
  vlan: number;
  source: string;
  destination: string;
  protocol: number;
  ports?: [number, number];
  payload?: string;
  /** Behind a tunnel: what scapy read in its header, and the outer addresses. */
  fields?: Record<string, unknown>;
  outer?: [string, string];
}

/** One Headgate in a namespace of its own. */
export class Host {
  readonly directory = mkdtempSync('/run/hg-host-');
  readonly control = new ApiClient(foldersIn(this.directory).runDir);
  private headgate: Headgate | undefined;
  private readonly forget = onEnd(() => rmSync(this.directory, { recursive: true, force: true }));

  constructor(readonly netns: string) {
    mkdirSync(join(this.directory, 'etc', 'conf.d'), { recursive: true, mode: 0o755 });
    chmodSync(this.directory, 0o755);
    const attach = { namespaces: ['hg*', 'self'], interfaces: ['*'] };
    // Two workers: what comes back from a portal may come to the one that does not own the flow.
    const host = { default: 'allow', workers: 2, attach };
    writeFileSync(join(this.directory, 'etc', 'headgate.yaml'), stringify(document('Host', 'host', host)));
  }

  async start(): Promise<void> {
    const config = join(this.directory, 'etc', 'headgate.yaml');
    this.headgate = await startHeadgate({ ...foldersIn(this.directory), config, netns: this.netns });
    await waitUntil('the engine is connected', async () => {
      return (await this.control.get<StatusResult>('/v1/status')).engine !== undefined;
    });
  }

  /** `prune`: nothing else stays. */
  apply(documents: Document[], prune = false): Promise<ApplyResult> {
    const text = documents.map((one) => stringify(one)).join('---\n');
    return this.control.post<ApplyResult>('/v1/apply', { sources: [{ file: 'bed.yaml', text }], prune });
  }

  async attached(): Promise<void> {
    await waitUntil(`all workloads of ${this.netns} are attached`, async () => {
      const found = await this.control.get<DocumentResult[]>('/v1/documents/Workload');
      return found.every(({ status }) => status?.state === 'attached');
    });
  }

  stats = (): Promise<StatsResult> => this.control.get<StatsResult>('/v1/stats');
  flows = (): Promise<FlowsResult> => this.control.get<FlowsResult>('/v1/flows?limit=100000');

  async drops(reason: string): Promise<number> {
    return (await this.stats()).drops
      .filter((drop) => drop.reason === reason)
      .reduce((sum, { packets }) => sum + packets, 0);
  }

  async portal(name: string): Promise<StatsResult['portals'][number]> {
    const found = (await this.stats()).portals.find(({ portal }) => portal === name);
    if (found === undefined) throw new Error(`no portal ${name}`);
    return found;
  }

  /** Counters of a tag at a hop: by the portal, if it is named. */
  async leg(tag: string, hop: number, portal?: string): Promise<StatsResult['legs'][number]> {
    const found = (await this.stats()).legs.find(
      (one) => one.tag === tag && one.hop === hop && (portal === undefined || one.portal === portal),
    );
    if (found === undefined) throw new Error(`no leg ${tag} ${hop}`);
    return found;
  }

  log = (): string => tail(foldersIn(this.directory).log, 40);

  async stop(): Promise<void> {
    await this.headgate?.stop();
    this.forget();
  }
}

/** An appliance, and what it was given. */
export class Appliance {
  /** An appliance on a Linux tunnel device, or one that decodes a tunnel itself. */
  static on = (netns: string, device: string) => new Appliance(netns, [APPLIANCE, device]);
  static behind = (netns: string, encapsulation: string, address: string) =>
    new Appliance(netns, [TUNNEL_APPLIANCE, encapsulation, address]);

  readonly seen: Seen[] = [];
  private done = 0;
  private serving = false;
  private readonly child: ChildProcess;

  constructor(
    readonly netns: string,
    argv: string[] = [APPLIANCE, 'eth0'],
  ) {
    this.child = spawnIn(netns, ['/usr/bin/python3', ...argv]);
    if (this.child.stdout === null) throw new Error('no stdout');
    createInterface({ input: this.child.stdout }).on('line', (line) => {
      const said = JSON.parse(line) as Seen | { serving: string } | { done: string };
      if ('serving' in said) this.serving = true;
      else if ('done' in said) this.done++;
      else this.seen.push(said);
    });
  }

  async ready(): Promise<void> {
    await waitUntil(`the appliance in ${this.netns} serves`, () => this.serving);
  }

  async tell(command: string): Promise<void> {
    const before = this.done;
    this.child.stdin?.write(`${command}\n`);
    await waitUntil(`the appliance does: ${command}`, () => this.done > before);
  }

  clear(): void {
    this.seen.length = 0;
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }
}

export class ServicesBed {
  readonly agents = {} as Record<End, Agent>;
  readonly appliances = {} as Record<PortalName, Appliance>;
  readonly switch: Host;
  readonly gateway: Host;

  private constructor() {
    this.switch = new Host(this.netns('sw'));
    this.gateway = new Host(this.netns('gw'));
  }

  netns = (name: string): string => `hg${process.pid}-${name}`;

  static async start(): Promise<ServicesBed> {
    const bed = new ServicesBed();
    for (const name of ['sw', 'gw', ...PORTALS, ...ENDS]) createNamespace(bed.netns(name));
    bed.join('sw', 'u0', 'gw', 'd0');
    for (const [i, portal] of PORTALS.entries()) {
      bed.join('gw', `q${i + 1}`, portal, 'eth0');
      ip('-n', bed.netns(portal), 'address', 'add', '192.0.2.1/24', 'dev', 'eth0');
      bed.appliances[portal] = new Appliance(bed.netns(portal));
    }
    for (const device of ['q1', 'q2', 'q3']) await bed.offloadsOff('gw', device);
    for (const portal of PORTALS) await bed.offloadsOff(portal, 'eth0');
    try {
      for (const appliance of Object.values(bed.appliances)) await appliance.ready();
      await Promise.all([bed.switch.start(), bed.gateway.start()]);
    } catch (error) {
      const logs = `${bed.switch.log()}\n${bed.gateway.log()}`;
      await bed.stop();
      throw new Error(`the bed did not start:\n${logs}`, { cause: error });
    }
    return bed;
  }

  /** A veth pair without addresses, on which no kernel speaks by itself. */
  private join(one: string, device: string, other: string, peer: string): void {
    ip(
      '-n',
      this.netns(one),
      'link',
      'add',
      device,
      'type',
      'veth',
      'peer',
      'name',
      peer,
      'netns',
      this.netns(other),
    );
    for (const [netns, link] of [
      [one, device],
      [other, peer],
    ] as const) {
      ip('-n', this.netns(netns), 'link', 'set', 'dev', link, 'addrgenmode', 'none');
      ip('-n', this.netns(netns), 'link', 'set', link, 'up');
    }
  }

  private async offloadsOff(netns: string, device: string): Promise<void> {
    const features = ['tx', 'tso', 'gso', 'gro'].flatMap((one) => [one, 'off']);
    await execIn(this.netns(netns), ['ethtool', '-K', device, ...features]);
  }

  /** Segments and workloads of the tenants. */
  tenants(): Document[] {
    const address = (end: string) => (end.endsWith('a') ? '10.0.0.1/24' : '10.0.0.2/24');
    const mac = (end: string) => (end.endsWith('a') ? '02:00:00:00:00:0a' : '02:00:00:00:00:0b');
    return [
      ...TENANTS.map((tenant) => document('Segment', tenant, {})),
      ...ENDS.map((end) =>
        document('Workload', end, {
          segment: end.slice(0, end.indexOf('-')),
          attach: { tap: { netns: this.netns(end), name: 'eth0', addresses: [address(end)], mac: mac(end) } },
        }),
      ),
    ];
  }

  async startAgents(): Promise<void> {
    for (const end of ENDS) {
      this.agents[end] = await Agent.start(this.netns(end));
      await this.agents[end].listen({ udp: [7000], tcp: [7001] });
    }
  }

  /** Sends a datagram from a fixed port, so that the packets of two tenants are the same; who answered, undefined: nobody. */
  async ask(from: End, payload: string, port = 7100): Promise<string | undefined> {
    const script = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("10.0.0.1", 5555)); s.settimeout(1.5)
s.sendto(sys.argv[1].encode(), ("10.0.0.2", int(sys.argv[2])))
try: print(s.recv(2000).decode(), end="")
except OSError: pass`;
    const said = await execIn(this.netns(from), ['/usr/bin/python3', '-c', script, payload, String(port)]);
    return said === '' ? undefined : said;
  }

  /** In each tenant's `b`: answers each datagram on port 7100 with its own name and what it was sent. */
  async startNamedServers(): Promise<void> {
    const script = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("10.0.0.2", 7100)); print("ready", flush=True)
while True:
  data, who = s.recvfrom(2000); s.sendto(sys.argv[1].encode() + b" " + data, who)`;
    for (const end of ['red-b', 'blue-b']) {
      const child = spawnIn(this.netns(end), ['/usr/bin/python3', '-c', script, end]);
      let said = '';
      child.stdout?.on('data', (data: Buffer) => (said += data.toString()));
      await waitUntil(`the server in ${end} listens`, () => said.includes('ready'));
    }
  }

  clear(): void {
    for (const appliance of Object.values(this.appliances)) appliance.clear();
  }

  async stop(): Promise<void> {
    for (const agent of Object.values(this.agents)) await agent.close();
    for (const appliance of Object.values(this.appliances)) appliance.stop();
    await this.switch.stop();
    await this.gateway.stop();
    for (const name of ['sw', 'gw', ...PORTALS, ...ENDS]) deleteNamespace(this.netns(name));
  }
}
