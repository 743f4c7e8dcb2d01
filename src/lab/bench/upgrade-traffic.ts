// What goes from client to server while bench upgrade changes something: a probe of numbered datagrams, and one TCP
// connection of iperf3 at an even rate, which everybody can carry beside it.
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { execIn, spawnIn, waitUntil } from '../namespaces.js';
import type { Ends } from './join.js';
import { listening, tool } from './measure.js';
import { rounded } from './report.js';
import { together, type Window } from './upgrade-report.js';

/** Of the probe, in datagrams a second. */
export const PROBE_RATE = 10_000;
/** Of the TCP connection, in bit/s. */
export const STREAM_RATE = 300e6;
const PART_MILLISECONDS = 250;
const LONGEST_BLACKOUT_MS = 30_000;

/** What became of the TCP connection. */
export interface Stream {
  /** It went on in the end. */
  alive: boolean;
  gbitPerSecond: number;
  retransmits: number;
  seconds: number;
  secondsWithout: number;
}

export class Traffic {
  private constructor(
    private readonly ends: Ends,
    private readonly children: ChildProcess[],
    private readonly receiver: ChildProcess,
    private readonly lines: Interface,
    private readonly client: ChildProcess,
    private readonly said: Promise<string>,
  ) {}

  static async start(ends: Ends): Promise<Traffic> {
    const server = spawnIn(ends.server, ['iperf3', '--server', '--one-off'], 'ignore');
    const children = [server];
    const start = (netns: string, argv: string[]): ChildProcess => {
      const child = spawnIn(netns, argv, ['pipe', 'pipe', 'inherit']);
      children.push(child);
      return child;
    };
    try {
      const receiver = start(ends.server, [tool('sequence_probe'), 'receive']);
      const lines = createInterface({ input: output(receiver) });
      await once(lines, 'line'); // "ready"
      start(ends.client, [
        ...[tool('sequence_probe'), 'send', '--to', ends.serverAddress],
        ...['--rate', String(PROBE_RATE)],
      ]);
      await listening(ends.server, 'tcp', 5201);
      const client = start(ends.client, [
        ...['iperf3', '--client', ends.serverAddress, '--time', '86400', '--interval', '1', '--json'],
        ...['--bitrate', String(STREAM_RATE)],
      ]);
      const traffic = new Traffic(ends, children, receiver, lines, client, text(output(client)));
      // The first second is that of addresses being resolved and of a TCP window that grows.
      await sleep(1500);
      if ((await traffic.tell()).sent === 0) throw new Error('the probe does not arrive');
      return traffic;
    } catch (error) {
      for (const child of children) child.kill('SIGKILL');
      throw error;
    }
  }

  /** What the probe's receiver says of the time since it was asked before. */
  async tell(): Promise<Window> {
    const answer = once(this.lines, 'line');
    this.receiver.stdin?.write('\n');
    const [line] = (await answer) as [string];
    return JSON.parse(line) as Window;
  }

  /** What the probe says of a change: from its begin until frames have passed again for a while. */
  async during<T>(change: () => Promise<T>): Promise<{ window: Window; began: number; changed: T }> {
    await this.tell();
    const began = Date.now();
    const changed = await change();
    const windows = [await this.tell()];
    const end = Date.now() + LONGEST_BLACKOUT_MS;
    // A gap is told when it ends: only a part that begins after the change and has arrivals tells of all.
    for (let parts = 0; parts < 2;) {
      await sleep(PART_MILLISECONDS);
      const part = await this.tell();
      windows.push(part);
      if (part.sent > 0) parts++;
      else if (Date.now() > end) throw new Error('frames do not pass again');
    }
    return { window: together(windows), began, changed };
  }

  async stop(): Promise<Stream> {
    const { client } = this;
    const alive = await this.goesOn();
    client.kill('SIGINT'); // then it reports
    const report = JSON.parse(await this.said) as Report;
    for (const child of this.children) child.kill('SIGKILL');
    const rates = report.intervals.map(({ sum }) => sum.bits_per_second);
    return {
      alive,
      gbitPerSecond: rounded(rates.reduce((sum, rate) => sum + rate, 0) / rates.length / 1e9),
      retransmits: report.intervals.reduce((sum, one) => sum + one.sum.retransmits, 0),
      seconds: rates.length,
      secondsWithout: rates.filter((rate) => rate === 0).length,
    };
  }

  /** Bytes are acknowledged that were not before: a sender that has waited long waits some seconds more. */
  private async goesOn(): Promise<boolean> {
    const acknowledged = async () => {
      const said = await execIn(this.ends.client, ['ss', '-tniH', 'dport = :5201']);
      return [...said.matchAll(/bytes_acked:(\d+)/g)].reduce((sum, [, bytes]) => sum + Number(bytes), 0);
    };
    const before = await acknowledged();
    return waitUntil('the stream goes on', async () => (await acknowledged()) > before).catch(() => false);
  }

  kill(): void {
    for (const child of this.children) child.kill('SIGKILL');
  }
}

interface Report {
  intervals: { sum: { bits_per_second: number; retransmits: number } }[];
}

function output(child: ChildProcess) {
  if (child.stdout === null) throw new Error('no stdout');
  return child.stdout;
}
