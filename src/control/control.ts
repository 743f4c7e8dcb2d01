// Control's core: the documents in force, and everything that changes them.
//
// A change goes: read -> check -> compile -> difference to what the engine holds -> publish -> commit to the store.
// The engine comes first because only it can refuse for want of room or permission, and a refusal must leave
// everything as it was. What a crash between publish and commit leaves is a policy that nobody was promised:
// after each connect control brings the engine to what the store holds, so both agree again. When the commit
// itself fails the old policy is published again before the error is given back.
//
// What the engine holds is asked for after a connect and then remembered, with its generation: each delta names the one
// that it was made against. An engine that holds another refuses it as `stale`, and is asked again.
//
// Changes run one at a time, in the order in which they came.
import {
  parseDocument,
  formatError,
  type Document,
  type HostDocument,
  type Kind,
  type Source,
} from '../documents/index.js';
import { change, diff, isEmpty, plan, withOrdersOf, type Desired, type Lowered } from '../policy/index.js';
import type { Delta, Inventory, Params, RequestType, Result } from '../engine/messages.js';
import { noFlowLogs } from '../flow-log/outcome.js';
import type { Logger } from '../observe/logger.js';
import { errorCode, errorMessage, HeadgateError, toErrorBody } from '../shared/errors.js';
import type { Revision, RevisionSummary, Store } from '../store/store.js';
import type { ApplyResult, PlanResult, StatusResult } from './api.js';
import { readConf } from './conf.js';
import { isSame, policyOf, readSources, upsert, withoutHost, type Policy } from './documents.js';
import { EngineClient } from './engine-client.js';
import { Events } from './events.js';
import type { Applies } from './metrics.js';
import type { Progress } from './progress.js';
import { promoted } from './promote.js';

export interface ControlOptions {
  store: Store;
  host: HostDocument;
  engineSocket: string;
  /** Documents that are applied at start; absent: none. */
  confDirectory?: string;
  version: string;
  log: Logger;
  /** Tests: the first pause between two tries to connect, in milliseconds. */
  firstPause?: number;
}

/** The engine holds something else than was thought, is being replaced, or was lost meanwhile. */
const ASK_AGAIN = new Set(['stale', 'engine-replaced', 'engine-lost', 'engine-unavailable']);
/** So soon after one is lost there is another engine, if there is to be one. */
const FOLLOW_MILLISECONDS = 5_000;

interface Changed {
  before: Desired;
  after: Desired;
}

/** What the engine holds. */
interface Held {
  desired: Desired;
  generation: number;
}

/** The delta from one state to the next, where it is known already. */
interface Planned {
  before: Desired;
  delta: Delta;
}

/** Says where a change has come to, and lets whoever listens hear it. */
export type Tell = (progress: Progress) => void | Promise<void>;

const silent: Tell = () => undefined;

export class Control {
  readonly events = new Events();
  readonly #options: ControlOptions;
  readonly #engine: EngineClient;
  #policy: Policy;
  #revision = 0;
  #held: Held | undefined;
  #queue: Promise<unknown> = Promise.resolve();
  #confPending: boolean;
  /** The engine holds the policy in force. */
  #enforced = false;
  #refused = false;
  /** Changes since the start. */
  readonly applies: Applies = { done: 0, failed: 0, seconds: 0 };
  readonly flowLogs = noFlowLogs();
  #fault = 'control has not reached the engine yet';
  /** The process id of the engine that was connected last. */
  #lastEngine: number | undefined;

