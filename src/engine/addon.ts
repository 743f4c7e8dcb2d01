// Loads the native addon and gives it its types. A firewall without its packet path must not start: there is
// no fallback, and a failed load lists its remedies.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Attach, Delta, Inventory, LogEvent, Result, Stats } from './messages.js';
import type { GivenFrame, Trace, TraceFilter } from './trace-messages.js';

export interface EngineOptions {
  /** Packet threads; 0 makes none: `run` then does one batch on the calling thread (tests, replays). */
  workers: number;
  /** Most connections that are tracked at once. */
  connections: number;
  /** Most places in the rules table; absent: 262,144. A rule takes one, or one for each list of source ports. */
  rules?: number;
  /** Folder of the pools; a second engine on the same folder is refused. */
  poolDirectory: string;
  /** Maps the pools of the engine that owns them, to go on in its place: nothing runs before `takeOver`. */
  follow?: boolean;
}

/** A port of the engine: the forms of `Attach`, and the twins that tests and replays use. */
export type PortSpec = Attach | MemoryPort | { kind: 'pcap'; read: string; write: string };

export interface MemoryPort {
  kind: 'memory';
  /** Whether it takes super-frames and partial checksums; absent: yes. */
  offloads?: boolean;
  /** The name of a trunk: workloads of several segments share it, each with its VLAN. */
  trunk?: string;
}

/** What makes a frame a super-frame, with a checksum that is still to be made (virtio-net header). */
export interface Offload {
  kind: 'tcp4' | 'tcp6' | 'udp';
  /** Payload bytes of each segment. */
  segmentSize: number;
  /** Where the transport header begins, and the place of the checksum in it. */
  checksumStart: number;
  checksumOffset: number;
}

/** One packet for `classify`: addresses as text, ports and ICMP fields as numbers. */
export interface PacketHeaders {
  protocol: number;
  source: string;
  destination: string;
  sourcePort?: number;
  destinationPort?: number;
  icmpType?: number;
  icmpCode?: number;
}

/** What an engine began with: what the one before had left, and what of it was thrown away, in words. */
export interface StartReport {
  left: 'nothing' | 'in-order' | 'in-disorder';
  connections: number;
  /** Records that made no sense after a crash. */
  forgotten: number;
  alarms: string[];
}

/** The policy that an engine holds, and the numbers that it goes by; natively without what HeldPolicy has. */
export interface NativePolicy {
  delta: Delta;
  numbering: { number: number; epochs: Record<string, number> };
}

export interface HandoverReport {
  /** Absent: it succeeded. */
  error?: string;
  /** For which packets waited; of these until the one before had let go, and from when the follower heard of it. */
  pauseMicroseconds: number;
  stopMicroseconds: number;
  startMicroseconds: number;
  connections: number;
}

/** A trace, and a frame to be traced, with the frame's bytes. */
export type NativeTrace = Omit<Trace, 'frame'> & { frame: Buffer };
export type NativeGivenFrame = Omit<GivenFrame, 'frame'> & { frame: Uint8Array };

