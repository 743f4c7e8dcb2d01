// Keeps the ports of the workloads as the policy says: attached, or waiting for what is not there yet.
//
// After each publish the wanted attachments are compared with those that exist; then, once a second, `tick`
// tries those that wait and looks for those that were lost. An open TAP descriptor keeps a deleted network
// namespace alive and silent, so a namespace counts as gone when its file is missing or names another inode
// than the one attached to. The addon reports devices that vanish by itself (`failures`).
//
// Nothing is attached before the first publish: without one there is nothing to compare with.
import { statSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { errorCode, errorMessage } from '../shared/errors.js';
import type { NativeEngine } from './addon.js';
import type { HeldAttachment } from './handover-messages.js';
import type { Attach, Attachment, Delta, EngineWorkload } from './messages.js';
import { namespacePath } from './permits.js';

/** Identity of a namespace: the device and inode of its file; undefined when there is none. */
export type NamespaceIdentity = (path: string) => string | undefined;

export interface AttachmentsLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

/** Keeps descriptors of ports for the engine that comes after this one has died; under systemd, its descriptor store. */
export interface DescriptorStore {
  /** What was kept under that name, once. */
  take(name: string): number[];
  keep(name: string, descriptors: number[]): void;
  forget(name: string): void;
}

const noStore: DescriptorStore = { take: () => [], keep: () => undefined, forget: () => undefined };

interface Entry {
  attach: Attach;
  segment: string;
  state: Attachment['state'];
  detail?: string;
  mac?: string;
  /** The namespace attached to; set while attached in a named namespace. */
  namespace?: string;
  /** Ticks to let pass before the next try. */
  rest: number;
  failuresInRow: number;
}

/** Missing things come when somebody makes them, so they are tried again at every tick. The addon names the errno. */
const MISSING = /\b(ENOENT|ENODEV|ENXIO)\b/;
const MOST_REST_TICKS = 30;

type Native = Pick<NativeEngine, 'attach' | 'attachTogether' | 'detach' | 'failures' | 'descriptors'>;

export class Attachments {
  readonly #native: Native;
  readonly #log: AttachmentsLog;
  readonly #identify: NamespaceIdentity;
  readonly #store: DescriptorStore;
  readonly #entries = new Map<string, Entry>();
  /** Of ports that were opened and not kept yet: a workload on each. */
  readonly #fresh = new Map<string, string>();

  constructor(
    native: Native,
    log: AttachmentsLog,
    identify: NamespaceIdentity = identifyNamespace,
    store: DescriptorStore = noStore,
  ) {
    this.#store = store;
    this.#native = native;
    this.#log = log;
    this.#identify = identify;
  }

  /** Called after a delta was published: attaches what is new, moves what changed, detaches what was removed. */
  published(delta: Delta): void {
    const moved = attachedIn(delta).filter((workload) => {
      const known = this.#entries.get(workload.name);
      if (known !== undefined && isSameAs(known, workload)) return false;
      if (known !== undefined) this.#release(workload.name, known, true);
      return true;
    });
    for (const name of delta.removeWorkloads ?? []) {
      const entry = this.#entries.get(name);
      if (entry === undefined) continue;
      this.#release(name, entry, true);
      this.#entries.delete(name);
    }
    // A tunnel that says something else is opened anew once nobody is left on it as it was.
    this.#together(() => {
      for (const { name, attach, segment } of moved) {
        const entry: Entry = { attach, segment, state: 'waiting', rest: 0, failuresInRow: 0 };
        this.#entries.set(name, entry);
        this.#try(name, entry);
      }
    });
  }

  /** What is attached by `work` is read from when all of it is. */
  #together(work: () => void): void {
    this.#native.attachTogether(true);
    try {
      work();
    } finally {
      this.#native.attachTogether(false);
    }
    for (const [port, workload] of this.#fresh) this.#store.keep(port, this.#native.descriptors(workload));
    this.#fresh.clear();
  }

  /**
   * Takes the workloads off their ports that the delta moves to another segment or port: the addon refuses to move
   * what is attached. `tick` puts them back if the delta is then refused.
   */
  releaseMoving(delta: Delta): void {
    for (const workload of attachedIn(delta)) {
      const entry = this.#entries.get(workload.name);
      if (entry?.state !== 'attached' || isSameAs(entry, workload)) continue;
      this.#release(workload.name, entry, !isDeepStrictEqual(entry.attach, workload.attach));
      entry.state = 'waiting';
      entry.rest = 0;
    }
  }

  /** Once a second. */
  tick(): void {
    for (const failure of this.#native.failures()) {
      const entry = this.#entries.get(failure.workload);
      if (entry?.state === 'attached') this.#lose(failure.workload, entry, failure.detail);
    }
    this.#together(() => {
      for (const [name, entry] of this.#entries) {
        if (entry.state === 'attached') this.#checkNamespace(name, entry);
        if (entry.state === 'attached') continue;
        if (entry.rest > 0) entry.rest -= 1;
        else this.#try(name, entry);
      }
    });
  }

  list(): Attachment[] {
    return [...this.#entries].map(([workload, entry]) => ({
      workload,
      state: entry.state,
      ...(entry.detail === undefined ? {} : { detail: entry.detail }),
      ...(entry.mac === undefined ? {} : { mac: entry.mac }),
    }));
  }

  /** What the engine that follows is told. */
  held(): HeldAttachment[] {
    return [...this.#entries].map(([workload, { attach, segment, state, detail, mac, namespace }]) => ({
      workload,
      attach,
      segment,
      state,
      ...(detail === undefined ? {} : { detail }),
      ...(mac === undefined ? {} : { mac }),
      ...(namespace === undefined ? {} : { namespace }),
    }));
  }

  /** Hands out each port's descriptors once, under the name of its device. */
  eachPort(visit: (name: string, descriptors: number[]) => void): number {
    const seen = new Set<string>();
    for (const [workload, entry] of this.#entries) {
      const name = portName(entry);
      if (entry.state !== 'attached' || seen.has(name)) continue;
      seen.add(name);
      visit(name, this.#native.descriptors(workload));
    }
    return seen.size;
  }

  /** Goes on with what the engine before had; `ports` holds descriptors by name. What cannot be taken over waits. */
  takeOver(held: readonly HeldAttachment[], ports: ReadonlyMap<string, number[]>): void {
    const given = new Map(ports);
    this.#together(() => {
      for (const { workload, attach, segment, state, detail, mac, namespace } of held) {
        const entry: Entry = { attach, segment, state: 'waiting', rest: 0, failuresInRow: 0 };
        if (detail !== undefined) entry.detail = detail;
        this.#entries.set(workload, entry);
        if (state !== 'attached') continue;
        if (namespace !== undefined) entry.namespace = namespace;
        if (mac !== undefined) entry.mac = mac;
        const name = portName(entry);
        this.#open(workload, entry, given.get(name) ?? []);
        given.delete(name);
      }
    });
  }

  #open(workload: string, entry: Entry, descriptors: number[]): void {
    try {
      this.#native.attach(workload, entry.attach, descriptors);
      entry.state = 'attached';
    } catch (error) {
      delete entry.mac;
      delete entry.namespace;
      entry.detail = errorMessage(error);
      this.#log.warn({ workload, detail: entry.detail }, 'a port could not be taken over; it is opened anew');
    }
  }

  #checkNamespace(name: string, entry: Entry): void {
    const path = pathOf(entry.attach);
    if (path === undefined) return;
    const now = this.#identify(path);
    if (now === entry.namespace) return;
    const detail = now === undefined ? 'is gone' : 'was deleted and made again';
    this.#lose(name, entry, `the namespace ${path} ${detail}`);
  }

  #lose(name: string, entry: Entry, detail: string): void {
    this.#release(name, entry, false);
    entry.state = 'waiting';
    entry.detail = detail;
    entry.rest = 0;
    delete entry.mac;
    delete entry.namespace;
    this.#log.warn({ workload: name, detail }, 'attachment lost');
  }

  #try(name: string, entry: Entry): void {
    const path = pathOf(entry.attach);
    const namespace = path === undefined ? undefined : this.#identify(path);
    if (path !== undefined && namespace === undefined) {
      this.#fail(name, entry, 'waiting', `the namespace ${path} does not exist`);
      return;
    }
    try {
      const { mac } = this.#attach(name, entry, namespace);
      entry.state = 'attached';
      entry.failuresInRow = 0;
      delete entry.detail;
      if (mac !== undefined) entry.mac = mac;
      // A namespace replaced between the look and the attachment is noticed at the next tick.
      if (namespace !== undefined) entry.namespace = namespace;
      this.#log.info(
        { workload: name, attach: entry.attach.kind, device: entry.attach.device, mac },
        'attached',
      );
    } catch (error) {
      this.#fail(
        name,
        entry,
        MISSING.test(`${errorCode(error)} ${errorMessage(error)}`) ? 'waiting' : 'failed',
        errorMessage(error),
      );
    }
  }

  /** With the descriptors that were kept for its port, if they are still good. */
  #attach(name: string, entry: Entry, namespace: string | undefined): { mac?: string } {
    const port = portName({ ...entry, ...(namespace === undefined ? {} : { namespace }) });
    const kept = this.#store.take(port);
    let result: { mac?: string } | undefined;
    if (kept.length > 0) {
      try {
        result = this.#native.attach(name, entry.attach, kept);
      } catch (error) {
        this.#store.forget(port);
        this.#log.warn({ workload: name, detail: errorMessage(error) }, 'kept descriptors are of no use');
      }
    }
    result ??= this.#native.attach(name, entry.attach);
    this.#fresh.set(port, name);
    return result;
  }

  #fail(name: string, entry: Entry, state: 'waiting' | 'failed', detail: string): void {
    const news = entry.state !== state || entry.detail !== detail;
    entry.state = state;
    entry.detail = detail;
    if (state === 'failed') {
      entry.rest = Math.min(2 ** entry.failuresInRow, MOST_REST_TICKS);
      entry.failuresInRow += 1;
    } else {
      entry.failuresInRow = 0;
    }
    if (news)
      this.#log.warn(
        { workload: name, detail },
        state === 'waiting' ? 'attachment waits' : 'attachment failed',
      );
  }

  #release(name: string, entry: Entry, remove: boolean): void {
    if (entry.state !== 'attached') return;
    try {
      this.#native.detach(name, remove && entry.attach.kind === 'tap');
      const port = portName(entry);
      if (
        ![...this.#entries].some(
          ([other, one]) => other !== name && one.state === 'attached' && portName(one) === port,
        )
      )
        this.#store.forget(port);
      if (remove) this.#log.info({ workload: name, device: entry.attach.device }, 'detached');
    } catch (error) {
      this.#log.warn({ workload: name, detail: errorMessage(error) }, 'detaching failed');
    }
  }
}

