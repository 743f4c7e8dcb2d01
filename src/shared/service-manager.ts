// What the service manager is told (systemd, sd_notify(3)): that this process is ready, that it still works, that it is
// about to stop, that another has taken its place. It also keeps descriptors (FDSTORE) for the process that it starts
// after this one has died. Where none listens, nothing is told and nothing kept.
import { createHash } from 'node:crypto';
import { loadAddon } from '../engine/addon.js';
import type { DescriptorStore } from '../engine/attachments.js';
import { errorMessage } from './errors.js';

export interface ServiceManagerLog {
  warn(fields: object, message: string): void;
}

/** Sends assignments such as `READY=1`, with descriptors beside them. */
type Notify = (text: string, descriptors?: number[]) => void;

/** The first descriptor that is passed to a process. */
const FIRST_DESCRIPTOR = 3;

export class ServiceManager implements DescriptorStore {
  readonly #notify: Notify;
  readonly #watchdog: number | undefined;
  readonly #kept: Map<string, number[]>;
  #timer: NodeJS.Timeout | undefined;

  /** `watchdog`: milliseconds without a beat until this process is killed; `kept`: descriptors that were given back. */
  constructor(notify: Notify, watchdog?: number, kept = new Map<string, number[]>()) {
    this.#notify = notify;
    this.#watchdog = watchdog;
    this.#kept = kept;
  }

  /** The one that the environment names; it throws where the addon cannot be loaded that speaks to it. */
  static find(log: ServiceManagerLog, env: NodeJS.ProcessEnv = process.env): ServiceManager {
    const socket = env['NOTIFY_SOCKET'];
    if (!socket) return new ServiceManager(() => undefined);
    const { sendDatagram } = loadAddon();
    const notify = (text: string, descriptors: number[] = []) => {
      try {
        sendDatagram(socket, Buffer.from(text), descriptors);
      } catch (error) {
        log.warn({ text, detail: errorMessage(error) }, 'the service manager cannot be told');
      }
    };
    const microseconds = env['WATCHDOG_USEC'];
    // A child inherits the variables, but it is not the one that is watched.
    const ours = (env['WATCHDOG_PID'] ?? String(process.pid)) === String(process.pid);
    return new ServiceManager(
      notify,
      microseconds && ours ? Number(microseconds) / 1000 : undefined,
      givenBack(env),
    );
  }

  take(name: string): number[] {
    const key = keyOf(name);
    const kept = this.#kept.get(key) ?? [];
    this.#kept.delete(key);
    return kept;
  }

  keep(name: string, descriptors: number[]): void {
    this.#notify(`FDSTORE=1\nFDNAME=${keyOf(name)}`, descriptors);
  }

  forget(name: string): void {
    this.#notify(`FDSTOREREMOVE=1\nFDNAME=${keyOf(name)}`);
  }

  /** Another process is the service from now on. */
  replacedBy(pid: number): void {
    clearInterval(this.#timer);
    this.#notify(`MAINPID=${pid}`);
  }

  /** `prove` is called before each beat of the watchdog: it blocks or throws where this process does not do its work. */
  ready(prove: () => void = () => undefined): void {
    this.#notify('READY=1');
    if (this.#watchdog === undefined) return;
    this.#timer = setInterval(() => {
      prove();
      this.#notify('WATCHDOG=1');
    }, this.#watchdog / 2);
  }

  stopping(): void {
    clearInterval(this.#timer);
    this.#notify('STOPPING=1');
  }
}

/** Names of kept descriptors are short and have no colon. */
function keyOf(name: string): string {
  return createHash('sha256').update(name).digest('hex').slice(0, 32);
}

/** Descriptors that the process before had kept (sd_listen_fds_with_names(3)). */
function givenBack(env: NodeJS.ProcessEnv): Map<string, number[]> {
  const kept = new Map<string, number[]>();
  if (env['LISTEN_PID'] !== String(process.pid)) return kept;
  const names = (env['LISTEN_FDNAMES'] ?? '').split(':');
  for (let i = 0; i < Number(env['LISTEN_FDS'] ?? 0); i++) {
    const name = names[i] ?? '';
    kept.set(name, [...(kept.get(name) ?? []), FIRST_DESCRIPTOR + i]);
  }
  return kept;
}
