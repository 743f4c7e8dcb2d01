// The engine in charge, as the one that hands over: it listens on `handover.sock`, starts the engine that is to follow when
// root asks for it, tells it all that it needs, and lets go. Until the follower runs nothing is lost by its failure:
// this engine goes on, and says why.
//
// After a handover this process stands by, loaded but without ports and state. Its connection to the follower stays; a
// rollback asks for it there, and this process follows then like any other.
import { createServer, type Server } from 'node:net';
import { errorMessage, HeadgateError } from '../shared/errors.js';
import { listenAt, placeSocket, removeSocket } from '../shared/unix-socket.js';
import type { Addon, NativeEngine } from './addon.js';
import type { EngineProcess } from './engine.js';
import {
  beginSchema,
  failedSchema,
  HANDOVER_VERSION,
  portsSchema,
  takenSchema,
  upgradeSchema,
  type Begin,
  type Legacy,
  type Outcome,
} from './handover-messages.js';
import { launch, type Launched } from './launch.js';
import type { AttachmentsLog } from './attachments.js';
import { Peer } from './peer.js';

/** The parts of the state that hold connections, all of one layout. */
const WITH_RECORDS = ['connections', 'flow-records'];
/** Milliseconds that a follower has to prepare itself, and to run once this engine has let go. */
const PREPARE_MILLISECONDS = 120_000;
const TAKE_MILLISECONDS = 5_000;

export interface GiverOptions {
  addon: Addon;
  native: NativeEngine;
  engine: EngineProcess;
  socket: string;
  version: string;
  /** What of the host file both have to agree on. */
  workers: number;
  connections: number;
  /** The arguments that the follower is started with. */
  args: readonly string[];
  log: AttachmentsLog;
  /** The engine before this one, which stands by; closing it ends that. */
  before?: StandingBy;
}

/** An engine that stands by. */
export interface StandingBy {
  peer: Peer;
  pid: number;
  version: string;
}

/** What becomes of an engine that was in charge: it stands by, and follows its follower when that asks. */
export interface Left {
  follower: Peer;
  pid: number;
  asked: Promise<'take'>;
}

interface Attempt {
  /** The follower, once it has said who it is. */
  follower?: { peer: Peer; pid: number; version: string };
  channel?: number;
  release: (why?: HeadgateError) => void;
  settle: (outcome: Outcome) => void;
  fail: (why: Error) => void;
}

export class Giver {
  readonly #options: GiverOptions;
  readonly #peers = new Set<Peer>();
  #server: Server | undefined;
  /** Takes the socket away, if it is still this one's. */
  #hide: () => void = () => undefined;
  #attempt: Attempt | undefined;
  #before: StandingBy | undefined;
  #leave: (left: Left) => void = () => undefined;
  #take: (wanted: 'take') => void = () => undefined;
  /** When another engine is in charge. */
  readonly left: Promise<Left>;

