// What the service manager is told (systemd, sd_notify(3)): that this process is ready, that it still works, that it is
// about to stop. Where none listens, nothing is told.
import { loadAddon } from '../engine/addon.js';
import { errorMessage } from './errors.js';

export interface ServiceManagerLog {
  warn(fields: object, message: string): void;
}

export class ServiceManager {
  readonly #notify: (text: string) => void;
  readonly #watchdog: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `notify` sends assignments such as `READY=1`; `watchdog`: milliseconds without a beat until this process is killed. */
  constructor(notify: (text: string) => void, watchdog?: number) {
    this.#notify = notify;
    this.#watchdog = watchdog;
  }

  /** The one that the environment names; it throws where the addon cannot be loaded that speaks to it. */
  static find(log: ServiceManagerLog, env: NodeJS.ProcessEnv = process.env): ServiceManager {
    const socket = env['NOTIFY_SOCKET'];
    if (!socket) return new ServiceManager(() => undefined);
    const { sendDatagram } = loadAddon();
    const notify = (text: string) => {
      try {
        sendDatagram(socket, Buffer.from(text), []);
      } catch (error) {
        log.warn({ text, detail: errorMessage(error) }, 'the service manager cannot be told');
      }
    };
    const microseconds = env['WATCHDOG_USEC'];
    // A child inherits the variables, but it is not the one that is watched.
    const ours = (env['WATCHDOG_PID'] ?? String(process.pid)) === String(process.pid);
    return new ServiceManager(notify, microseconds && ours ? Number(microseconds) / 1000 : undefined);
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
