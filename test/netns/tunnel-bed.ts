// Hosts joined by an underlay, each with a Headgate of its own and workloads of one segment that stretches over a tunnel.
//
//   [w1]---TAP--- Headgate 1 --socket-- [under-1] ==veth== [under-2] --socket-- Headgate 2 ---TAP---[w2]
//                                        192.0.2.1          192.0.2.2
//                                        2001:db8::1        2001:db8::2
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { ApiClient } from '../../src/cli/client.js';
import type { ApplyResult, FlowsResult, StatsResult } from '../../src/control/api.js';
import { onEnd } from '../../src/lab/cleanup.js';
import { foldersIn, startHeadgate, tail, type Headgate } from '../../src/lab/headgate.js';
import { createNamespace, deleteNamespace, ip, waitUntil } from '../../src/lab/namespaces.js';
import { Agent } from '../../src/lab/probe.js';
import { document, policy, type Document } from './bed.js';

type Spec = Record<string, unknown>;

let beds = 0;

/** The underlay: two namespaces, a veth between them. */
export class Underlay {
  private readonly prefix = `hg${process.pid}-t${beds++}`;

  constructor(mtu = 1500) {
    const [one, two] = [this.netns(1), this.netns(2)];
    createNamespace(one);
    createNamespace(two);
    ip('-n', one, 'link', 'add', 'under', 'type', 'veth', 'peer', 'name', 'under', 'netns', two);
    for (const host of [1, 2]) {
      const netns = this.netns(host);
      ip('-n', netns, 'link', 'set', 'under', 'address', underlayMac(host), 'mtu', String(mtu), 'up');
      for (const family of [4, 6] as const)
        ip(
          '-n',
          netns,
          'address',
          'add',
          `${underlayAddress(host, family)}/${family === 4 ? 24 : 64}`,
          'dev',
          'under',
          'nodad',
        );
    }
  }

  netns(host: number): string {
    return `${this.prefix}-u${host}`;
  }

  workloadNetns(host: number, workload = 'w'): string {
    return `${this.prefix}-${workload}${host}`;
  }

  setMtu(mtu: number): void {
    for (const host of [1, 2]) ip('-n', this.netns(host), 'link', 'set', 'under', 'mtu', String(mtu));
  }

  remove(): void {
    for (const host of [1, 2]) deleteNamespace(this.netns(host));
  }
}

export const underlayAddress = (host: number, family: 4 | 6 = 4): string =>
  family === 4 ? `192.0.2.${host}` : `2001:db8::${host}`;
export const underlayMac = (host: number): string => `02:00:00:00:00:0${host}`;

export interface HostOptions {
  underlay: Underlay;
  /** 1 or 2: its place on the underlay. */
  number: 1 | 2;
  /** Of the Tunnel, beside netns, local and remotes, which follow from the number unless they are given. */
  tunnel?: Spec;
  family?: 4 | 6;
  /** Of the Segment, beside vni and tunnels. */
  segment?: Spec;
  rules?: Spec[];
  default?: 'allow' | 'drop';
  mtu?: number;
  /** Names of its TAP workloads; absent: `w`. Host 1 has 10.77.1.1, 10.77.1.2, ... and host 2 10.77.2.1 of 10.77.0.0/16. */
  workloads?: string[];
  documents?: Document[];
}

export class TunnelHost {
  readonly directory = mkdtempSync('/run/hg-host-');
  readonly agents: Record<string, Agent> = {};
  readonly control = new ApiClient(foldersIn(this.directory).runDir);
  private headgate: Headgate | undefined;
  private readonly forget = onEnd(() => rmSync(this.directory, { recursive: true, force: true }));

  private constructor(readonly options: HostOptions) {
    mkdirSync(join(this.directory, 'etc', 'conf.d'), { recursive: true, mode: 0o755 });
    chmodSync(this.directory, 0o755);
    const host = { default: options.default ?? 'drop', attach: { namespaces: ['hg*'] } };
    writeFileSync(this.config, stringify(document('Host', 'bed', host)));
  }

