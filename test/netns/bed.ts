// A test bed: workloads in namespaces of their own, Headgate between them, and an agent in each that sends and
// answers traffic.
//
//   const bed = await Bed.start({ workloads: { a: {...}, b: {...} }, policies: [...] });
//   await bed.agents.a.tcp(bed.ipv4('b'), 80);
//   await bed.stop();
//
// Namespaces are called hg<pid>-<n>-<workload>, so that several beds and several runs stand beside each other.
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
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
import { createNamespace, deleteNamespace, ip, waitUntil } from '../../src/lab/namespaces.js';
import { Agent } from '../../src/lab/probe.js';

type Spec = Record<string, unknown>;

export interface BedOptions {
  /** TAP workloads by name, in the order of their addresses: the first is 10.77.0.1 and fd77::1. */
  workloads: string[];
  /** Rules of the one policy of the bed. */
  rules?: Spec[];
  /** Absent: drop. */
  default?: 'allow' | 'drop';
  /** More of the Host document's spec. */
  host?: Spec;
  /** More documents. */
  documents?: Document[];
}

export interface Document {
  apiVersion: 'headgate/v1';
  kind: string;
  metadata: { name: string; labels?: Record<string, string> };
  spec: Spec;
}

export const document = (kind: string, name: string, spec: Spec): Document => ({
  apiVersion: 'headgate/v1',
  kind,
  metadata: { name },
  spec,
});

export const policy = (rules: Spec[], name = 'test'): Document => document('SecurityPolicy', name, { rules });

let beds = 0;

export class Bed {
  readonly directory = mkdtempSync('/run/hg-bed-');
  readonly agents: Record<string, Agent> = {};
  readonly control: ApiClient;
  headgate: Headgate | undefined;
  private readonly number = beds++;
  private readonly forget: () => void;

  private constructor(private readonly options: BedOptions) {
    this.control = new ApiClient(this.folders.runDir);
    this.forget = onEnd(() => rmSync(this.directory, { recursive: true, force: true }));
    // Control is an ordinary user: it reads the host file and conf.d below this folder.
    mkdirSync(join(this.directory, 'etc', 'conf.d'), { recursive: true, mode: 0o755 });
    chmodSync(this.directory, 0o755); // mkdtemp makes it for root alone
    const host = {
      default: options.default ?? 'drop',
      attach: { namespaces: ['hg*'], interfaces: ['hg*'] },
      ...options.host,
    };
    writeFileSync(this.config, stringify(document('Host', 'bed', host)));
  }

  /** Makes the namespaces; starts nothing. */
  static make(options: BedOptions): Bed {
    const bed = new Bed(options);
    for (const workload of options.workloads) createNamespace(bed.netns(workload));
    return bed;
  }

  /** Namespaces, Headgate with the documents applied, every workload attached, an agent in each namespace. */
  static async start(options: BedOptions): Promise<Bed> {
    const bed = Bed.make(options);
    try {
      await bed.startHeadgate();
      await bed.apply(...bed.documents());
      await bed.attached();
      await bed.startAgents();
    } catch (error) {
      const log = tail(bed.folders.log, 40);
      await bed.stop();
      throw new Error(`the bed did not start; Headgate's log:\n${log}`, { cause: error });
    }
    return bed;
  }

  get folders() {
    return foldersIn(this.directory);
  }

  get config(): string {
    return join(this.directory, 'etc', 'headgate.yaml');
  }

  netns(workload: string): string {
    return `hg${process.pid}-${this.number}-${workload}`;
  }

  ipv4 = (workload: string): string => `10.77.0.${this.place(workload)}`;
  ipv6 = (workload: string): string => `fd77::${this.place(workload)}`;

  private place(workload: string): number {
    const at = this.options.workloads.indexOf(workload);
    if (at < 0) throw new Error(`no workload ${workload}`);
    return at + 1;
  }

  agent(workload: string): Agent {
    const agent = this.agents[workload];
    if (agent === undefined) throw new Error(`no agent for ${workload}`);
    return agent;
  }

  /** Segment, workloads, policy, and what the options add. */
  documents(rules = this.options.rules ?? []): Document[] {
    const workloads = this.options.workloads.map((name) =>
      document('Workload', name, {
        segment: 'lan',
        attach: {
          tap: {
            netns: this.netns(name),
            name: 'eth0',
            addresses: [`${this.ipv4(name)}/24`, `${this.ipv6(name)}/64`],
          },
        },
      }),
    );
    return [document('Segment', 'lan', {}), ...workloads, policy(rules), ...(this.options.documents ?? [])];
  }

  async startHeadgate(program?: string): Promise<void> {
    const options = { ...this.folders, config: this.config };
    this.headgate = await startHeadgate(program === undefined ? options : { ...options, program });
    await waitUntil('the engine is connected', async () => (await this.status()).engine !== undefined);
  }

  apply(...documents: Document[]): Promise<ApplyResult> {
    const text = documents.map((one) => stringify(one)).join('---\n');
    return this.control.post<ApplyResult>('/v1/apply', {
      sources: [{ file: 'bed.yaml', text }],
      prune: false,
    });
  }

  /** Replaces the rules of the bed's policy. */
  applyRules(rules: Spec[]): Promise<ApplyResult> {
    return this.apply(policy(rules));
  }

  status = (): Promise<StatusResult> => this.control.get<StatusResult>('/v1/status');
  stats = (): Promise<StatsResult> => this.control.get<StatsResult>('/v1/stats');
  flows = (): Promise<FlowsResult> => this.control.get<FlowsResult>('/v1/flows?limit=100000');

  /** Frames dropped for a reason: those that the workload sent or was sent, or of all. */
  async drops(reason: string, workload?: string): Promise<number> {
    const stats = await this.stats();
    if (workload !== undefined)
      return stats.workloads.find((one) => one.workload === workload)?.drops[reason] ?? 0;
    return stats.drops
      .filter((drop) => drop.reason === reason)
      .reduce((sum, { packets }) => sum + packets, 0);
  }

  async attachment(
    workload: string,
  ): Promise<{ state: string; detail?: string | undefined; mac?: string | undefined }> {
    const [found] = await this.control.get<DocumentResult[]>(`/v1/documents/Workload/${workload}`);
    return { state: 'unknown', ...found?.status };
  }

  /** Waits until the workloads (all of the bed's, if none is named) are attached and their addresses usable. */
  async attached(...workloads: string[]): Promise<void> {
    for (const workload of workloads.length > 0 ? workloads : this.options.workloads) {
      await waitUntil(
        `${workload} is attached`,
        async () => (await this.attachment(workload)).state === 'attached',
      );
      await waitUntil(`the addresses of ${workload}`, () => {
        const text = ip('-n', this.netns(workload), 'address', 'show', 'dev', 'eth0');
        return (
          text.includes(`${this.ipv4(workload)}/`) &&
          text.includes(`${this.ipv6(workload)}/`) &&
          !text.includes('tentative')
        );
      });
    }
  }

  async startAgents(...workloads: string[]): Promise<void> {
    for (const workload of workloads.length > 0 ? workloads : this.options.workloads) {
      this.agents[workload] = await Agent.start(this.netns(workload));
    }
  }

  async stop(): Promise<void> {
    for (const agent of Object.values(this.agents)) await agent.close();
    await this.headgate?.stop();
    for (const workload of this.options.workloads) deleteNamespace(this.netns(workload));
    this.forget();
  }

  log = (): string => readFileSync(this.folders.log, 'utf8');
}

/** Allows everything between workloads. */
export const ALLOW_ALL: Spec[] = [{ name: 'all', action: 'allow' }];
