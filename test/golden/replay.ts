// Replays a case: its documents are compiled and published to an engine without threads, its captures are sent frame by
// frame in the order of their times, and what comes out is gathered with the counters.
//
//   CASE/policy.yaml            the documents in force from the beginning
//   CASE/policy@2500.yaml       replaces all of them after 2500 ms
//   CASE/in.PORT.pcap           what a workload sends; PORT is its name, or that of a nic's interface: a trunk
//   CASE/case.json              optional: { segmentSize, withoutOffloads: [PORT] }. Frames longer than 1600 bytes are
//                               super-frames of that segment size
//   CASE/expected/              out.PORT.pcap and counters.json, written by UPDATE_GOLDEN=1
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { loadAddon, type NativeEngine, type Offload } from '../../src/engine/addon.js';
import { readDocuments } from '../../src/documents/index.js';
import { formatError } from '../../src/documents/types.js';
import { check, compile, diff, withOrdersOf } from '../../src/policy/index.js';
import { tmpfsFolder } from '../support/tmpfs-folder.js';
import { readPcap, type PcapFrame } from './pcap.js';

export interface Replay {
  /** By port. */
  out: Map<string, PcapFrame[]>;
  counters: object;
}

interface CaseOptions {
  segmentSize?: number;
  withoutOffloads?: string[];
}

/** Milliseconds of the engine's clock at the time zero of the captures. */
const BEGIN = 1_000_000;

export function replay(folder: string): Promise<Replay> {
  const pools = tmpfsFolder('hg-golden-');
  const engine = loadAddon().createEngine({ workers: 0, connections: 4096, poolDirectory: pools });
  return new Case(folder, engine).run().finally(() => {
    engine.stop();
    rmSync(pools, { recursive: true });
  });
}

class Case {
  private readonly options: CaseOptions;
  /** The port of each attached workload, and one of its workloads by port. */
  private readonly portOf = new Map<string, string>();
  private readonly memberOf = new Map<string, string>();
  private readonly out = new Map<string, PcapFrame[]>();

  constructor(
    private readonly folder: string,
    private readonly engine: NativeEngine,
  ) {
    const path = join(folder, 'case.json');
    this.options = existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as CaseOptions) : {};
  }

  async run(): Promise<Replay> {
    const policies = this.policies();
    let next = 0;
    const upTo = async (time: number) => {
      for (; next < policies.length && (policies[next]?.time ?? 0) <= time; next++)
        await this.publish(policies[next]?.file ?? '');
    };
    await upTo(0);
    const frames = this.frames();
    for (const { port, time, bytes } of frames) {
      await upTo(time);
      this.engine.inject(this.member(port), bytes, this.offload(bytes));
      this.engine.run(BigInt(BEGIN) * 1_000_000n + BigInt(time) * 1000n);
      this.collect(time);
    }
    if (next < policies.length) throw new Error(`${this.folder}: a policy comes after the last frame`);
    return { out: this.out, counters: this.counters() };
  }

  private policies() {
    return readdirSync(this.folder)
      .flatMap((file) => {
        const match = /^policy(?:@(\d+))?\.yaml$/.exec(file);
        return match ? [{ file, time: Number(match[1] ?? 0) * 1000 }] : [];
      })
      .sort((a, b) => a.time - b.time);
  }

  private frames() {
    return readdirSync(this.folder)
      .flatMap((file) => {
        const port = /^in\.(.+)\.pcap$/.exec(file)?.[1];
        return port ? readPcap(join(this.folder, file)).map((frame) => ({ port, ...frame })) : [];
      })
      .sort((a, b) => a.time - b.time || a.port.localeCompare(b.port));
  }

  private async publish(file: string): Promise<void> {
    const { documents, errors } = readDocuments([
      { file, text: readFileSync(join(this.folder, file), 'utf8') },
    ]);
    const problems = [...errors, ...(errors.length === 0 ? check(documents).errors : [])];
    if (problems.length > 0) throw new Error(problems.map(formatError).join('\n'));
    const inventory = this.engine.inventory();
    const { desired } = withOrdersOf(compile(documents), inventory);
    await this.engine.publish(diff(inventory, desired));
    for (const { name, attach } of desired.workloads.values()) {
      if (attach === undefined || this.portOf.has(name)) continue;
      const port = attach.kind === 'nic' ? attach.device : name;
      const offloads = !this.options.withoutOffloads?.includes(port);
      this.engine.attach(name, { kind: 'memory', offloads, ...(attach.kind === 'nic' && { trunk: port }) });
      this.portOf.set(name, port);
      this.memberOf.set(port, name);
      if (!this.out.has(port)) this.out.set(port, []);
    }
  }

  private member(port: string): string {
    const member = this.memberOf.get(port);
    if (member === undefined) throw new Error(`${this.folder}: no workload has the port ${port}`);
    return member;
  }

  private collect(time: number): void {
    for (const [port, frames] of this.out)
      for (const bytes of this.engine.collect(this.member(port))) frames.push({ time, bytes });
  }

  // Frames longer than any wire's are super-frames.
  private offload(bytes: Buffer): Offload | undefined {
    if (bytes.length <= 1600) return undefined;
    const ipv6 = bytes.readUInt16BE(12) === 0x86dd;
    const udp = bytes[ipv6 ? 20 : 23] === 17;
    return {
      kind: udp ? 'udp' : ipv6 ? 'tcp6' : 'tcp4',
      segmentSize: this.options.segmentSize ?? 1000,
      checksumStart: ipv6 ? 54 : 34,
      checksumOffset: udp ? 6 : 16,
    };
  }

  private counters(): object {
    const { drops, hits, workloads } = this.engine.stats();
    return {
      drops: Object.fromEntries(
        drops
          .filter(({ packets }) => packets > 0)
          .map(({ reason, direction, packets }) => [`${reason} ${direction}`, packets]),
      ),
      workloads: Object.fromEntries(
        workloads
          .map(
            ({ workload, sentPackets, receivedPackets }) =>
              [workload, { sent: sentPackets, received: receivedPackets }] as const,
          )
          .sort(([a], [b]) => a.localeCompare(b)),
      ),
      hits: hits
        .map(({ workload, direction, rule, flows, packets }) => ({
          workload,
          direction,
          rule: rule ?? 'default',
          flows,
          packets,
        }))
        .sort((a, b) => JSON.stringify(a).localeCompare(JSON.stringify(b))),
      flows: this.engine
        .flows(10_000, true)
        .flows.map(
          (f) =>
            `${f.protocol} ${f.source} ${f.sourcePort} > ${f.destination} ${f.destinationPort} ${f.state} ` +
            `${f.packets.join('/')} ${f.verdicts.map((v) => `${v.action} by ${v.rule ?? 'default'}`).join(', ')}`,
        )
        .sort(),
      logs: this.engine
        .logs()
        .map(
          (l) =>
            `${l.rule ?? 'default'} at ${l.workload} ${l.direction}: ${l.mode} ${l.action} ${l.source} > ${l.destination}`,
        ),
    };
  }
}