  static async start(options: HostOptions): Promise<TunnelHost> {
    const host = new TunnelHost(options);
    try {
      for (const workload of host.workloads) createNamespace(host.netns(workload));
      host.headgate = await startHeadgate({ ...host.folders, config: host.config });
      await waitUntil('the engine is connected', async () => {
        return (await host.control.get<{ engine?: unknown }>('/v1/status')).engine !== undefined;
      });
      await host.apply(...host.documents());
      for (const workload of host.workloads) {
        await waitUntil(`the address of ${workload}`, () => {
          const text = ip('-n', host.netns(workload), 'address', 'show', 'dev', 'eth0');
          return text.includes('10.77.') && !text.includes('tentative');
        });
        host.agents[workload] = await Agent.start(host.netns(workload));
      }
    } catch (error) {
      const log = tail(host.folders.log, 40);
      await host.stop();
      throw new Error(`the host did not start; Headgate's log:\n${log}`, { cause: error });
    }
    return host;
  }

  get folders() {
    return foldersIn(this.directory);
  }

  private get config(): string {
    return join(this.directory, 'etc', 'headgate.yaml');
  }

  get workloads(): string[] {
    return this.options.workloads ?? ['w'];
  }

  netns(workload = this.workloads[0] ?? ''): string {
    return this.options.underlay.workloadNetns(this.options.number, workload);
  }

  agent(workload = this.workloads[0] ?? ''): Agent {
    const agent = this.agents[workload];
    if (agent === undefined) throw new Error(`no agent for ${workload}`);
    return agent;
  }

  ipv4(workload = this.workloads[0] ?? ''): string {
    return `10.77.${this.options.number}.${this.workloads.indexOf(workload) + 1}`;
  }
  ipv6(workload = this.workloads[0] ?? ''): string {
    return `fd77::${this.options.number}:${this.workloads.indexOf(workload) + 1}`;
  }

  documents(): Document[] {
    const { number, tunnel = {}, segment = {}, family = 4, mtu, underlay, rules } = this.options;
    const ethernet = tunnel['encapsulation'] === 'nsh-ethernet';
    const far = 3 - number;
    const ends = ethernet
      ? { interface: 'under', remotes: [underlayMac(far)] }
      : { local: underlayAddress(number, family), remotes: [underlayAddress(far, family)] };
    return [
      document('Tunnel', 'overlay', {
        encapsulation: 'vxlan',
        netns: underlay.netns(number),
        ...ends,
        ...tunnel,
      }),
      document('Segment', 'lan', { vni: 4242, tunnels: ['overlay'], ...segment }),
      ...this.workloads.map((name) =>
        document('Workload', `${name}${number}`, {
          segment: 'lan',
          attach: {
            tap: {
              netns: this.netns(name),
              name: 'eth0',
              addresses: [`${this.ipv4(name)}/16`, `${this.ipv6(name)}/64`],
              ...(mtu !== undefined && { mtu }),
            },
          },
        }),
      ),
      policy(rules ?? [{ name: 'all', action: 'allow' }]),
      ...(this.options.documents ?? []),
    ];
  }

  apply(...documents: Document[]): Promise<ApplyResult> {
    const text = documents.map((one) => stringify(one)).join('---\n');
    return this.control.post<ApplyResult>('/v1/apply', {
      sources: [{ file: 'bed.yaml', text }],
      prune: false,
    });
  }

  stats = (): Promise<StatsResult> => this.control.get<StatsResult>('/v1/stats');
  flows = (): Promise<FlowsResult> => this.control.get<FlowsResult>('/v1/flows?limit=100000');

  async drops(reason: string): Promise<number> {
    const { drops } = await this.stats();
    return drops.filter((drop) => drop.reason === reason).reduce((sum, { packets }) => sum + packets, 0);
  }

  /** All drops that there were, by reason. */
  async allDrops(): Promise<Record<string, number>> {
    const { drops } = await this.stats();
    return Object.fromEntries(
      drops.filter(({ packets }) => packets > 0).map((one) => [one.reason, one.packets]),
    );
  }

  log = (): string => tail(this.folders.log, 40);

  async stop(): Promise<void> {
    for (const agent of Object.values(this.agents)) await agent.close();
    await this.headgate?.stop();
    for (const workload of this.workloads) deleteNamespace(this.netns(workload));
    this.forget();
  }
}
