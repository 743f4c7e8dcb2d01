// Random bytes over one TCP connection between two namespaces, compared by their sums (transfer.py).
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { execIn, spawnIn } from '../../src/lab/namespaces.js';

const PROGRAM = fileURLToPath(new URL('transfer.py', import.meta.url));

/** Sends so many to the address, which is one of the namespace `to`; fails unless they come as they were sent. */
export async function transfer(from: string, to: string, address: string, bytes: number): Promise<void> {
  const take = spawnIn(to, ['python3', PROGRAM, 'take', address, '5201'], ['ignore', 'pipe', 'inherit']);
  const lines = createInterface({ input: take.stdout! })[Symbol.asyncIterator]();
  try {
    await lines.next(); // "listening"
    const sent = await execIn(from, ['python3', PROGRAM, 'send', address, '5201', String(bytes), '1']);
    const { value: taken } = (await lines.next()) as { value: string };
    expect(taken).toBe(sent.trim());
    expect(taken).toMatch(new RegExp(`^${bytes} `));
  } finally {
    take.kill('SIGKILL');
  }
}
