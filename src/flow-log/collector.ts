// Sends records to an IPFIX collector over UDP (RFC 7011, section 10.3). Nothing waits for it: what the socket does not
// take at once, or not at all, is lost and counted.
import { createSocket, type Socket } from 'node:dgram';
import { parseEndpoint } from '../documents/index.js';
import type { FlowLogSpec } from '../documents/index.js';
import { errorMessage } from '../shared/errors.js';
import { IpfixEncoder, type IpfixMessage } from './ipfix.js';
import type { Outcome } from './outcome.js';
import type { FlowLogRecord } from './record.js';

const DEFAULT_MTU = 1500;
/** Of the longer of both: IPv6 and UDP. */
const HEADERS = 40 + 8;
/** Templates may get lost, and a collector may restart without our noticing. */
const TEMPLATES_MILLISECONDS = 60_000;
/** In the socket's queue, where the kernel does not take them. */
const MOST_QUEUED_BYTES = 4 * 1024 * 1024;

export class Collector {
  readonly #spec: NonNullable<FlowLogSpec['ipfix']>;
  readonly #outcome: Outcome;
  readonly #encoder: IpfixEncoder;
  readonly #socket: Socket;
  #templatesAt = -Infinity;
  #lastSent = 0;
  #state: 'idle' | 'connecting' | 'connected' = 'idle';
  #fault = 'not connected yet';

  constructor(spec: NonNullable<FlowLogSpec['ipfix']>, outcome: Outcome) {
    this.#spec = spec;
    this.#outcome = outcome;
    this.#encoder = new IpfixEncoder(spec.observationDomain ?? 0, (spec.mtu ?? DEFAULT_MTU) - HEADERS);
    this.#socket = createSocket(endpoint(spec.collector).family === 4 ? 'udp4' : 'udp6');
    this.#socket.on('connect', () => (this.#state = 'connected'));
    this.#socket.on('error', (error) => this.#failed(error));
    this.#connect();
  }

  /** Makes the kernel tell us when nobody listens there. */
  #connect(): void {
    const { address, port } = endpoint(this.#spec.collector);
    this.#state = 'connecting';
    this.#socket.connect(port, address);
  }

  #failed(error: Error): void {
    if (this.#state === 'connected') {
      // ICMP answers a message that the kernel took.
      this.#refused(this.#lastSent, error);
      return;
    }
    this.#state = 'idle';
    this.#fault = errorMessage(error);
  }

  write(records: readonly FlowLogRecord[]): void {
    if (this.#state !== 'connected') {
      this.#refused(records.length, this.#fault);
      if (this.#state === 'idle') this.#connect();
      return;
    }
    const seconds = Date.now() / 1000;
    if (performance.now() - this.#templatesAt >= TEMPLATES_MILLISECONDS) {
      this.#templatesAt = performance.now();
      this.#send(this.#encoder.templates(seconds));
    }
    for (const message of this.#encoder.messages(seconds, records)) this.#send(message);
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#socket.close(resolve));
  }

  #send({ bytes, records }: IpfixMessage): void {
    if (this.#socket.getSendQueueSize() > MOST_QUEUED_BYTES) {
      this.#outcome.lost(records, `the queue to ${this.#spec.collector} is full`);
      return;
    }
    try {
      this.#socket.send(bytes, (error) => {
        if (error) return this.#refused(records, error);
        this.#lastSent = records;
        this.#outcome.written(records);
      });
    } catch (error) {
      this.#refused(records, error);
    }
  }

  /** A collector that comes back has to be told the templates first. */
  #refused(records: number, error: unknown): void {
    this.#templatesAt = -Infinity;
    this.#outcome.lost(records, `${this.#spec.collector}: ${errorMessage(error)}`);
  }
}

function endpoint(text: string): NonNullable<ReturnType<typeof parseEndpoint>> {
  const parsed = parseEndpoint(text);
  if (parsed === undefined) throw new Error(`${text} is no address with a port`);
  return parsed;
}
