// Real traffic between many namespaces: flows are tried by traffic.py, one process with sockets in all of them.
import type { ChildProcess } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { spawnIn } from '../../src/lab/namespaces.js';

const PROGRAM = fileURLToPath(new URL('traffic.py', import.meta.url));

/** A flow between two namespaces; of ICMP, `sourcePort` is the identifier of an echo request. */
export interface Attempt {
  from: string;
  to: string;
  family: 4 | 6;
  protocol: 'tcp' | 'udp' | 'icmp';
  source: string;
  destination: string;
  sourcePort: number;
  destinationPort: number;
}

export type AttemptOutcome = 'reached' | 'refused' | '';

export interface StreamCount {
  sent: number;
  received: number;
  /** The highest number received. */
  highest: number;
}

export class Traffic {
  private readonly lines: Interface;
  private readonly waiting: ((line: string) => void)[] = [];
  private readonly child: ChildProcess;

  constructor() {
    this.child = spawnIn(undefined, ['/usr/bin/python3', PROGRAM], ['pipe', 'pipe', 'inherit']);
    if (this.child.stdout === null) throw new Error('no stdout');
    this.lines = createInterface({ input: this.child.stdout });
    this.lines.on('line', (line) => this.waiting.shift()?.(line));
    this.lines.on('close', () => {
      for (const answer of this.waiting.splice(0)) answer('{"error": "traffic.py ended"}');
    });
  }

  /** Resolves when the address can be used. */
  ready(netns: string, family: 4 | 6, address: string): Promise<unknown> {
    return this.ask({ do: 'ready', netns, family, address });
  }

  begin(attempts: readonly Attempt[]): Promise<unknown> {
    return this.ask({ do: 'try', attempts });
  }

  /** Of every attempt begun, in order. */
  outcomes(): Promise<AttemptOutcome[]> {
    return this.ask({ do: 'outcomes' }) as Promise<AttemptOutcome[]>;
  }

  forget(): Promise<unknown> {
    return this.ask({ do: 'forget' });
  }

  /** Sends a datagram on each flow every `interval` seconds, until `hush`. */
  stream(flows: readonly Attempt[], interval: number): Promise<unknown> {
    return this.ask({ do: 'stream', flows, interval });
  }

  async counts(): Promise<StreamCount[]> {
    const counts = (await this.ask({ do: 'counts' })) as [number, number, number][];
    return counts.map(([sent, received, highest]) => ({ sent, received, highest }));
  }

  hush(): Promise<unknown> {
    return this.ask({ do: 'hush' });
  }

  /** Opens TCP connections and keeps them; one after the other. */
  hold(flows: readonly Attempt[]): Promise<unknown> {
    return this.ask({ do: 'hold', flows });
  }

  /** Sends a word on each held connection: reset if both ends were reset, '' if the word did not come in time. */
  use(seconds: number): Promise<('reached' | 'reset' | '')[]> {
    return this.ask({ do: 'use', seconds }) as Promise<('reached' | 'reset' | '')[]>;
  }

  release(): Promise<unknown> {
    return this.ask({ do: 'release' });
  }

  stop(): void {
    this.child.kill('SIGKILL');
  }

  private ask(command: object): Promise<unknown> {
    return new Promise((resolve, reject) => {
      this.waiting.push((line) => {
        const { result, error } = JSON.parse(line) as { result?: unknown; error?: string };
        if (error === undefined) resolve(result);
        else reject(new Error(`traffic.py: ${error}`));
      });
      this.child.stdin?.write(`${JSON.stringify(command)}\n`);
    });
  }
}
