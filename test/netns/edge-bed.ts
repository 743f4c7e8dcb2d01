// Two hosts that are joined by several paths, each through an edge pair of its own, and what leaves Headgate on each.
//
//     south (10.1.0.1)                     Headgate                      north (10.2.0.1)
//       c1 -- p1 =relay= t1 ------- s1 [ pair one ] n1 ------- u1 =relay= q1 -- d1
//       c2 -- p2 =relay= t2 ------- s2 [ pair two ] n2 ------- u2 =relay= q2 -- d2
//
// Each host has both paths, and sends by the one that its route names. Path 1 is VLAN 101 in the south and 201 in the
// north, path 2 is 102 and 202. The relays (vlan-relay.py) put the tags on, as switches would.
import { fileURLToPath } from 'node:url';
import type { ChildProcess } from 'node:child_process';
import {
  createNamespace,
  deleteNamespace,
  execIn,
  ip,
  spawnIn,
  waitUntil,
} from '../../src/lab/namespaces.js';
import { Agent } from '../../src/lab/probe.js';
import { Bed, document, type BedOptions, type Document } from './bed.js';

const RELAY = fileURLToPath(new URL('vlan-relay.py', import.meta.url));

export type Host = 'south' | 'north';
export const ADDRESS = { south: '10.1.0.1', north: '10.2.0.1' } as const;
/** What the devices of a host are called: where its addresses are, the relay's port, and the trunk to Headgate. */
const DEVICES = { south: ['c', 'p', 't', 's'], north: ['d', 'q', 'u', 'n'] } as const;
const VLAN = { south: 100, north: 200 } as const;
export const PATHS = [1, 2] as const;
export type Path = (typeof PATHS)[number];

/** A frame that came out of Headgate. */
export interface Seen {
  host: Host;
  path: Path;
  from: string;
  to: string;
  vlan: number | undefined;
  priority: number;
  line: string;
}

let beds = 0;

export class EdgeBed {
  readonly agents = {} as Record<Host, Agent>;
  readonly seen: Seen[] = [];
  private readonly number = beds++;
  private readonly children: ChildProcess[] = [];

  private constructor(readonly bed: Bed) {}

  static async start(options: Partial<BedOptions> & { documents: Document[] }): Promise<EdgeBed> {
    const edge = new EdgeBed(Bed.make({ workloads: [], ...options }));
    try {
      for (const host of ['south', 'north'] as const) await edge.makeHost(host);
      for (const host of ['south', 'north'] as const) await edge.settle(host);
      await edge.bed.startHeadgate();
      await edge.bed.apply(...edge.pairs(), ...options.documents);
      await edge.attached();
      for (const host of ['south', 'north'] as const)
        await edge.agent(host).listen({ tcp: [80, 81, 82], udp: [53] });
    } catch (error) {
      await edge.stop();
      throw error;
    }
    return edge;
  }

  agent(host: Host): Agent {
    return this.agents[host];
  }

  netns(host: Host): string {
    return `hg${process.pid}-e${this.number}-${host}`;
  }

  /** The device of a pair, on this machine. */
  device(host: Host, path: Path): string {
    return `hg${process.pid}${DEVICES[host][3]}${this.number}${path}`;
  }

  trunk(host: Host, path: Path): string {
    return `${DEVICES[host][2]}${path}`;
  }

  mac(host: Host, path: Path): string {
    return `02:00:00:00:0${host === 'south' ? 1 : 2}:0${path}`;
  }

  vlan(host: Host, path: Path): number {
    return VLAN[host] + path;
  }

  /** The pairs "one" and "two". `trackers`: of their bridges; more bridges of pair one. */
  pairs(trackers: readonly [string, string] = ['corp', 'corp'], more: object[] = []): Document[] {
    return (['one', 'two'] as const).map((name, i) => {
      const path = PATHS[i] ?? 1;
      const bridge = {
        southVlan: this.vlan('south', path),
        northVlan: this.vlan('north', path),
        tracker: trackers[i],
      };
      return document('EdgePair', name, {
        south: { interface: this.device('south', path) },
        north: { interface: this.device('north', path) },
        bridges: [bridge, ...(i === 0 ? more : [])],
      });
    });
  }

  /** From now on the host sends by this path what is for the other one. */
  route(host: Host, path: Path): void {
    const [to, from] = [ADDRESS[other(host)], ADDRESS[host]];
    ip(
      '-n',
      this.netns(host),
      'route',
      'replace',
      `${to}/32`,
      'dev',
      `${DEVICES[host][0]}${path}`,
      'src',
      from,
    );
  }

  /** Sends frames of scapy on the host's trunk, as they are written, with their tags. */
  async send(host: Host, path: Path, frames: string): Promise<void> {
    const program = `
from scapy.all import *
sendp(${frames}, iface="${this.trunk(host, path)}", verbose=0)
`;
    await execIn(this.netns(host), ['/usr/bin/python3', '-c', program]);
  }