  private constructor(options: ControlOptions) {
    this.#options = options;
    this.#confPending = options.confDirectory !== undefined;
    this.#policy = policyOf([], options.host);
    this.#engine = new EngineClient({
      path: options.engineSocket,
      ...(options.firstPause === undefined ? {} : { firstPause: options.firstPause }),
      onConnect: (hello) => {
        options.log.info({ engine: hello.pid, generation: hello.generation }, 'engine connected');
        const another = this.#lastEngine !== undefined && this.#lastEngine !== hello.pid;
        const { left, connections, forgotten, alarms } = hello.start;
        const what = another
          ? `another engine is connected, ${left === 'nothing' ? 'without connections of the last' : `with ${connections} connections of the last`}`
          : 'the engine is connected';
        this.events.add('engine', `${what}: process ${hello.pid}, version ${hello.version}`);
        if (another && forgotten > 0)
          this.events.add(
            'engine',
            `${forgotten} connections of the last engine were damaged and are forgotten`,
          );
        if (this.#lastEngine !== hello.pid)
          for (const alarm of alarms) {
            options.log.error({ engine: hello.pid }, alarm);
            this.events.add('engine', `alarm: ${alarm}`);
          }
        this.#lastEngine = hello.pid;
        void this.#inTurn(() => this.#reconcile());
      },
      onDisconnect: (why) => {
        this.#held = undefined;
        this.#enforced = false;
        this.#refused = false;
        this.#fault = `the engine is not connected: ${why}`;
        options.log.warn({ detail: why }, 'engine not connected');
        this.events.add('engine', `the engine is not connected: ${why}`);
      },
    });
  }

  /** Loads the store and starts to look for the engine; does not wait for it. */
  static async start(options: ControlOptions): Promise<Control> {
    const control = new Control(options);
    await control.#load();
    control.events.add('control', `control started: process ${process.pid}, revision ${control.#revision}`);
    control.#engine.start();
    return control;
  }

  async stop(): Promise<void> {
    this.#engine.close();
    await this.#queue.catch(() => undefined);
    await this.#options.store.close();
  }

  /** The documents in force; the host's is the first. */
  get documents(): readonly Document[] {
    return [this.#options.host, ...this.#policy.documents];
  }

  /** What the engine should hold, and from its entries back to rules. */
  get lowered(): Lowered {
    return this.#policy.lowered;
  }

  status(): StatusResult {
    const { hello } = this.#engine;
    return {
      version: this.#options.version,
      pid: process.pid,
      revision: this.#revision,
      documents: this.#policy.documents.length,
      ready: this.#enforced,
      ...(this.#enforced ? {} : { fault: this.#fault }),
      ...(this.#refused ? { refused: true } : {}),
      ...(hello === undefined ? {} : { engine: hello }),
    };
  }

  /** Asks the engine; throws `engine-unavailable` when there is none. */
  ask<T extends RequestType>(type: T, params: Params<T>): Promise<Result<T>> {
    return this.#engine.request(type, params);
  }

  /** What an apply would change; changes nothing. */
  plan(sources: readonly Source[], prune: boolean): { result: PlanResult; desired: Changed } {
    return this.#planOf(upsert(this.#policy.documents, readSources(sources, this.#options.host), prune));
  }

  /** What it would change to enforce what a policy, or one rule of it, observes. */
  planPromote(name: string) {
    return { ...this.#planOf(this.#withPromoted(name)), revision: this.#revision };
  }

  #withPromoted(name: string): Document[] {
    const { documents } = this.#policy;
    return upsert(documents, [promoted(documents, name)], false);
  }

  #planOf(documents: Document[]): { result: PlanResult; desired: Changed } {
    const next = this.#next(documents);
    const { delta: _, ...result } = this.#compare(next);
    return { result, desired: { before: this.lowered.desired, after: next.lowered.desired } };
  }

  apply(sources: readonly Source[], prune: boolean, tell: Tell = silent): Promise<ApplyResult> {
    return this.#asked('apply', async () => {
      await tell({ step: 'read', done: 0 });
      const given = readSources(sources, this.#options.host);
      return this.#change('apply', upsert(this.#policy.documents, given, prune), tell);
    });
  }

  /** `revision`: the one in force when it was planned. */
  promote(name: string, revision: number): Promise<ApplyResult> {
    return this.#asked(`promote ${name}`, () => {
      if (revision === this.#revision) return this.#change(`promote ${name}`, this.#withPromoted(name));
      const message = `Revision ${this.#revision} came into force since the plan was made for ${revision}.`;
      throw new HeadgateError('changed', message, {
        remedy: `Look at the plan again: headgate promote ${name}`,
      });
    });
  }

  delete(kind: Kind, name: string): Promise<ApplyResult> {
    return this.#asked(`delete ${kind} ${name}`, () => {
      const rest = this.#policy.documents.filter(
        (document) => document.kind !== kind || document.metadata.name !== name,
      );
      if (rest.length === this.#policy.documents.length) throw unknownDocument(kind, name);
      return this.#change(`delete ${kind} ${name}`, rest);
    });
  }

  /** Back to what a revision held; `number` absent: the one before the newest. A new revision is made of it. */
  rollback(number?: number): Promise<ApplyResult> {
    return this.#asked('rollback', async () => {
      const wanted = number ?? (await this.#previous());
      const revision = await this.#options.store.read(wanted);
      return this.#change(
        `rollback to ${wanted}`,
        upsert(this.#policy.documents, this.#parse(revision), true),
      );
    });
  }

  revisions(): Promise<RevisionSummary[]> {
    return this.#options.store.list();
  }

  revision(number: number): Promise<Revision> {
    return this.#options.store.read(number);
  }

  async #previous(): Promise<number> {
    const [, previous] = await this.#options.store.list();
    if (previous !== undefined) return previous.number;
    throw new HeadgateError('revision-unknown', 'There is no revision before the newest.', {
      remedy: 'headgate get revisions lists them.',
    });
  }

  #inTurn<T>(operation: () => T | Promise<T>): Promise<T> {
    const turn = this.#queue.catch(() => undefined).then(operation);
    this.#queue = turn.catch(() => undefined);
    return turn;
  }

  /** What somebody asks for: a refusal is an event. */
  #asked<T>(cause: string, operation: () => T | Promise<T>): Promise<T> {
    const turn = this.#inTurn(async () => {
      const began = performance.now();
      const result = await operation();
      this.applies.done += 1;
      this.applies.seconds += (performance.now() - began) / 1000;
      return result;
    });
    turn.catch(() => (this.applies.failed += 1));
    turn.catch((error: unknown) => this.events.refused(cause, error));
    return turn;
  }

  /** These documents as the policy that follows the one in force. */
  #next(documents: Document[]): Policy {
    return policyOf(documents, this.#options.host, this.#policy);
  }

  #compare({ documents, lowered, warnings }: Policy): PlanResult & { delta: Delta } {
    const desired = { before: this.lowered.desired, after: lowered.desired };
    const { unchanged, ...planned } = plan(this.#policy.documents, documents, desired);
    return { ...planned, unchanged: unchanged + 1, warnings: warnings.map(formatError) };
  }

  #parse(revision: Revision): Document[] {
    try {
      return withoutHost(revision.documents.map(parseDocument), this.#options.host);
    } catch (cause) {
      throw new HeadgateError(
        'revision-unreadable',
        `Revision ${revision.number} cannot be used: ${errorMessage(cause)}`,
        { cause },
      );
    }
  }

  /** Makes the documents the policy in force, or throws and leaves all as it was. */
  async #change(cause: string, documents: Document[], tell: Tell = silent): Promise<ApplyResult> {
    const before = this.#policy;
    await tell({ step: 'check', done: 0.35 });
    const next = this.#next(documents);
    const { delta, ...result } = this.#compare(next);
    await tell({ step: 'publish', done: 0.6 });
    const published = await this.#publish(next, { before: before.lowered.desired, delta });
    await tell({ step: 'store', done: 0.9 });
    const isNew = !isSame(documents, before.documents);
    if (isNew) await this.#commit(cause, next, before);
    this.#enforce(next);
    if (isNew) this.#tellRevision(cause, result.changes.length);
    this.#options.log.info(
      { cause, revision: this.#revision, changes: result.changes.length, ...published },
      'policy in force',
    );
    return { ...result, ...published, revision: this.#revision };
  }

  #tellRevision(cause: string, changes: number): void {
    const revision = this.#revision;
    const documents = `${changes} document${changes === 1 ? '' : 's'} changed`;
    this.events.add('revision', `revision ${revision} is in force: ${cause}, ${documents}`, { revision });
  }

  async #commit(cause: string, next: Policy, before: Policy): Promise<void> {
    try {
      this.#revision = (await this.#options.store.commit(cause, next.documents)).number;
    } catch (error) {
      await this.#publish(before);
      throw error;
    }
  }

  #enforce(policy: Policy): void {
    this.#policy = policy;
    this.#enforced = true;
    this.#refused = false;
    this.#fault = '';
  }

  /** Brings the engine to the policy with the smallest delta. */
  async #publish(policy: Policy, planned?: Planned): Promise<{ generation: number; milliseconds: number }> {
    try {
      return await this.#publishFrom(this.#held ?? (await this.#inventory(policy)), policy, planned);
    } catch (error) {
      if (!ASK_AGAIN.has(errorCode(error))) throw error;
      // Whether it took effect there, its inventory says; another engine that follows it says the same.
      await this.#engine.connected(FOLLOW_MILLISECONDS);
      this.#held = undefined;
      return this.#publishFrom(await this.#inventory(policy), policy);
    }
  }

  /** Asks the engine what it holds; the policy takes over the orders that rules have there. */
  async #inventory(policy: Policy): Promise<Inventory> {
    const inventory = await this.#engine.request('inventory', {});
    policy.lowered = withOrdersOf(policy.lowered, inventory);
    return inventory;
  }

  async #publishFrom(from: Held | Inventory, policy: Policy, planned?: Planned) {
    const { desired } = policy.lowered;
    const { generation } = from;
    const delta = !('desired' in from)
      ? diff(from, desired)
      : from.desired === planned?.before
        ? planned.delta
        : change(from.desired, desired);
    const published = isEmpty(delta)
      ? { generation, milliseconds: 0 }
      : await this.#engine.request('publish', { delta: { base: generation, ...delta } });
    this.#held = { desired, generation: published.generation };
    return published;
  }

  /** After a connect: conf.d the first time, else what the store holds. */
  async #reconcile(): Promise<void> {
    try {
      if (this.#confPending && (await this.#applyConf())) return;
      const { generation, milliseconds } = await this.#publish(this.#policy);
      this.#enforce(this.#policy);
      this.#options.log.info(
        { revision: this.#revision, generation, milliseconds },
        'engine holds the policy',
      );
      this.events.add('engine', `the engine holds revision ${this.#revision}`, { revision: this.#revision });
    } catch (error) {
      if (this.#engine.hello === undefined) return;
      this.#enforced = false;
      this.#refused = true;
      this.events.refused(`revision ${this.#revision}`, error);
      this.#fault = `the engine does not take revision ${this.#revision}: ${errorMessage(error)}`;
      this.#options.log.error(
        { ...toErrorBody(error) },
        'the engine does not take the policy; it enforces what it had',
      );
    }
  }

  /** True when conf.d's documents are in force; false when there are none or they cannot be used. */
  async #applyConf(): Promise<boolean> {
    const { confDirectory, host, log } = this.#options;
    try {
      const documents = await readConf(confDirectory as string);
      if (documents.length > 0)
        await this.#change('conf.d', upsert(this.#policy.documents, withoutHost(documents, host), false));
      this.#confPending = false;
      return documents.length > 0;
    } catch (error) {
      if (errorCode(error).startsWith('engine-')) throw error;
      this.#confPending = false;
      log.error({ ...toErrorBody(error) }, 'conf.d is not applied; the policy of the store stays');
      this.events.refused('conf.d', error);
      return false;
    }
  }

  async #load(): Promise<void> {
    const { store, log } = this.#options;
    const { revision, problems } = await store.load();
    for (const problem of problems)
      log.error({ detail: problem }, 'a revision is damaged; the one before it is used');
    if (revision === undefined) return;
    this.#policy = this.#next(this.#parse(revision));
    this.#revision = revision.number;
    log.info({ revision: revision.number, documents: revision.documents.length }, 'store loaded');
  }
}

export function unknownDocument(kind: Kind, name: string): HeadgateError {
  return new HeadgateError('not-found', `There is no ${kind} named ${name}.`, {
    remedy: `headgate get ${kind} lists them.`,
  });
}
