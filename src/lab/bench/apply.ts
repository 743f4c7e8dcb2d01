// How long a change takes: from the request to the first frame that the new rule judges, and the first load of a big set.
//
// Headgate runs as it is installed. 1,000 workloads of a generated datacenter are documents whose namespaces do not
// exist: they wait to be attached, and cost control and the engine's tables what they always cost. Two further ones are
// attached. Between them runs a stream of datagrams to two ports, of which one rule lets one pass; each edit of that
// rule changes which. The stream has a datagram for either port each millisecond: of each figure up to one millisecond
// is waiting for the next.
import { execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { ApiClient } from '../../cli/client.js';
import { loadSources } from '../../documents/index.js';
import { foldersIn, PROGRAM, startHeadgate, type Headgate } from '../headgate.js';
import { execIn, spawnIn, waitUntil } from '../namespaces.js';
import { durations, firstArrival, percentiles, type Arrival } from './apply-report.js';
import { endsOf, makeEnds, removeEnds, type Ends } from './join.js';
import type { Figures } from './measure.js';
import { rounded, type Result } from './report.js';

const PORTS = [9200, 9201] as const;
const WORKLOADS = 1000;
/** Of the policy that is edited; the others of the generated set are about as long. */
const RULES_OF_POLICY = 20;
const LONGEST_WAIT_MS = 120_000;

interface Options {
  quick: boolean;
  say: (text: string) => void;
}

const now = (): number => Number(process.hrtime.bigint()) / 1e6;
const script = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

export async function apply({ quick, say }: Options): Promise<Result> {
  const edited = await inFolder((folder) => measureEdits(folder, quick, say));
  const load = await inFolder((folder) => measureFirstLoad(folder, say));
  const edits = percentiles(edited.requests);
  const figures = (values: number[]): Figures[] => values.map((value) => ({ value: rounded(value) }));
  return {
    name: 'apply',
    value: edits.p99,
    unit: 'ms',
    better: 'lower',
    peers: {},
    ratios: {},
    details: {
      about: `10,000 rules, ${WORKLOADS} workloads waiting and 2 attached: from the request to the first frame judged by it; value: p99`,
      edits: { count: edited.requests.length, ...edits },
      command: { count: edited.commands.length, ...percentiles(edited.commands) },
      commandStartMs: edited.start,
      firstLoad: load,
    },
    runs: { request: figures(edited.requests), command: figures(edited.commands) },
  };
}

async function inFolder<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync('/run/hg-bench-');
  chmodSync(folder, 0o755); // control, an ordinary user, reads the host file
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Documents of a generated datacenter, without its Host. */
function generate(folder: string, rules: number): string {
  const out = join(folder, 'set');
  const size = ['--rules', String(rules), '--workloads', String(WORKLOADS), '--flows', '1', '--seed', '1'];
  const argv = [script('../generate/main.js'), 'datacenter', ...size, '--out', out];
  execFileSync(process.execPath, argv, { stdio: 'pipe' });
  rmSync(join(out, 'host.yaml'));
  return out;
}

async function start(folder: string, documents: string[]): Promise<Headgate> {
  mkdirSync(join(folder, 'conf.d'));
  const config = join(folder, 'headgate.yaml');
  const spec = { default: 'drop', attach: { namespaces: ['dc-*', 'hg-*'] } };
  writeFileSync(config, text('Host', 'bench', spec));
  if (documents.length > 0) writeFileSync(join(folder, 'conf.d', 'bench.yaml'), documents.join('---\n'));
  const running = await startHeadgate({ ...foldersIn(folder), config });
  const client = new ApiClient(running.runDir);
  await waitUntil(
    'Headgate is ready',
    async () => (await client.get<{ ready: boolean }>('/v1/status')).ready,
  );
  return running;
}

function text(kind: string, name: string, spec: unknown): string {
  return stringify({ apiVersion: 'headgate/v1', kind, metadata: { name }, spec });
}

/** The policy that is edited: its last rule lets the datagrams to `port` pass. */
function policy(port: number): string {
  const ends = { from: { addresses: ['10.1.0.1'] }, to: { addresses: ['10.1.0.2'] } };
  const others = Array.from({ length: RULES_OF_POLICY - 1 }, (_, i) => ({
    name: `row-${i}`,
    ...ends,
    services: [{ protocol: 'tcp', ports: [1000 + i] }],
    action: 'drop',
  }));
  const probe = { name: 'probe', ...ends, services: [{ protocol: 'udp', ports: [port] }], action: 'allow' };
  const spec = { category: 'emergency', appliedTo: { workloads: { names: ['client', 'server'] } } };
  return text('SecurityPolicy', 'probe', { ...spec, rules: [...others, probe] });
}

interface Edited {
  requests: number[];
  commands: number[];
  start: number;
}

async function measureEdits(folder: string, quick: boolean, say: Options['say']): Promise<Edited> {
  const ends = endsOf('apply');
  makeEnds(ends);
  const workload = (name: string, netns: string, address: string) =>
    text('Workload', name, {
      segment: 'probe',
      attach: { tap: { netns, name: 'eth0', addresses: [address] } },
    });
  const documents = [
    text('Segment', 'probe', {}),
    workload('client', ends.client, '10.1.0.1/24'),
    workload('server', ends.server, '10.1.0.2/24'),
    policy(PORTS[0]),
  ];
  const running = await start(folder, documents);
  const started: ChildProcess[] = [];
  try {
    const client = new ApiClient(running.runDir);
    say('loading 10,000 rules');
    const { sources } = await loadSources([generate(folder, 10_000)]);
    await client.post('/v1/apply', { sources, prune: false });
    const arrivals = await stream(ends, started);
    const edit = new Edits(arrivals);
    const file = join(folder, 'edit.yaml');
    const request = (changed: string) =>
      client.post('/v1/apply', { sources: [{ file, text: changed }], prune: false });
    await edit.run(quick ? 5 : 20, request); // until the code is warm
    const requests = await edit.run(quick ? 100 : 500, request);
    say(`request to first frame: ${JSON.stringify(percentiles(requests))} ms`);
    const commands = await edit.run(quick ? 5 : 20, (changed) => {
      writeFileSync(file, changed);
      return execIn(undefined, [PROGRAM, 'apply', '-f', file, '--run-dir', running.runDir]);
    });
    say(`start of headgate apply to first frame: ${JSON.stringify(percentiles(commands))} ms`);
    return { requests, commands, start: await commandStart() };
  } finally {
    for (const child of started) child.kill('SIGKILL');
    await running.stop();
    removeEnds(ends);
  }
}

/** Edits of the one rule, in a row. */
class Edits {
  private count = 0;

  constructor(private readonly arrivals: readonly Arrival[]) {}

  /** For each edit the time from before `put` to the first frame that passes by the changed rule. */
  async run(edits: number, put: (changed: string) => Promise<unknown>): Promise<number[]> {
    const times: number[] = [];
    for (let i = 0; i < edits; i++) {
      const port = PORTS[++this.count % PORTS.length] as number;
      const changed = policy(port);
      const begin = now();
      await put(changed);
      times.push((await this.arrival(port, begin)).at - begin);
    }
    return times;
  }

  private arrival(port: number, since: number): Promise<Arrival> {
    return waitUntil(
      `a datagram to port ${port} passes`,
      () => firstArrival(this.arrivals, port, since),
      LONGEST_WAIT_MS,
    );
  }
}

/** Starts the stream; what arrives is added to the list from then on. */
async function stream(
  { client, server, serverAddress }: Ends,
  started: ChildProcess[],
): Promise<readonly Arrival[]> {
  const probe = [process.execPath, script('./apply-probe.js')];
  const ports = PORTS.map(String);
  const receiver = spawnIn(server, [...probe, 'receive', ...ports], ['ignore', 'pipe', 'inherit']);
  started.push(receiver);
  if (receiver.stdout === null) throw new Error('no stdout');
  const arrivals: Arrival[] = [];
  const lines = createInterface({ input: receiver.stdout });
  await once(lines, 'line'); // "ready"
  lines.on('line', (line) => arrivals.push(JSON.parse(line) as Arrival));
  started.push(spawnIn(client, [...probe, 'send', serverAddress, ...ports], ['ignore', 'ignore', 'inherit']));
  await waitUntil('the stream flows', () => arrivals.length > 0, LONGEST_WAIT_MS);
  return arrivals;
}

/** What starting the command costs by itself: the median of five that only print their version. */
async function commandStart(): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const begin = now();
    await execIn(undefined, [PROGRAM, '--version']);
    times.push(now() - begin);
  }
  return percentiles(times).p50;
}

/** The first load of 100,000 rules, by step: the files are read here as `headgate apply` reads them. */
async function measureFirstLoad(folder: string, say: Options['say']): Promise<Record<string, unknown>> {
  const set = generate(folder, 100_000);
  const running = await start(folder, []);
  try {
    const moments = [{ step: 'files', at: now() }];
    const { sources } = await loadSources([set]);
    moments.push({ step: 'send', at: now() });
    const client = new ApiClient(running.runDir);
    await client.post('/v1/apply', { sources, prune: false }, ({ step }) =>
      moments.push({ step, at: now() }),
    );
    moments.push({ step: 'end', at: now() });
    const published = moments.find(({ step }) => step === 'store') ?? (moments.at(-1) as { at: number });
    const enforcedMs = rounded(published.at - (moments[0]?.at ?? NaN));
    const result = { rules: 100_000, enforcedMs, steps: durations(moments) };
    say(`first load of 100,000 rules: ${JSON.stringify(result)}`);
    return result;
  } finally {
    await running.stop();
  }
}