/** Errors thrown by every call are `Error`s with a `code` (an errno name or one of the engine's own). */
export interface NativeEngine {
  /** Applies the delta whole or throws and changes nothing; resolves when every worker judges by it. */
  publish(delta: Delta): Promise<{ generation: number }>;
  /** Opens the workload's port and joins it to its segment. The workload must have been published. */
  attach(workload: string, port: PortSpec, descriptors?: number[]): { mac?: string };
  /** While true, ports that are attached wait; with false all of them are read from at once. */
  attachTogether(more: boolean): void;
  /** Of the queues of the workload's port. Not of one that waits. */
  descriptors(workload: string): number[];
  /** Closes the workload's port; `remove` also deletes a TAP device that the engine made. */
  detach(workload: string, remove: boolean): void;
  /** Workloads whose port failed since it was attached (device or namespace gone), with the cause. */
  failures(): { workload: string; detail: string }[];
  inventory(): Inventory;
  stats(): Stats;
  flows(limit: number, denied: boolean): Result<'flows'>;
  logs(): LogEvent[];
  /** Records of connections since the last call, which begins them; `activeTimeout` in seconds. */
  flowLog(activeTimeout: number): Result<'flowLog'>;
  endFlowLog(): void;
  /** Asks the published tables alone what a new flow would get at a workload: the index entry's id or none (default). */
  classify(
    workload: string,
    direction: 'in' | 'out',
    packet: PacketHeaders,
  ): { action: 'allow' | 'drop' | 'reject'; rule?: string };
  /** What the stages would do with the frames, one after the other, without doing it. */
  simulate(frames: NativeGivenFrame[]): NativeTrace[];
  /** Has the frame go through the stages as if its workload had sent it. */
  injectTraced(frame: NativeGivenFrame): NativeTrace;
  /** Live traces: frames are traced from `startTrace` on, until `stopTrace`. */
  startTrace(filter: TraceFilter): number;
  takeTrace(trace: number, limit: number): { traces: NativeTrace[]; lost: number };
  stopTrace(trace: number): void;
  /** Memory ports: what the workload sends, and takes out what it was sent. */
  inject(workload: string, frame: Uint8Array, offload?: Offload): void;
  collect(workload: string): Buffer[];
  /** Runs one batch at the given time in nanoseconds (only with `workers: 0`); frames handled. */
  run(now: bigint): number;
  /** Returns once every worker has been between two batches; blocks for as long as one of them hangs. */
  awaitWorkers(): void;
  startReport(): StartReport;
  policy(): NativePolicy;
  /** Holds the policy of the engine before, under the same numbers. */
  follow(delta: Delta, numbering: NativePolicy['numbering']): void;
  /** Where the two have other layouts: marks what changes, while one of them makes a copy. */
  markChanges(on: boolean): void;
  /** The follower makes its copy, or brings it up to date; records that it converted. */
  convert(): number;
  /** The one in charge makes it for a follower with that layout of a connection; throws `layout` where it is unknown. */
  convertFor(layout: number): number;
  /** Nothing is left of an upgrade. */
  forgetUpgrade(): void;
  /** Lets go of the pools and waits until the follower, at the other end of the channel, runs; goes on if it does not. */
  handOver(channel: number, milliseconds: number, follower: number): HandoverReport;
  /** Waits until the engine before lets go, and runs. */
  takeOver(channel: number, milliseconds: number): HandoverReport;
  /** Stops the workers, closes the ports (devices stay) and marks the pools clean. */
  stop(): void;
}

export interface Addon {
  /** The layout of each part of the state, and of connections those that it converts beside its own. */
  layouts: Record<string, number>;
  formerLayouts: number[];
  createEngine(options: EngineOptions): NativeEngine;
  /** Every drop reason: its name in metrics and its text. */
  reasons: { name: string; text: string }[];
  /** The program of a pcap-filter(7) expression. libpcap reads the text, so not in the engine's process. */
  compileFilter(expression: string): [code: number, jt: number, jf: number, k: number][];
  /** Sends one datagram, with descriptors beside it, to a unix socket (a path, or @ and an abstract name), or throws. */
  sendDatagram(socket: string, payload: Uint8Array, descriptors: number[]): void;
  /** Makes a unix datagram socket at the path; its descriptor. */
  openInbox(path: string): number;
  /** Blocks until a datagram is there; throws when none comes in time. */
  receiveDatagram(inbox: number, milliseconds: number): { payload: Buffer; descriptors: number[] };
  /** Both ends of a stream. */
  socketPair(): [number, number];
  closeDescriptor(descriptor: number): void;
}

const ADDON = fileURLToPath(new URL('../../build/Release/headgate.node', import.meta.url));

export function loadAddon(path = process.env['HEADGATE_ADDON'] ?? ADDON): Addon {
  try {
    return createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    const why = existsSync(path) ? 'it was built for another Node or libc' : 'it has not been built';
    throw new Error(
      `The packet path ${path} cannot be loaded: ${why}. Build it with scripts/setup (Node 20 or later, a C++20 compiler). ` +
        `Headgate does not start without it. Cause: ${String(cause)}`,
      { cause },
    );
  }
}
