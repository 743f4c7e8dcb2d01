// Headgate itself, as it is installed (both processes), and the same packet path with an empty pipeline.
import { spawn, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { onEnd } from '../cleanup.js';
import { execIn, waitUntil } from '../namespaces.js';
import { foldersIn, startHeadgate, type Headgate } from '../headgate.js';
import { endsOf, makeEnds, removeEnds, type Ends, type Join } from './join.js';

/** Two TAP workloads on one segment, `rules` rules in a row for each new connection, the last of which allows it. */
export function headgate(rules: number, name = 'headgate'): Join & { running(): Headgate } {
  const ends = endsOf(name);
  let running: Headgate | undefined;
  let directory = '';
  return {
    name,
    about: `Headgate, TAP, stateful, ${rules} rule${rules === 1 ? '' : 's in a row'} at each workload`,
    async setUp() {
      makeEnds(ends);
      directory = mkdtempSync('/run/hg-bench-');
      chmodSync(directory, 0o755); // control, an ordinary user, reads the host file
      mkdirSync(join(directory, 'conf.d'));
      const config = join(directory, 'headgate.yaml');
      const [host, ...rest] = documents(ends, rules);
      writeFileSync(config, stringify(host));
      writeFileSync(join(directory, 'conf.d', 'bench.yaml'), rest.map((one) => stringify(one)).join('---\n'));
      running = await startHeadgate({ ...foldersIn(directory), config });
      await answers(ends);
      return ends;
    },
    async tearDown() {
      await running?.stop();
      removeEnds(ends);
      rmSync(directory, { recursive: true, force: true });
    },
    running() {
      if (running === undefined) throw new Error('it does not run');
      return running;
    },
  };
}

function documents(ends: Ends, rules: number): unknown[] {
  const one = (kind: string, name: string, spec: unknown) => ({
    apiVersion: 'headgate/v1',
    kind,
    metadata: { name },
    spec,
  });
  const workload = (name: string, netns: string, address: string) =>
    one('Workload', name, {
      segment: 'bench',
      attach: { tap: { netns, name: 'eth0', addresses: [address] } },
    });
  const row = Array.from({ length: rules - 1 }, (_, i) => ({
    name: `row-${i}`,
    from: { addresses: [`192.0.2.${i % 256}`] },
    to: { addresses: [`198.51.100.${i % 251}`] },
    services: [{ protocol: 'tcp', ports: [1000 + i] }],
    action: 'drop',
  }));
  const last = {
    name: 'allow',
    from: { addresses: ['10.1.0.0/24'] },
    to: { addresses: ['10.1.0.0/24'] },
    action: 'allow',
  };
  return [
    one('Host', 'bench', { default: 'drop', attach: { namespaces: ['hg-*'] } }),
    one('Segment', 'bench', {}),
    workload('client', ends.client, '10.1.0.1/24'),
    workload('server', ends.server, '10.1.0.2/24'),
    one('SecurityPolicy', 'bench', { category: 'application', priority: 100, rules: [...row, last] }),
  ];
}

/** Two TAPs joined by the same worker loop with nothing but a forwarding stage. */
export function emptyPipeline(): Join {
  const ends = endsOf('empty');
  let program: ChildProcess | undefined;
  let unregister: (() => void) | undefined;
  return {
    name: 'empty-pipeline',
    about: "Headgate's ports and worker loop with an empty pipeline",
    async setUp() {
      makeEnds(ends);
      const path = resolve(process.env['HEADGATE_ROOT'] ?? '.', 'build/Release/bench_wire');
      const taps = ['--tap', `${ends.client}:eth0:10.1.0.1/24`, '--tap', `${ends.server}:eth0:10.1.0.2/24`];
      program = spawn(path, taps, { stdio: ['ignore', 'ignore', 'inherit'] });
      unregister = onEnd(() => program?.kill('SIGKILL'));
      await answers(ends);
      return ends;
    },
    async tearDown() {
      unregister?.();
      removeEnds(ends);
    },
  };
}

async function answers(ends: Ends): Promise<void> {
  await waitUntil(`${ends.server} answers ${ends.client}`, () =>
    execIn(ends.client, ['ping', '-n', '-c', '1', '-W', '0.3', ends.serverAddress]).then(() => true),
  );
}
