// A generated datacenter on real devices: the engine in this process, a TAP in a namespace for each workload, and
// traffic between any two. What becomes of each flow is compared with what the documents say (policy/evaluate.ts),
// which asks every workload's rules one by one, as if each workload had a copy of its own.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { ofKind, type Document } from '../../src/documents/index.js';
import { formatAddress, type Family } from '../../src/documents/ip.js';
import { statedAddresses } from '../../src/documents/workload.js';
import { loadAddon, type NativeEngine, type PacketHeaders } from '../../src/engine/addon.js';
import type { Delta, Flow, Verdict } from '../../src/engine/messages.js';
import { FlowDraw } from '../../src/lab/generate/flows.js';
import type { Random } from '../../src/lab/generate/random.js';
import { createNamespace, deleteNamespace, waitUntil } from '../../src/lab/namespaces.js';
import { evaluateIn, World, type Packet } from '../../src/policy/evaluate.js';
import { compile, diff, withOrdersOf } from '../../src/policy/index.js';
import type { Desired } from '../../src/policy/types.js';
import { Traffic, type Attempt, type AttemptOutcome } from './traffic.js';

export interface Place {
  name: string;
  netns: string;
  segment: string;
  addresses: Partial<Record<Family, string>>;
}

const PROTOCOLS: Record<number, Attempt['protocol']> = { 6: 'tcp', 17: 'udp', 1: 'icmp', 58: 'icmp' };
const OUTCOMES = { allow: 'reached', reject: 'refused', drop: '' } as const;

export class DatacenterBed {
  readonly traffic = new Traffic();
  readonly engine: NativeEngine;
  readonly places: Place[];
  private readonly directory = mkdtempSync('/run/hg-datacenter-');
  private readonly byAddress = new Map<string, Place>();
  /** Flows that were tried once: a second time they would find a record. */
  private readonly tried = new Set<string>();

  /** `rules`: places in the engine's table; absent: as many as it can have. */
  private constructor(documents: readonly Document[], rules?: number) {
    this.engine = loadAddon().createEngine({
      workers: 1,
      connections: 65_536,
      poolDirectory: this.directory,
      ...(rules !== undefined && { rules }),
    });
    this.places = ofKind(documents, 'Workload').map(({ metadata: { name }, spec }) => {
      const addresses = (statedAddresses(spec) ?? []).map(
        ({ family, first }) => [family, formatAddress({ family, value: first })] as const,
      );
      return { name, netns: `dc-${name}`, segment: spec.segment, addresses: Object.fromEntries(addresses) };
    });
    for (const place of this.places)
      for (const address of Object.values(place.addresses)) this.byAddress.set(address, place);
  }

  static async start(documents: readonly Document[], rules?: number): Promise<DatacenterBed> {
    const bed = new DatacenterBed(documents, rules);
    for (const { netns } of bed.places) createNamespace(netns);
    const { workloads } = await bed.publish(documents);
    for (const { name, attach } of workloads.values()) if (attach) bed.engine.attach(name, attach);
    const macs = new Map([...workloads.values()].map(({ name, mac }) => [name, mac ?? '']));
    for (const place of bed.places) bed.tellNeighbours(place, macs);
    for (const { netns, addresses } of bed.places)
      for (const family of [4, 6] as const) {
        const address = addresses[family];
        if (address !== undefined) await bed.traffic.ready(netns, family, address);
      }
    return bed;
  }

  /**
   * Tells a namespace the MACs of its segment, for good: the kernel has one table of at most 1,024 learned ones for all
   * namespaces together, and what does not fit is not sent.
   */
  private tellNeighbours({ netns, segment }: Place, macs: ReadonlyMap<string, string>): void {
    const lines = this.places
      .filter((other) => other.segment === segment && other.netns !== netns)
      .flatMap(({ name, addresses }) =>
        Object.values(addresses).map(
          (address) => `neighbour replace ${address} lladdr ${macs.get(name)} dev eth0 nud permanent\n`,
        ),
      );
    execFileSync('ip', ['-n', netns, '-batch', '-'], { input: lines.join('') });
  }

