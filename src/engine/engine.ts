// The engine process: the native packet path, the ports of the workloads, and the socket on which control speaks.
//
// It is closed when it starts: nothing is attached before the first publish. It does not notice the death of
// control: packets go on under the last policy. What control sends is checked by schema (server.ts), against the
// host file (permits.ts) and once more by the addon before anything takes effect.
import { performance } from 'node:perf_hooks';
import { HeadgateError, errorCode, errorMessage } from '../shared/errors.js';
import type { NativeEngine, NativePolicy } from './addon.js';
import { HeldPolicy } from './held-policy.js';
import {
  Attachments,
  identifyNamespace,
  type AttachmentsLog,
  type DescriptorStore,
  type NamespaceIdentity,
} from './attachments.js';
import { PROTOCOL_VERSION, type Delta, type Params } from './messages.js';
import { checkPermits, type AttachPermits } from './permits.js';
import { listen, type Handlers, type Listening } from './server.js';
import { Traces } from './traces.js';

const TICK_MILLISECONDS = 1000;
/** Nobody takes what flow logs gather: they end. A control that restarts is back by then. */
const FLOW_LOG_MILLISECONDS = 60_000;

export interface EngineProcessOptions {
  native: NativeEngine;
  permits: AttachPermits;
  /** The host file, for messages. */
  hostFile: string;
  socket: string;
  /** Group id that may speak to the engine: the one control runs in. */
  group?: number;
  version: string;
  log: AttachmentsLog;
  /** Seconds for which engines before this one have counted what it goes on with. */
  uptime?: number;
  /** Where descriptors of ports outlive this process. */
  store?: DescriptorStore;
  /** Tests: another clock tick, an earlier end of flow logs, and other namespaces. */
  tickMilliseconds?: number;
  flowLogMilliseconds?: number;
  identify?: NamespaceIdentity;
}

export class EngineProcess {
  readonly #options: EngineProcessOptions;
  readonly #attachments: Attachments;
  readonly #traces: Traces;
  readonly #policy = new HeldPolicy();
  readonly #started = performance.now();
  #generation = 0;
  #publishing: Promise<unknown> = Promise.resolve();
  /** While another engine prepares to follow, changes wait. */
  #held: Promise<void> | undefined;
  /** It follows: why there are no more changes here. */
  #replaced: HeadgateError | undefined;
  #server: Listening | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When flow logs were asked for last. */
  #flowLogAsked: number | undefined;

