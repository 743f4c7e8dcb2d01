// The engine that is to follow the one in charge: it prepares everything beside it, takes over between two of its batches,
// and is in charge then.
import { connect } from 'node:net';
import { join } from 'node:path';
import { unlinkSync } from 'node:fs';
import { errorMessage, HeadgateError } from '../shared/errors.js';
import type { HostSettings } from '../shared/host-file.js';
import { handoverSocket, poolDirectory } from '../shared/paths.js';
import type { Addon, NativeEngine } from './addon.js';
import type { EngineProcess } from './engine.js';
import { HANDOVER_VERSION, legacySchema, type Begin, type Legacy, type Taken } from './handover-messages.js';
import { comeForward } from './launch.js';
import { Peer } from './peer.js';
import type { StandingBy } from './giver.js';

const PORT_MILLISECONDS = 10_000;
const TAKE_MILLISECONDS = 10_000;

export interface FollowOptions {
  addon: Addon;
  host: HostSettings;
  runDir: string;
  version: string;
  /** Makes the process around the native engine; `uptime`: of the counters that it goes on with. */
  wrap: (native: NativeEngine, uptime: number) => EngineProcess;
}

export interface Followed {
  native: NativeEngine;
  engine: EngineProcess;
  before: StandingBy;
}

/** Connects to the engine in charge. Throws when none listens. */
export async function findPredecessor(runDir: string): Promise<Peer> {
  const socket = connect(handoverSocket(runDir));
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (cause) =>
      reject(
        new HeadgateError('no-engine', `No engine is there to be followed: ${errorMessage(cause)}`, {
          cause,
          remedy: 'headgate upgrade starts this, beside an engine that runs.',
        }),
      ),
    );
  });
  return new Peer(socket);
}

/** Takes over, or throws and has changed nothing. The one before is told why. */
export async function follow(predecessor: Peer, options: FollowOptions): Promise<Followed> {
  try {
    return await prepareAndTake(predecessor, options);
  } catch (error) {
    await predecessor.tell('failed', { reason: errorMessage(error) });
    throw error;
  }
}

async function prepareAndTake(predecessor: Peer, options: FollowOptions): Promise<Followed> {
  const { addon, host, version } = options;
  const began = performance.now();
  const { layouts, formerLayouts } = addon;
  const me: Begin = { handover: HANDOVER_VERSION, version, pid: process.pid, layouts, formerLayouts };
  const legacy = legacySchema.parse(await predecessor.ask('begin', me));
  checkShape(host, legacy);
  const native = addon.createEngine({
    workers: host.workers,
    connections: host.connections,
    rules: host.rules,
    poolDirectory: poolDirectory(options.runDir),
    follow: true,
  });
  try {
    const engine = options.wrap(native, legacy.uptime);
    if (legacy.policy !== undefined) engine.follow(legacy.policy);
    const channel = await takePorts(predecessor, options, engine, legacy);
    await engine.prepare();
    const converted = legacy.converted + native.convert();
    const prepareMilliseconds = performance.now() - began;
    await comeForward();
    await predecessor.tell('commit');
    const { error, ...waited } = native.takeOver(channel, TAKE_MILLISECONDS);
    addon.closeDescriptor(channel);
    if (error !== undefined) throw new HeadgateError('not-upgraded', error);
    native.forgetUpgrade();
    engine.serve();
    const taken: Taken = { ...waited, prepareMilliseconds, converted };
    // It may be dead by now, which is no business of this one.
    await predecessor.ask('serving', taken).catch(() => undefined);
    return { native, engine, before: { peer: predecessor, pid: legacy.pid, version: legacy.version } };
  } catch (error) {
    native.stop();
    throw error;
  }
}

function checkShape(host: HostSettings, legacy: Legacy): void {
  const differs = (['workers', 'connections'] as const).filter((field) => host[field] !== legacy[field]);
  if (differs.length === 0) return;
  const what = differs.map((field) => `${field} ${host[field]} instead of ${legacy[field]}`).join(', ');
  throw new HeadgateError('shape', `the host file now says ${what}, which only a restart can change`);
}

/** Attaches the ports whose descriptors come; the channel comes behind them. */
async function takePorts(
  predecessor: Peer,
  { addon, runDir }: FollowOptions,
  engine: EngineProcess,
  legacy: Legacy,
): Promise<number> {
  const path = join(poolDirectory(runDir), `inbox.${process.pid}`);
  const inbox = addon.openInbox(path);
  const ports = new Map<string, number[]>();
  try {
    await predecessor.tell('ports', { inbox: path });
    for (;;) {
      const { payload, descriptors } = addon.receiveDatagram(inbox, PORT_MILLISECONDS);
      const name = payload.toString();
      const [channel] = descriptors;
      if (channel === undefined) throw new HeadgateError('ports', `no descriptor came for the port ${name}`);
      if (name !== '') {
        ports.set(name, descriptors);
        continue;
      }
      engine.attachments.takeOver(legacy.attachments, ports);
      return channel;
    }
  } finally {
    addon.closeDescriptor(inbox);
    unlinkSync(path);
  }
}
