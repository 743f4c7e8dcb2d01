// One measurement between two namespaces: traffic from the client to the server, and the figure it gives.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { resolve } from 'node:path';
import { execIn, spawnIn, waitUntil } from '../namespaces.js';
import type { Ends } from './join.js';

/** Figures of one run by name; `value` is the one that is compared. */
export type Figures = { value: number } & Record<string, number>;

export interface Measurement {
  unit: string;
  better: 'higher' | 'lower';
  /** How long one run may send, in seconds; the bench as a whole decides. */
  run(ends: Ends, seconds: number): Promise<Figures>;
}

export const tool = (name: string): string =>
  resolve(process.env['HEADGATE_ROOT'] ?? '.', 'build/Release', name);

/** Bulk TCP of one connection, by iperf3. */
export const tcp: Measurement = {
  unit: 'Gbit/s',
  better: 'higher',
  async run(ends, seconds) {
    const server = spawnIn(ends.server, ['iperf3', '--server', '--one-off', '--json'], 'ignore');
    try {
      await listening(ends.server, 'tcp', 5201);
      const text = await execIn(ends.client, [
        ...['iperf3', '--client', ends.serverAddress, '--time', String(seconds), '--omit', '0', '--json'],
      ]);
      const report = JSON.parse(text) as {
        end: { sum_received: { bits_per_second: number }; sum_sent: { retransmits: number } };
      };
      return {
        value: report.end.sum_received.bits_per_second / 1e9,
        retransmits: report.end.sum_sent.retransmits,
      };
    } finally {
      server.kill('SIGKILL');
    }
  },
};

/** Small UDP datagrams (18 bytes: the smallest Ethernet frame) that arrive, per second. */
export const pps: Measurement = {
  unit: 'kpps',
  better: 'higher',
  async run(ends, seconds) {
    const { sent, received } = await datagrams(ends, seconds);
    return { value: received.kpps, sent: sent.kpps, arrived: received.received / sent.sent };
  },
};

/** The same, as fast as one socket goes or `rate` a second. */
export async function datagrams(ends: Ends, seconds: number, rate?: number) {
  await warm(ends);
  return withServer(ends, ['udp_blast', 'receive', '--port', '9000', '--seconds', '10'], async (output) => {
    const send = [tool('udp_blast'), 'send', '--to', ends.serverAddress, '--port', '9000', '--size', '18'];
    const limit = rate === undefined ? [] : ['--rate', String(rate)];
    const said = await execIn(ends.client, [...send, '--seconds', String(seconds), ...limit]);
    return {
      sent: JSON.parse(said) as { sent: number; kpps: number },
      received: JSON.parse(await output) as { received: number; kpps: number },
    };
  });
}

/** New TCP connections: connect, one byte each way, close; four clients. */
export const cps: Measurement = {
  unit: 'connections/s',
  better: 'higher',
  async run(ends, seconds) {
    return withServer(ends, ['tcp_connect', 'server', '--port', '9001'], async () => {
      const report = JSON.parse(
        await execIn(ends.client, [
          ...[tool('tcp_connect'), 'client', '--to', ends.serverAddress, '--port', '9001'],
          ...['--threads', '4', '--seconds', String(seconds)],
        ]),
      ) as { cps: number; failed: number; connections: number };
      return { value: report.cps, failed: report.failed, tried: report.connections + report.failed };
    });
  },
};

/** Round trip of a request of 64 bytes over UDP at low load; the figure compared is the median. */
export const latency: Measurement = {
  unit: 'us',
  better: 'lower',
  async run(ends, seconds) {
    return withServer(ends, ['latency', 'server', '--protocol', 'udp', '--port', '9002'], async () => {
      const report = JSON.parse(
        await execIn(ends.client, [
          ...[tool('latency'), 'client', '--protocol', 'udp', '--to', ends.serverAddress, '--port', '9002'],
          ...['--pause-us', '300', '--count', String(Math.round(seconds * 2500))],
        ]),
      ) as { p50: number; p99: number; p999: number; lost: number };
      return { value: report.p50, p99: report.p99, p999: report.p999, lost: report.lost };
    });
  },
};

/** Starts a traffic tool in the server's namespace, waits until it says "ready", measures, and ends it. */
async function withServer<T>(
  ends: Ends,
  [name = '', ...args]: string[],
  measure: (rest: Promise<string>) => Promise<T>,
): Promise<T> {
  const server = spawnIn(ends.server, [tool(name), ...args], ['ignore', 'pipe', 'inherit']);
  if (server.stdout === null) throw new Error('no stdout');
  const lines = createInterface({ input: server.stdout });
  const rest: string[] = [];
  const ended = once(server, 'close');
  await new Promise<void>((ready, failed) => {
    lines.on('line', (line) => (line === 'ready' ? ready() : rest.push(line)));
    void ended.then(() => failed(new Error(`${name} ended before it was ready`)));
  });
  try {
    return await measure(ended.then(() => rest.join('\n')));
  } finally {
    server.kill('SIGKILL');
  }
}

/** Lets addresses be resolved before small frames are counted. */
async function warm(ends: Ends): Promise<void> {
  await waitUntil('the server answers', () =>
    execIn(ends.client, ['ping', '-n', '-c', '1', '-W', '1', ends.serverAddress]).then(() => true),
  );
}

export async function listening(netns: string, protocol: 'tcp' | 'udp', port: number): Promise<void> {
  const option = protocol === 'tcp' ? '-ltnH' : '-lunH';
  await waitUntil(`port ${port} in ${netns}`, async () =>
    (await execIn(netns, ['ss', option, `sport = :${port}`])).includes(`:${port}`),
  );
}
