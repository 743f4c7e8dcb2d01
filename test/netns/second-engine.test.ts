// A second engine on the same folder is refused in words, and the first does not notice.
//
//     a (10.77.0.1) ---TAP--- engine ---TAP--- b (10.77.0.2, UDP 53)
//                             engine (second, same --run-dir): refused
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PROGRAM } from '../../src/lab/headgate.js';
import { ALLOW_ALL, Bed } from './bed.js';

let bed: Bed;

beforeAll(async () => {
  bed = await Bed.start({ workloads: ['a', 'b'], rules: ALLOW_ALL });
  await bed.agent('b').listen({ udp: [53] });
}, 60_000);
afterAll(() => bed?.stop());

test.each(['engine', 'run'])(
  'headgate %s beside a running engine',
  async (command) => {
    const count = 1000;
    const traffic = bed.agent('a').sequence(bed.ipv4('b'), 53, count, 2);
    const paths = ['--config', bed.config, '--run-dir', bed.folders.runDir];
    if (command === 'run') paths.push('--state-dir', bed.folders.stateDir);
    const second = spawnSync(PROGRAM, [command, ...paths], { encoding: 'utf8', timeout: 20_000 });
    expect(second.status).toBe(1);
    expect(second.stderr).toMatch(/another engine/i);
    expect(second.stderr).toMatch(/--run-dir|run directory of its own/);
    expect(await traffic).toEqual({ received: count, repeated: 0 });
    expect((await bed.status()).ready).toBe(true);
  },
  40_000,
);