  constructor(options: EngineProcessOptions) {
    this.#options = options;
    this.#attachments = new Attachments(
      options.native,
      options.log,
      options.identify ?? identifyNamespace,
      options.store,
    );
    this.#traces = new Traces(options.native);
    this.#generation = options.native.inventory().generation;
  }

  /** All of the policy, for the engine that follows; undefined before the first. */
  policy(): NativePolicy | undefined {
    const { native } = this.#options;
    if (native.inventory().defaultAction === undefined) return undefined;
    const { delta, numbering } = native.policy();
    return { delta: { ...delta, ...this.#policy.all() }, numbering };
  }

  /** Holds the policy of the engine before. */
  follow({ delta, numbering }: NativePolicy): void {
    this.#options.native.follow(delta, numbering);
    this.#policy.apply(delta);
  }

  get attachments(): Attachments {
    return this.#attachments;
  }

  /** Seconds for which its counters have counted. */
  get uptime(): number {
    return (this.#options.uptime ?? 0) + (performance.now() - this.#started) / 1000;
  }

  /** Listens. Throws a HeadgateError when the socket cannot be made. */
  async start(): Promise<void> {
    await this.prepare();
    this.serve();
  }

  /** Listens where nobody looks yet. */
  async prepare(): Promise<void> {
    const { socket, group, log } = this.#options;
    this.#server = await listen(socket, group, this.handlers(), log);
  }

  /** From now on control finds this engine. */
  serve(): void {
    this.#generation = this.#options.native.inventory().generation;
    this.#server?.show();
    // An engine before may have begun them.
    this.#flowLogAsked = performance.now();
    this.#timer = setInterval(() => this.#tick(), this.#options.tickMilliseconds ?? TICK_MILLISECONDS);
  }

  /** Changes wait from now on, as soon as the running one is done; `release` lets them go on, or says why they cannot. */
  async hold(): Promise<(why?: HeadgateError) => void> {
    let release: (why?: HeadgateError) => void = () => undefined;
    this.#held = new Promise((resolve) => {
      release = (why) => {
        this.#held = undefined;
        this.#replaced = why;
        resolve();
      };
    });
    await this.#publishing.catch(() => undefined);
    return release;
  }

  /** Another engine is in charge: closes the socket, once what was asked is answered, and lets go of everything. */
  async leave(): Promise<void> {
    clearInterval(this.#timer);
    await this.#publishing.catch(() => undefined);
    await this.#server?.close();
    this.#options.native.stop();
  }

  /** Closes the socket and the ports; devices stay, so that the next engine finds them. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#server?.hide();
    await this.#server?.close();
    await this.#publishing.catch(() => undefined);
    this.#options.native.stop();
  }

  handlers(): Handlers {
    const { native } = this.#options;
    return {
      hello: (params) => this.#hello(params),
      inventory: () => native.inventory(),
      publish: ({ delta }) => this.#inTurn(() => this.#publish(delta)),
      attachments: () => this.#attachments.list(),
      stats: () => native.stats(),
      flows: ({ limit, denied }) => native.flows(limit, denied ?? true),
      logs: () => native.logs(),
      flowLog: ({ activeTimeout }) => {
        this.#flowLogAsked = performance.now();
        return native.flowLog(activeTimeout);
      },
      simulate: ({ frames }) => this.#traces.simulate(frames),
      inject: (frame) => this.#traces.inject(frame),
      startTrace: ({ filter }) => this.#traces.start(filter),
      takeTrace: ({ trace, limit }) => this.#traces.take(trace, limit),
      stopTrace: ({ trace }) => {
        this.#traces.stop(trace);
        return {};
      },
    };
  }

  #hello({ protocol }: Params<'hello'>) {
    if (protocol !== PROTOCOL_VERSION) {
      throw new HeadgateError(
        'protocol',
        `Control speaks protocol ${protocol}, this engine ${PROTOCOL_VERSION}.`,
        {
          remedy: 'Run both in one version of Headgate.',
        },
      );
    }
    return {
      protocol: PROTOCOL_VERSION,
      version: this.#options.version,
      pid: process.pid,
      generation: this.#generation,
      uptime: this.uptime,
      start: this.#options.native.startReport(),
    };
  }

  #inTurn<T>(publish: () => Promise<T>): Promise<T> {
    const turn = this.#publishing
      .catch(() => undefined)
      .then(() => this.#held)
      .then(publish);
    this.#publishing = turn;
    return turn;
  }

  async #publish(delta: Delta) {
    if (this.#replaced !== undefined) throw this.#replaced;
    checkPermits(this.#options.permits, delta, this.#options.hostFile);
    const began = performance.now();
    const { generation } = await this.#publishNative(delta);
    this.#generation = generation;
    this.#policy.apply(delta);
    this.#attachments.published(delta);
    return { generation, milliseconds: performance.now() - began };
  }

  /** What is attached cannot move: it is taken off first, and put back when the delta is refused all the same. */
  async #publishNative(delta: Delta): Promise<{ generation: number }> {
    const { native } = this.#options;
    try {
      return await native.publish(delta);
    } catch (error) {
      if (errorCode(error) !== 'attached') throw error;
    }
    this.#attachments.releaseMoving(delta);
    try {
      return await native.publish(delta);
    } catch (error) {
      this.#attachments.tick();
      throw error;
    }
  }

  #endFlowLog(): void {
    if (this.#flowLogAsked === undefined) return;
    if (performance.now() - this.#flowLogAsked < (this.#options.flowLogMilliseconds ?? FLOW_LOG_MILLISECONDS))
      return;
    this.#flowLogAsked = undefined;
    this.#options.native.endFlowLog();
  }

  #tick(): void {
    if (this.#held !== undefined) return;
    const looks: [string, () => void][] = [
      ['flow logs', () => this.#endFlowLog()],
      ['attachments', () => this.#attachments.tick()],
      ['traces', () => this.#traces.tick()],
    ];
    for (const [what, look] of looks) {
      try {
        look();
      } catch (error) {
        this.#options.log.warn({ detail: errorMessage(error) }, `looking after the ${what} failed`);
      }
    }
  }
}