  /** Frames with this in tcpdump's line that came out of Headgate since `forget`. */
  out(text: string): Seen[] {
    return this.seen.filter(({ line }) => line.includes(text));
  }

  async waitFor(what: string, text: string, count = 1): Promise<Seen[]> {
    await waitUntil(what, () => this.out(text).length >= count);
    return this.out(text);
  }

  async stop(): Promise<void> {
    for (const agent of Object.values(this.agents)) await agent.close();
    for (const child of this.children) child.kill('SIGKILL');
    await this.bed.stop();
    for (const host of ['south', 'north'] as const) deleteNamespace(this.netns(host));
  }

  private async makeHost(host: Host): Promise<void> {
    const netns = this.netns(host);
    createNamespace(netns);
    // Nobody is to send but who is told to.
    await execIn(netns, ['sysctl', '-qw', 'net.ipv6.conf.default.disable_ipv6=1']);
    const inside = (...args: string[]) => ip('-n', netns, ...args);
    for (const path of PATHS) {
      const [end, port, trunk] = DEVICES[host].map((letter) => `${letter}${path}`);
      if (end === undefined || port === undefined || trunk === undefined) throw new Error('no device');
      ip('link', 'add', this.device(host, path), 'type', 'veth', 'peer', 'name', trunk, 'netns', netns);
      ip('link', 'set', this.device(host, path), 'up');
      inside('link', 'add', end, 'address', this.mac(host, path), 'type', 'veth', 'peer', 'name', port);
      for (const device of [end, port, trunk]) inside('link', 'set', device, 'up');
    }
    inside('address', 'add', `${ADDRESS[host]}/32`, 'dev', 'lo');
  }

  private async settle(host: Host): Promise<void> {
    const netns = this.netns(host);
    for (const path of PATHS) {
      const [end = '', port = '', trunk = ''] = DEVICES[host].map((letter) => `${letter}${path}`);
      // Answers come by another path than what they answer.
      const loose = [`net.ipv4.conf.${end}.rp_filter=0`, 'net.ipv4.conf.all.rp_filter=0'];
      await execIn(netns, ['sysctl', '-qw', ...loose]);
      const off = ['tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off'];
      for (const device of [end, trunk]) await execIn(netns, ['ethtool', '-K', device, ...off]);
      await execIn(undefined, ['ethtool', '-K', this.device(host, path), ...off]);
      await this.says(
        netns,
        ['/usr/bin/python3', RELAY, trunk, `${this.vlan(host, path)}=${port}`],
        'relaying',
      );
      await this.capture(host, path);
    }
    this.route(host, 1);
    this.agents[host] = await Agent.start(netns);
  }

  private async capture(host: Host, path: Path): Promise<void> {
    const command = ['tcpdump', '-n', '-e', '-l', '-Q', 'in', '-i', this.trunk(host, path)];
    const child = await this.says(this.netns(host), command, 'listening on');
    let rest = '';
    child.stdout?.on('data', (data: Buffer) => {
      const lines = (rest + data.toString()).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) this.seen.push(seenIn(line, host, path));
    });
  }

  /** Starts a program and waits until it has said this. */
  private async says(netns: string, command: string[], text: string): Promise<ChildProcess> {
    const child = spawnIn(netns, command);
    this.children.push(child);
    let said = '';
    child.stderr?.on('data', (data: Buffer) => (said += data.toString()));
    const listen = (data: Buffer) => (said += data.toString());
    child.stdout?.on('data', listen);
    await waitUntil(`${command[0]} says "${text}"`, () => said.includes(text));
    child.stdout?.off('data', listen);
    return child;
  }

  private async attached(): Promise<void> {
    await waitUntil('the edge pairs are attached', async () => {
      const found = await this.bed.control.get<{ status?: { state: string } }[]>('/v1/documents/EdgePair');
      return found.length === 2 && found.every(({ status }) => status?.state === 'attached');
    });
  }
}

export function other(host: Host): Host {
  return host === 'south' ? 'north' : 'south';
}

/** `TIME MAC > MAC, ethertype 802.1Q (0x8100), length 78: vlan 101, p 0, ethertype IPv4 (0x0800), ...`. */
function seenIn(line: string, host: Host, path: Path): Seen {
  const [, from = '', to = ''] = /([0-9a-f:]{17}) > ([0-9a-f:]{17})/.exec(line) ?? [];
  const [, vlan, priority = '0'] = /vlan (\d+), p (\d)/.exec(line) ?? [];
  return {
    host,
    path,
    from,
    to,
    vlan: vlan === undefined ? undefined : Number(vlan),
    priority: Number(priority),
    line,
  };
}
