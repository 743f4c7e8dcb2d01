// Bulk traffic along the first way that TCP reached, over IPv4 and IPv6, by iperf3.
import type { Row } from './check.js';
import { execIn, spawnIn, waitUntil } from './namespaces.js';

export interface Finding {
  ok: boolean;
  text: string;
}

export async function bulk(rows: Row[]): Promise<Finding> {
  const usable = (family: 4 | 6) =>
    rows.find(
      ({ attempt, answer }) =>
        attempt.service.protocol === 'tcp' && attempt.family === family && answer.outcome === 'reached',
    );
  const said: string[] = [];
  let ok = true;
  for (const family of [4, 6] as const) {
    const row = usable(family);
    if (row === undefined)
      return { ok: false, text: `no TCP way over IPv${family} to send bulk traffic along` };
    const { from, to, service, address } = row.attempt;
    const gigabits = await iperf(from.netns, to.netns, address, service.port);
    ok &&= gigabits > 0;
    said.push(`${from.workload} -> ${to.workload} IPv${family} ${gigabits.toFixed(2)} Gbit/s`);
  }
  return { ok, text: `iperf3, one second of bulk TCP: ${said.join('; ')}` };
}

async function iperf(from: string, to: string, address: string, port: number): Promise<number> {
  const server = spawnIn(to, ['iperf3', '--server', '--one-off', '--port', String(port)], 'ignore');
  try {
    await waitUntil(
      `iperf3 listens in ${to}`,
      async () => (await execIn(to, ['ss', '-ltnH', `sport = :${port}`])) !== '',
    );
    const text = await execIn(from, [
      'iperf3',
      '--client',
      address,
      '--port',
      String(port),
      '--time',
      '1',
      '--json',
    ]);
    const report = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
    return report.end.sum_received.bits_per_second / 1e9;
  } finally {
    server.kill('SIGKILL');
  }
}