/** The name of a port among engines: its device, and the very namespace that that is in. */
function portName({ attach, namespace }: Pick<Entry, 'attach' | 'namespace'>): string {
  const kind = attach.kind === 'veth' || attach.kind === 'nic' ? 'socket' : attach.kind;
  return [kind, attach.device, namespace ?? ''].join('/');
}

type Attachable = EngineWorkload & { attach: Attach; segment: string };

/** The delta's workloads that have a port: all but trackers. */
function attachedIn({ setWorkloads = [] }: Delta): Attachable[] {
  return setWorkloads.filter(
    (one): one is Attachable => one.attach !== undefined && one.segment !== undefined,
  );
}

/** The namespace that it lies in. */
function pathOf(attach: Attach): string | undefined {
  return attach.kind === 'tap' || attach.kind === 'tunnel' ? namespacePath(attach.netns) : undefined;
}

function isSameAs(entry: Entry, workload: Attachable): boolean {
  return entry.segment === workload.segment && isDeepStrictEqual(entry.attach, workload.attach);
}

export function identifyNamespace(path: string): string | undefined {
  try {
    // Asked for every workload once a second: one that is not there must not cost an exception.
    const status = statSync(path, { bigint: true, throwIfNoEntry: false });
    return status && `${status.dev}:${status.ino}`;
  } catch {
    return undefined;
  }
}
