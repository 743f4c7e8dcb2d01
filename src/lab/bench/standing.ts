// UDP connections that stand while something else is measured: one datagram each, which nobody answers.
import { once } from 'node:events';
import { execIn, spawnIn } from '../namespaces.js';
import type { Ends } from './join.js';
import { tool } from './measure.js';

/**
 * Sends until as many are held: a device that is full drops some. What is returned ends their sink, behind which the
 * server's namespace would answer further datagrams.
 */
export async function stand(ends: Ends, count: number, held: () => Promise<number>): Promise<() => void> {
  const sink = spawnIn(ends.server, [tool('standing_flows'), 'sink'], ['ignore', 'pipe', 'inherit']);
  if (sink.stdout === null) throw new Error('no stdout');
  await once(sink.stdout, 'data'); // "ready"
  const send = [tool('standing_flows'), 'send', '--to', ends.serverAddress, '--count', String(count)];
  for (let pass = 1; pass <= 10; pass++) {
    await execIn(ends.client, send, { timeoutMs: 120_000 });
    if ((await held()) >= count) return () => sink.kill('SIGKILL');
  }
  throw new Error(`after ten passes there are no ${count} connections`);
}