  constructor(options: GiverOptions) {
    this.#options = options;
    this.#before = options.before;
    this.#watchStandBy();
    this.left = new Promise((resolve) => (this.#leave = resolve));
  }

  async start(): Promise<void> {
    const { socket } = this.#options;
    const hidden = `${socket}.${process.pid}`;
    this.#server = createServer((connection) => {
      const peer: Peer = new Peer(connection, {
        upgrade: (params) => this.#upgrade(upgradeSchema.parse(params)),
        rollback: () => this.#rollback(),
        begin: (params) => this.#begin(peer, beginSchema.parse(params)),
        ports: (params) => this.#ports(peer, portsSchema.parse(params).inbox),
        commit: () => this.#commit(peer),
        serving: (params) => this.#serving(peer, params),
        failed: (params) => this.#followerFailed(peer, failedSchema.parse(params).reason),
        take: () => this.#take('take'),
      });
      this.#peers.add(peer);
      void peer.closed.then(() => {
        this.#peers.delete(peer);
        this.#followerFailed(peer, 'it ended');
      });
    });
    removeSocket(hidden);
    await listenAt(this.#server, hidden, 'The engine', 'The folder of the pools has to belong to root.');
    this.#hide = placeSocket(hidden, socket);
  }

  /** This process ends, and no other is in charge. */
  close(): void {
    this.#server?.close();
    this.#hide();
    this.#before?.peer.close();
    for (const peer of this.#peers) peer.close();
  }

  #watchStandBy(): void {
    const before = this.#before;
    void before?.peer.closed.then(() => {
      if (this.#before === before) this.#before = undefined;
    });
  }

  #upgrade(program: { node: string; program: string }): Promise<Outcome> {
    return this.#try(() => launch(program, this.#options.args));
  }

  #rollback(): Promise<Outcome> {
    const before = this.#before;
    if (before === undefined)
      throw new HeadgateError('no-engine-before', 'No engine stands by to which this one could go back.', {
        remedy:
          'Only after an upgrade there is one. `headgate upgrade` of the version that you want leads there too.',
      });
    return this.#try(() => {
      void before.peer.tell('take');
      return { ended: before.peer.closed.then(() => 'it ended') };
    });
  }

  async #try(start: () => Launched): Promise<Outcome> {
    if (this.#attempt !== undefined)
      throw new HeadgateError('upgrade-running', 'Another upgrade is on its way.', {
        remedy: 'Wait for its end.',
      });
    const outcome = new Promise<Outcome>((settle, fail) => {
      this.#attempt = { settle, fail, release: () => undefined };
    });
    const attempt = this.#attempt as unknown as Attempt;
    attempt.release = await this.#options.engine.hold();
    const timer = setTimeout(
      () => this.#fail(attempt, `it was not ready within ${PREPARE_MILLISECONDS / 1000} s`),
      PREPARE_MILLISECONDS,
    );
    try {
      const { ended } = start();
      // One that has failed says why itself, just before.
      void ended.then((how) => setTimeout(() => this.#fail(attempt, how), 100));
      return await outcome;
    } catch (error) {
      this.#fail(attempt, errorMessage(error));
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** This engine goes on. */
  #fail(attempt: Attempt, why: string): void {
    if (this.#attempt !== attempt) return;
    this.#attempt = undefined;
    if (attempt.channel !== undefined) this.#options.addon.closeDescriptor(attempt.channel);
    this.#options.native.forgetUpgrade();
    attempt.release();
    this.#options.log.warn({ detail: why }, 'the engine that was to follow failed; this one goes on');
    attempt.fail(
      new HeadgateError('not-upgraded', `The new engine did not take over: ${why}.`, {
        remedy: `Engine ${process.pid} (${this.#options.version}) goes on as before; nothing was lost. Its log has more.`,
      }),
    );
    if (attempt.follower !== undefined && attempt.follower.pid !== this.#before?.pid)
      attempt.follower.peer.close();
  }

  #followerFailed(peer: Peer, reason: string): void {
    if (this.#attempt?.follower?.peer === peer) this.#fail(this.#attempt, reason);
  }

  #begin(peer: Peer, begin: Begin): Legacy {
    const { handover, version, pid } = begin;
    const { engine, workers, connections } = this.#options;
    const attempt = this.#attempt;
    if (attempt === undefined || attempt.follower !== undefined)
      throw new HeadgateError('no-upgrade', 'Nobody asked for an upgrade: headgate upgrade does.');
    attempt.follower = { peer, pid, version };
    if (handover !== HANDOVER_VERSION)
      throw new HeadgateError(
        'handover',
        `It hands over by version ${handover}, this one by ${HANDOVER_VERSION}.`,
      );
    const converted = this.#layouts(begin);
    const policy = engine.policy();
    return {
      handover: HANDOVER_VERSION,
      version: this.#options.version,
      pid: process.pid,
      workers,
      connections,
      uptime: engine.uptime,
      converted,
      ...(policy === undefined ? {} : { policy }),
      attachments: engine.attachments.held(),
    };
  }

  /** Of another layout of connections a copy is made, by the version that knows both; records that this one converted. */
  #layouts({ layouts, formerLayouts }: Begin): number {
    const { addon, native } = this.#options;
    const ours = addon.layouts;
    const differs = Object.keys({ ...ours, ...layouts }).filter((part) => ours[part] !== layouts[part]);
    if (differs.length === 0) return 0;
    const other = differs.filter((part) => !WITH_RECORDS.includes(part));
    if (other.length > 0)
      throw new HeadgateError(
        'layout',
        `it has another layout of ${other.join(', ')}, which nobody converts`,
      );
    if (!formerLayouts.includes(ours['connections'] ?? 0))
      return native.convertFor(layouts['connections'] ?? 0);
    native.markChanges(true);
    return 0;
  }

  /** Sends each port's descriptors to the inbox, the channel last; how many ports there are. */
  #ports(peer: Peer, inbox: string): null {
    const attempt = this.#attemptOf(peer);
    const { addon, engine } = this.#options;
    engine.attachments.eachPort((name, descriptors) =>
      addon.sendDatagram(inbox, Buffer.from(name), descriptors),
    );
    const [ours, theirs] = addon.socketPair();
    attempt.channel = ours;
    addon.sendDatagram(inbox, Buffer.from(''), [theirs]);
    addon.closeDescriptor(theirs);
    return null;
  }

  #attemptOf(peer: Peer): Attempt {
    if (this.#attempt?.follower?.peer !== peer)
      throw new HeadgateError('no-upgrade', 'The upgrade has ended.');
    return this.#attempt;
  }

  /** Packets wait from here on until one of the two engines runs. */
  #commit(peer: Peer): void {
    const attempt = this.#attemptOf(peer);
    const { native } = this.#options;
    if (attempt.channel === undefined)
      throw new HeadgateError('no-channel', 'The ports have to be asked for first.');
    const { error } = native.handOver(attempt.channel, TAKE_MILLISECONDS, attempt.follower?.pid ?? 0);
    if (error !== undefined) this.#fail(attempt, error);
  }

  /** The follower runs and listens. */
  async #serving(peer: Peer, taken: unknown): Promise<void> {
    const attempt = this.#attemptOf(peer);
    const { engine, addon, version } = this.#options;
    this.#attempt = undefined;
    if (attempt.channel !== undefined) addon.closeDescriptor(attempt.channel);
    attempt.release(
      new HeadgateError('engine-replaced', 'Another engine took over before this change.', {
        remedy: 'Control asks that one.',
      }),
    );
    // One engine stands by: this one, from now on.
    if (this.#before?.pid !== attempt.follower?.pid) this.#before?.peer.close();
    this.#before = undefined;
    await engine.leave();
    const { pid, version: theirs } = attempt.follower as NonNullable<Attempt['follower']>;
    const told = takenSchema.safeParse(taken);
    // It is in charge whatever it says of it.
    if (told.success)
      attempt.settle({ pid, version: theirs, before: { pid: process.pid, version }, ...told.data });
    else attempt.fail(new HeadgateError('taken', `Engine ${pid} is in charge; its figures cannot be read.`));
    this.#server?.close();
    this.#peers.delete(peer);
    const asked = new Promise<'take'>((resolve) => (this.#take = resolve));
    this.#leave({ follower: peer, pid: attempt.follower?.pid ?? 0, asked });
  }
}
