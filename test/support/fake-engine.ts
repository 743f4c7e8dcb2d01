// A NativeEngine without packets: keeps an inventory as the real one does, checks references, and lets a test say
// what cannot be attached, what has failed, and which publish is refused.
import type { NativeEngine, PacketHeaders, PortSpec } from '../../src/engine/addon.js';
import type { Delta, Inventory, LogEvent, Result, Stats } from '../../src/engine/messages.js';

export class FakeEngine implements NativeEngine {
  readonly calls: string[] = [];
  /** Workload -> error that attaching it throws. */
  readonly attachErrors = new Map<string, Error>();
  failed: { workload: string; detail: string }[] = [];
  /** The next publish throws it. */
  refusal: Error | undefined;
  events: LogEvent[] = [];
  flowList: Result<'flows'>['flows'] = [];
  hits: Stats['hits'] = [];
  readonly deltas: Delta[] = [];
  stopped = false;
  /** Lets a test hold a publish until it resolves. */
  gate: Promise<void> = Promise.resolve();

  #generation = 0;
  #defaultAction: 'allow' | 'drop' | undefined;
  readonly #addressSets = new Map<string, string>();
  readonly #rules = new Set<string>();
  readonly #segments = new Map<string, string>();
  readonly #workloads = new Map<string, string>();
  readonly #segmentOf = new Map<string, string>();
  readonly #attached = new Map<string, string>();
  readonly #indexes = new Map<string, string>();

  async publish(delta: Delta): Promise<{ generation: number }> {
    await this.gate;
    if (this.refusal !== undefined) {
      const refusal = this.refusal;
      this.refusal = undefined;
      throw refusal;
    }
    this.#check(delta);
    for (const workload of delta.setWorkloads ?? []) {
      const attached = this.#attached.get(workload.name);
      if (attached !== undefined && attached !== workload.segment) {
        throw Object.assign(new Error(`${workload.name} is attached: detach it before it moves`), {
          code: 'attached',
        });
      }
    }
    this.deltas.push(delta);
    this.#defaultAction = delta.defaultAction ?? this.#defaultAction;
    for (const set of delta.setAddressSets ?? []) this.#addressSets.set(set.name, set.digest);
    for (const rule of delta.setRules ?? []) this.#rules.add(rule.key);
    for (const segment of delta.setSegments ?? []) this.#segments.set(segment.name, segment.digest);
    for (const workload of delta.setWorkloads ?? []) {
      this.#workloads.set(workload.name, workload.digest);
      this.#segmentOf.set(workload.name, workload.segment);
    }
    for (const index of delta.setIndexes ?? []) this.#indexes.set(index.workload, index.digest);
    for (const name of delta.removeAddressSets ?? []) this.#addressSets.delete(name);
    for (const key of delta.removeRules ?? []) this.#rules.delete(key);
    for (const name of delta.removeSegments ?? []) this.#segments.delete(name);
    for (const name of delta.removeWorkloads ?? []) {
      this.#workloads.delete(name);
      this.#indexes.delete(name);
    }
    this.#generation += 1;
    return { generation: this.#generation };
  }

  attach(workload: string, port: PortSpec): { mac?: string } {
    this.calls.push(`attach ${workload}`);
    const error = this.attachErrors.get(workload);
    if (error !== undefined) throw error;
    if (!this.#workloads.has(workload)) throw new Error(`no workload ${workload} was published`);
    if (this.#attached.has(workload)) throw new Error(`${workload} is attached already`);
    this.#attached.set(workload, this.#segmentOf.get(workload) as string);
    return port.kind === 'tap' ? { mac: port.mac } : {};
  }

  detach(workload: string, remove: boolean): void {
    this.#attached.delete(workload);
    this.calls.push(`detach ${workload}${remove ? ' and remove' : ''}`);
  }

  failures(): { workload: string; detail: string }[] {
    return this.failed.splice(0);
  }

  inventory(): Inventory {
    return {
      generation: this.#generation,
      ...(this.#defaultAction === undefined ? {} : { defaultAction: this.#defaultAction }),
      addressSets: Object.fromEntries(this.#addressSets),
      rules: [...this.#rules],
      segments: Object.fromEntries(this.#segments),
      workloads: Object.fromEntries(this.#workloads),
      indexes: Object.fromEntries(this.#indexes),
    };
  }

  stats(): Stats {
    return {
      generation: this.#generation,
      connections: this.flowList.length,
      connectionsLimit: 1000,
      drops: [
        { reason: 'policy-drop', text: 'a rule drops it', direction: 'in', packets: 3 },
        {
          reason: 'spoofed-mac',
          text: 'a source MAC that the workload may not use',
          direction: 'in',
          packets: 0,
        },
      ],
      workloads: [],
      hits: this.hits,
      workers: [],
    };
  }

  flows(limit: number): Result<'flows'> {
    return { flows: this.flowList.slice(0, limit), total: this.flowList.length };
  }

  logs(): LogEvent[] {
    return this.events.splice(0);
  }

  classify(_workload: string, _direction: 'in' | 'out', _packet: PacketHeaders): { action: 'allow' } {
    return { action: 'allow' };
  }

  inject(): void {}

  collect(): Buffer[] {
    return [];
  }

  run(): number {
    return 0;
  }

  stop(): void {
    this.stopped = true;
  }

  /** What the addon checks too: everything that is named has to be there. */
  #check(delta: Delta): void {
    const rules = new Set([...this.#rules, ...(delta.setRules ?? []).map(({ key }) => key)]);
    const sets = new Set([
      ...this.#addressSets.keys(),
      ...(delta.setAddressSets ?? []).map(({ name }) => name),
    ]);
    const segments = new Set([
      ...this.#segments.keys(),
      ...(delta.setSegments ?? []).map(({ name }) => name),
    ]);
    const workloads = new Set([
      ...this.#workloads.keys(),
      ...(delta.setWorkloads ?? []).map(({ name }) => name),
    ]);
    for (const { segment } of delta.setWorkloads ?? []) if (!segments.has(segment)) throw dangling(segment);
    for (const { sources = [], destinations = [] } of delta.setRules ?? []) {
      for (const name of [...sources, ...destinations]) if (!sets.has(name)) throw dangling(name);
    }
    for (const index of delta.setIndexes ?? []) {
      if (!workloads.has(index.workload)) throw dangling(index.workload);
      for (const key of [...index.in.flat(), ...index.out.flat()]) if (!rules.has(key)) throw dangling(key);
    }
  }
}

function dangling(name: string): Error {
  return Object.assign(new Error(`${name} is named but not there`), { code: 'EINVAL' });
}

export const quiet = { info: () => undefined, warn: () => undefined };
