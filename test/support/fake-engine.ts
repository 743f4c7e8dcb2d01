// A NativeEngine without packets: holds what is published as the real one does, checks references, and lets a test
// say what cannot be attached, what has failed, and which publish is refused.
import type {
  HandoverReport,
  NativeEngine,
  NativePolicy,
  NativeTrace,
  PacketHeaders,
  PortSpec,
  StartReport,
} from '../../src/engine/addon.js';
import type { Delta, FlowRecord, Inventory, LogEvent, Result, Stats } from '../../src/engine/messages.js';
import { EngineModel } from './engine-model.js';

export class FakeEngine implements NativeEngine {
  readonly calls: string[] = [];
  /** Workload -> error that attaching it throws. */
  readonly attachErrors = new Map<string, Error>();
  failed: { workload: string; detail: string }[] = [];
  /** The next publish throws it. */
  refusal: Error | undefined;
  events: LogEvent[] = [];
  alarms: string[] = [];
  flowRecords: FlowRecord[] = [];
  flowRecordsLost = 0;
  flowList: Result<'flows'>['flows'] = [];
  hits: Stats['hits'] = [];
  portals: Stats['portals'] = [];
  legs: Stats['legs'] = [];
  /** What every question about frames is answered with; a live trace gives them once. */
  traces: NativeTrace[] = [];
  readonly deltas: Delta[] = [];
  stopped = false;
  /** Lets a test hold a publish until it resolves. */
  gate: Promise<void> = Promise.resolve();

  readonly #model = new EngineModel();
  readonly #attached = new Map<string, string>();

  async publish(delta: Delta): Promise<{ generation: number }> {
    await this.gate;
    if (this.refusal !== undefined) {
      const refusal = this.refusal;
      this.refusal = undefined;
      throw refusal;
    }
    for (const workload of delta.setWorkloads ?? []) {
      const attached = this.#attached.get(workload.name);
      if (attached !== undefined && attached !== workload.segment) {
        throw Object.assign(new Error(`${workload.name} is attached: detach it before it moves`), {
          code: 'attached',
        });
      }
    }
    this.#model.apply(delta);
    this.deltas.push(delta);
    return { generation: this.#model.state.generation };
  }

  /** What is in force, to be looked at. */
  get state(): EngineModel['state'] {
    return this.#model.state;
  }

  attach(workload: string, port: PortSpec): { mac?: string } {
    this.calls.push(`attach ${workload}`);
    const error = this.attachErrors.get(workload);
    if (error !== undefined) throw error;
    const published = this.state.workloads.get(workload);
    if (published === undefined) throw new Error(`no workload ${workload} was published`);
    if (this.#attached.has(workload)) throw new Error(`${workload} is attached already`);
    if (published.segment === undefined) throw new Error(`${workload} is a tracker`);
    this.#attached.set(workload, published.segment);
    return port.kind === 'tap' ? { mac: port.mac } : {};
  }

  attachTogether(): void {
    // Nobody reads its ports.
  }

  descriptors(): number[] {
    return [];
  }

  startReport(): StartReport {
    return { left: 'nothing', connections: 0, forgotten: 0, alarms: this.alarms };
  }

  policy(): NativePolicy {
    return { delta: {}, numbering: { number: this.state.generation, epochs: {} } };
  }

  follow(): void {
    this.calls.push('follow');
  }

  markChanges(): void {
    this.calls.push('mark changes');
  }

  convert(): number {
    return 0;
  }

  convertFor(): number {
    return 0;
  }

  forgetUpgrade(): void {
    this.calls.push('forget upgrade');
  }

  handOver(): HandoverReport {
    return { pauseMicroseconds: 0, stopMicroseconds: 0, startMicroseconds: 0, connections: 0 };
  }

  takeOver(): HandoverReport {
    return { pauseMicroseconds: 0, stopMicroseconds: 0, startMicroseconds: 0, connections: 0 };
  }

  detach(workload: string, remove: boolean): void {
    this.#attached.delete(workload);
    this.calls.push(`detach ${workload}${remove ? ' and remove' : ''}`);
  }

  failures(): { workload: string; detail: string }[] {
    return this.failed.splice(0);
  }

  inventory(): Inventory {
    return this.#model.inventory();
  }

  stats(): Stats {
    return {
      generation: this.state.generation,
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
      portals: this.portals,
      legs: this.legs,
    };
  }

  flows(limit: number): Result<'flows'> {
    return { flows: this.flowList.slice(0, limit), total: this.flowList.length };
  }

  logs(): LogEvent[] {
    return this.events.splice(0);
  }

  flowLog(activeTimeout: number): Result<'flowLog'> {
    this.calls.push(`flow log ${activeTimeout}`);
    const lost = this.flowRecordsLost;
    this.flowRecordsLost = 0;
    return { records: this.flowRecords.splice(0), lost };
  }

  endFlowLog(): void {
    this.calls.push('end flow log');
  }

  classify(_workload: string, _direction: 'in' | 'out', _packet: PacketHeaders): { action: 'allow' } {
    return { action: 'allow' };
  }

  simulate(): NativeTrace[] {
    this.calls.push('simulate');
    return this.traces;
  }

  injectTraced(): NativeTrace {
    this.calls.push('inject');
    const [trace] = this.traces;
    if (trace === undefined) throw new Error('the fake engine was given no trace');
    return trace;
  }

  startTrace(): number {
    this.calls.push('start trace');
    return 1;
  }

  takeTrace(): { traces: NativeTrace[]; lost: number } {
    return { traces: this.traces.splice(0), lost: 0 };
  }

  stopTrace(): void {
    this.calls.push('stop trace');
  }

  inject(): void {}

  collect(): Buffer[] {
    return [];
  }

  run(): number {
    return 0;
  }

  awaitWorkers(): void {}

  stop(): void {
    this.stopped = true;
  }
}

export const quiet = { info: () => undefined, warn: () => undefined };