  stop(): void {
    this.traffic.stop();
    this.engine.stop();
    for (const { netns } of this.places) deleteNamespace(netns);
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** What turns the engine's state into that of the documents. */
  deltaTo(documents: readonly Document[]): { desired: Desired; delta: Delta } {
    const inventory = this.engine.inventory();
    const { desired } = withOrdersOf(compile(documents), inventory);
    return { desired, delta: diff(inventory, desired) };
  }

  async publish(documents: readonly Document[]): Promise<Desired> {
    const { desired, delta } = this.deltaTo(documents);
    await this.engine.publish(delta);
    return desired;
  }

  /** Flows that nobody has tried yet, many of which rules were made for. */
  draw(documents: readonly Document[], count: number, random: Random): Attempt[] {
    const flows = new FlowDraw(documents, random);
    const attempts: Attempt[] = [];
    const ports = new Set<string>();
    while (attempts.length < count) {
      const { packet } = flows.draw(random.pick(['corner', 'uniform'] as const));
      const attempt = random.chance(0.7) ? this.attemptOf(packet) : this.betweenAny(packet, random);
      if (!attempt || (!this.isDecidedByRule(attempt) && random.chance(0.9))) continue;
      // A socket for each source port, which no listener may have.
      const source = `${attempt.from} ${attempt.protocol} ${attempt.sourcePort}`;
      const destination = `${attempt.to} ${attempt.protocol} ${attempt.destinationPort} listens`;
      const taken = ports.has(source) || ports.has(`${source} listens`);
      if (taken || ports.has(destination.replace(' listens', '')) || this.tried.has(keyOf(attempt))) continue;
      ports.add(source).add(destination);
      this.tried.add(keyOf(attempt));
      attempts.push(attempt);
    }
    return attempts;
  }

  /** For what to try alone: most flows come to the default action, and a few of those will do. */
  private isDecidedByRule(attempt: Attempt): boolean {
    const packet = packetOf(attempt) as PacketHeaders;
    const { rule: out } = this.engine.classify(workloadOf(attempt.from), 'out', packet);
    const { rule: into } = this.engine.classify(workloadOf(attempt.to), 'in', packet);
    return out !== undefined || into !== undefined;
  }

  /** From each workload to the next one of its segment. */
  ring(protocol: 6 | 17, port: number, sourcePort = port): Attempt[] {
    return this.places.flatMap((from) => {
      const places = this.places.filter(({ segment }) => segment === from.segment);
      const to = places[(places.indexOf(from) + 1) % places.length] as Place;
      const packet = { protocol, sourcePort, destinationPort: port };
      return this.attempt(from, to, packet, 4) ?? [];
    });
  }

  private attemptOf(packet: Packet): Attempt | undefined {
    const from = this.byAddress.get(packet.source);
    const to = this.byAddress.get(packet.destination);
    return from && to && this.attempt(from, to, packet, packet.source.includes(':') ? 6 : 4);
  }

  private betweenAny(packet: Packet, random: Random): Attempt | undefined {
    const family = random.pick([4, 6] as const);
    return this.attempt(random.pick(this.places), random.pick(this.places), packet, family);
  }

  attempt(
    from: Place,
    to: Place,
    packet: Omit<Packet, 'source' | 'destination'>,
    family: Family,
  ): Attempt | undefined {
    const protocol = PROTOCOLS[packet.protocol];
    const source = from.addresses[family];
    const destination = to.addresses[family];
    if (from === to || from.segment !== to.segment || source === undefined || destination === undefined)
      return;
    if (protocol === undefined) return;
    const echo = protocol === 'icmp';
    if (echo && packet.icmpType !== 8 && packet.icmpType !== 128) return;
    const [sourcePort, destinationPort] = echo
      ? [1 + this.tried.size, 0]
      : [packet.sourcePort, packet.destinationPort];
    if (!sourcePort || (!echo && !destinationPort)) return;
    const ends = { from: from.netns, to: to.netns, family, protocol, source, destination };
    return { ...ends, sourcePort, destinationPort: destinationPort ?? 0 };
  }

  /** Tries them; how each differs from the verdicts that it should have. */
  async differences(attempts: readonly Attempt[], verdictsWanted: readonly Verdict[][]): Promise<string[]> {
    const found = await this.run(attempts);
    return attempts.flatMap((attempt, i) => {
      const { outcome, verdicts } = found[i] as Found;
      const wanted = verdictsWanted[i] ?? [];
      const wantedOutcome = OUTCOMES[wanted.at(-1)?.action ?? 'allow'];
      const [is, should] = [verdicts, wanted].map((some) => some.map(textOf).join(', '));
      const same = outcome === wantedOutcome && is === should;
      return same ? [] : [`${keyOf(attempt)}: "${outcome}" by ${is}; not "${wantedOutcome}" by ${should}`];
    });
  }

  /** What the documents say of each, at the sender and, where that allows, at the receiver. */
  verdicts(documents: readonly Document[], attempts: readonly Attempt[]): Verdict[][] {
    const world = new World(documents);
    return attempts.map((attempt) => this.verdictsOf(world, attempt));
  }

  private verdictsOf(world: World, attempt: Attempt): Verdict[] {
    const verdicts: Verdict[] = [];
    for (const [netns, direction] of [
      [attempt.from, 'out'],
      [attempt.to, 'in'],
    ] as const) {
      const workload = workloadOf(netns);
      const { action, rule } = evaluateIn(world, workload, direction, packetOf(attempt));
      verdicts.push({ workload, direction, action, ...(rule && { rule: rule.id }) });
      if (action !== 'allow') break;
    }
    return verdicts;
  }

  /** What came of each on the wire, and what its record says of it. Waits until one of them tells. */
  private async run(attempts: readonly Attempt[]): Promise<Found[]> {
    await this.traffic.begin(attempts);
    let undecided: string[] = [];
    const found = await waitUntil(
      'all flows are decided',
      async () => {
        const records = new Map(
          this.engine.flows(100_000, true).flows.map((flow) => [keyOfRecord(flow), flow]),
        );
        const outcomes = await this.traffic.outcomes();
        const all = attempts.map((attempt, i) => {
          const verdicts = records.get(keyOf(attempt))?.verdicts ?? [];
          return { outcome: outcomes[i] ?? '', verdicts: judged(verdicts) };
        });
        const decided = ({ outcome, verdicts }: Found) =>
          verdicts.length > 0 && (outcome !== '' || verdicts.at(-1)?.action === 'drop');
        undecided = attempts.flatMap((one, i) =>
          decided(all[i] as Found) ? [] : [`${keyOf(one)}: ${JSON.stringify(all[i])}`],
        );
        return undecided.length === 0 && all;
      },
      20_000,
    ).catch((cause: unknown) => {
      const drops = this.engine
        .stats()
        .drops.filter(({ packets }) => packets > 0)
        .map(({ reason, packets }) => `${reason} ${packets}`);
      throw new Error(`undecided: ${undecided.join('\n')}\ndrops: ${drops.join(', ')}`, { cause });
    });
    await this.traffic.forget();
    return found;
  }
}

const workloadOf = (netns: string): string => netns.replace(/^dc-/, '');

interface Found {
  outcome: AttemptOutcome;
  verdicts: Verdict[];
}

/** Up to the first that denies, the sender's first. */
function judged(verdicts: readonly Verdict[]): Verdict[] {
  const ordered = [...verdicts].sort((a, b) => (a.direction < b.direction ? 1 : -1));
  const end = ordered.findIndex(({ action }) => action !== 'allow');
  return end < 0 ? ordered : ordered.slice(0, end + 1);
}

const textOf = ({ workload, direction, action, rule }: Verdict): string =>
  `${workload} ${direction}: ${action} by ${rule ?? 'default'}`;

export function packetOf({
  protocol,
  family,
  source,
  destination,
  sourcePort,
  destinationPort,
}: Attempt): Packet {
  const ends = { source, destination };
  if (protocol === 'icmp')
    return { ...ends, protocol: family === 4 ? 1 : 58, icmpType: family === 4 ? 8 : 128, icmpCode: 0 };
  return { ...ends, protocol: protocol === 'tcp' ? 6 : 17, sourcePort, destinationPort };
}

/** Of two pings between the same ends, records do not tell which is which. */
function keyOf({ protocol, source, destination, sourcePort, destinationPort }: Attempt): string {
  const ports = protocol === 'icmp' ? '0 0' : `${sourcePort} ${destinationPort}`;
  return `${protocol} ${source} ${destination} ${ports}`;
}

function keyOfRecord({ protocol, source, destination, sourcePort, destinationPort }: Flow): string {
  return `${PROTOCOLS[protocol] ?? protocol} ${source} ${destination} ${sourcePort} ${destinationPort}`;
}

/** Places in the engine's table that the documents take; an engine that has none tells. */
export async function slotsOf(documents: readonly Document[]): Promise<number> {
  const poolDirectory = mkdtempSync('/run/hg-slots-');
  const engine = loadAddon().createEngine({ workers: 0, connections: 1024, poolDirectory, rules: 1 });
  try {
    await engine.publish(diff(engine.inventory(), compile(documents).desired));
    throw new Error('they take no slots');
  } catch (error) {
    const needed = /would take (\d+) slots/.exec(String(error))?.[1];
    if (needed === undefined) throw error;
    return Number(needed);
  } finally {
    engine.stop();
    rmSync(poolDirectory, { recursive: true, force: true });
  }
}
