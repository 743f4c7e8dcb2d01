// Takes the records of connections from the engine, four times a second, and gives them to the exporters that the host
// file asks for.
import type { Control } from '../control/control.js';
import type { FlowLogSpec } from '../documents/index.js';
import type { Logger } from '../observe/logger.js';
import { errorMessage } from '../shared/errors.js';
import { Collector } from './collector.js';
import { JsonLines } from './json-lines.js';
import { Outcome } from './outcome.js';
import { toRecord, type FlowLogRecord } from './record.js';

const TURN_MILLISECONDS = 250;
const DEFAULT_ACTIVE_TIMEOUT = 60;

interface Exporter {
  write(records: readonly FlowLogRecord[]): void;
  close(): Promise<void>;
}

export class FlowLog {
  readonly #control: Pick<Control, 'ask' | 'status' | 'flowLogs'>;
  readonly #activeTimeout: number;
  readonly #log: Logger;
  readonly #exporters: Exporter[] = [];
  readonly #engine: Outcome;
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(control: Pick<Control, 'ask' | 'status' | 'flowLogs'>, spec: FlowLogSpec, log: Logger) {
    this.#control = control;
    this.#log = log;
    this.#activeTimeout = spec.activeTimeout ?? DEFAULT_ACTIVE_TIMEOUT;
    const { engine, ipfix, json } = control.flowLogs;
    this.#engine = new Outcome('the engine', engine, log);
    if (spec.ipfix) this.#exporters.push(new Collector(spec.ipfix, new Outcome('ipfix', ipfix, log)));
    if (spec.jsonLines !== undefined)
      this.#exporters.push(new JsonLines(spec.jsonLines, new Outcome('jsonLines', json, log)));
  }

  start(): void {
    this.#timer = setTimeout(() => void this.#turn(), TURN_MILLISECONDS);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await Promise.all(this.#exporters.map((exporter) => exporter.close()));
  }

  async #turn(): Promise<void> {
    try {
      if (this.#control.status().engine !== undefined) await this.#take();
    } catch (error) {
      this.#log.debug({ detail: errorMessage(error) }, 'flow log records could not be taken');
    }
    if (!this.#stopped) this.start();
  }

  async #take(): Promise<void> {
    const { records, lost } = await this.#control.ask('flowLog', { activeTimeout: this.#activeTimeout });
    if (lost > 0) this.#engine.lost(lost, 'more connections end than the engine keeps until they are taken');
    if (records.length === 0 || this.#stopped) return;
    const named = records.map(toRecord);
    for (const exporter of this.#exporters) exporter.write(named);
  }
}
