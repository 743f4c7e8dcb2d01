// scripts/demo, once everything is built: puts the three-tier lab up, sends real traffic, and judges what happened.
// Runs inside scripts/sandbox, which takes everything away at the end, however that comes.
//
//   1. every pair is tried (check.ts): policy, reality, the engine's records and the written expectations agree
//   2. iperf3 carries bulk traffic along an allowed way
//   3. scapy sends frames with a forged MAC, IPv4, IPv6 and ARP sender: none arrives, each is counted
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { fail } from '../cli/failure.js';
import { note, out } from '../cli/output.js';
import { defaultPaths } from '../shared/paths.js';
import { HeadgateError } from '../shared/errors.js';
import { agrees, check } from './check.js';
import { undoAll } from './cleanup.js';
import { bulk } from './demo-bulk.js';
import { spoof } from './demo-spoof.js';
import { Expectations } from './expectations.js';
import { reportOf } from './table.js';
import { down, up, type Lab } from './up.js';

interface Options {
  policy: string;
  expected: string;
  keep: boolean;
  /** Gets the exit status once all is up and tried; the process then stays. */
  statusFile: string | undefined;
}

async function main(options: Options): Promise<number> {
  const { runDir } = defaultPaths();
  const expectations = Expectations.read(options.expected);
  if (expectations === undefined) {
    throw new HeadgateError('demo', `${options.expected}/lab/expected.yaml is missing.`, {
      remedy: 'The demo compares with it.',
    });
  }
  const lab = await up(options.policy, runDir, note);
  const status = await tryAll(lab, expectations);
  if (options.keep && options.statusFile !== undefined) {
    writeFileSync(options.statusFile, `${status}\n`);
    await new Promise(() => setInterval(() => undefined, 1 << 30)); // until it is killed
  }
  await down(runDir);
  return status;
}

async function tryAll(lab: Lab, expectations: Expectations): Promise<number> {
  const { documents, runDir } = lab;
  const rows = await check({ runDir, documents, expectations, say: note });
  out(`${reportOf(rows)}\n\n`);
  const findings = [await bulk(rows), await spoof(lab)];
  for (const { text, ok } of findings) out(`${ok ? 'ok   ' : 'WRONG'} ${text}\n`);
  const good = agrees(rows) && findings.every(({ ok }) => ok);
  out(good ? '\nReality matches the policy.\n' : '\nReality does NOT match what was meant.\n');
  return good ? 0 : 1;
}

const { values } = parseArgs({
  options: {
    policy: { type: 'string', default: 'examples/three-tier' },
    expected: { type: 'string', default: 'examples/three-tier' },
    keep: { type: 'boolean', default: false },
    'status-file': { type: 'string' },
  },
});

main({ ...values, statusFile: values['status-file'] }).then(
  (status) => {
    undoAll();
    process.exit(status);
  },
  (error: unknown) => {
    undoAll();
    process.exit(fail(error));
  },
);
