// scripts/bench: one benchmark, Headgate and its peers in turn. Run inside scripts/sandbox.
//
// Every way to join two namespaces is set up at the start; then each run measures all of them one after the
// other, so that what the machine does meanwhile falls on all alike. Only the ratios mean anything.
import { parseArgs } from 'node:util';
import { undoAll } from '../cleanup.js';
import { apply } from './apply.js';
import { classify } from './classify.js';
import { conns } from './conns.js';
import { flood } from './flood.js';
import { emptyPipeline, headgate, headgateDatacenter, headgateStanding } from './headgate.js';
import type { Ends, Join } from './join.js';
import { kernelBridge, kernelVxlan, nftables } from './kernel.js';
import { cps, latency, pps, tcp, type Figures, type Measurement } from './measure.js';
import { openVswitch, openVswitchVxlan } from './ovs.js';
import { pipeline } from './pipeline.js';
import { trace } from './trace.js';
import { headgateTunnel } from './tunnel.js';
import { upgrade } from './upgrade.js';
import { manyOverOne, rounded, spread, spreads, table, type Result } from './report.js';

interface Bench {
  about: string;
  measurement: Measurement;
  joins: () => Join[];
  seconds: number;
  runs: number;
}

const benches: Record<string, Bench> = {
  tcp: {
    about: 'bulk TCP, 1,000 rules loaded, stateful',
    measurement: tcp,
    joins: () => [
      headgate(1000),
      emptyPipeline(),
      nftables(1),
      nftables(1000),
      openVswitch(),
      kernelBridge(),
    ],
    seconds: 3,
    runs: 5,
  },
  pps: {
    about: 'UDP datagrams of 18 bytes one way, 1,000 rules loaded unless the name says otherwise',
    measurement: pps,
    joins: () => [
      headgate(1000),
      headgate(1, 'headgate-1'),
      headgate(10000, 'headgate-10000'),
      headgateDatacenter(10000),
      emptyPipeline(),
      nftables(1),
      nftables(1000),
      nftables(10000),
      openVswitch(),
    ],
    seconds: 3,
    runs: 5,
  },
  cps: {
    about: 'new TCP connections; each peer beside Headgate with as many rules',
    measurement: cps,
    joins: () => [
      headgate(1),
      nftables(1),
      headgate(1000, 'headgate-1000'),
      nftables(1000),
      headgate(10000, 'headgate-10000'),
      nftables(10000),
      headgateDatacenter(10000),
      headgateStanding(1_000_000),
      emptyPipeline(),
    ],
    seconds: 3,
    runs: 5,
  },
  tunnel: {
    about:
      'bulk TCP of one connection between two hosts over VXLAN, inner MTU 1,400; other encapsulations beside it',
    measurement: tcp,
    joins: () => [
      headgateTunnel('vxlan', 'headgate'),
      ...(['geneve', 'nsh', 'gre', 'nsh-ethernet'] as const).map((one) => headgateTunnel(one)),
      headgateTunnel('gre', 'headgate-gre-udp', 4754),
      openVswitchVxlan(),
      kernelVxlan(),
    ],
    seconds: 3,
    runs: 5,
  },
  latency: {
    about: 'a request of 64 bytes and its answer, low load',
    measurement: latency,
    joins: () => [headgate(1000), emptyPipeline(), nftables(1), kernelBridge()],
    seconds: 2,
    runs: 5,
  },
};

/** Those that join no namespaces. */
const others = { pipeline, classify, conns, apply, trace, flood, upgrade };

const names = [...Object.keys(benches), ...Object.keys(others)];
const usage = `usage: scripts/bench ${names.join('|')} [--json] [--quick] [--runs N] [--only PEER,...]
  --json    print only the last line, the result as one JSON object
  --quick   end within a minute (upgrade: two): shorter and fewer runs
  --runs    how many runs of each (not of pipeline, classify, conns, apply, trace, flood and upgrade)
  --only    measure only these (headgate, ${['empty-pipeline', 'nftables', 'nftables-1000', 'ovs', 'kernel'].join(', ')})`;

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      runs: { type: 'string' },
      only: { type: 'string' },
    },
  });
  const name = positionals[0] ?? '';
  if (values.help || positionals.length !== 1 || !names.includes(name)) {
    process.stderr.write(`${usage}\n`);
    return values.help ? 0 : 2;
  }
  const say = (text: string): void => void (values.json || process.stderr.write(`${text}\n`));
  const bench = benches[name];
  const result =
    bench === undefined
      ? await others[name as keyof typeof others]({ quick: values.quick, say })
      : await compare(name, bench, {
          runs: values.runs === undefined ? (values.quick ? 2 : bench.runs) : Number(values.runs),
          seconds: values.quick ? 1 : bench.seconds,
          only: values.only?.split(','),
          say,
        });
  if (!values.json) process.stdout.write(`${table(result)}\n`);
  process.stdout.write(`${JSON.stringify(result)}\n`);
  return 0;
}

interface Settings {
  runs: number;
  seconds: number;
  only: string[] | undefined;
  say: (text: string) => void;
}

async function compare(name: string, bench: Bench, settings: Settings): Promise<Result> {
  const { only, say } = settings;
  const joins = bench.joins().filter((join) => only === undefined || only.includes(join.name));
  const ready: { join: Join; ends: Ends; figures: Figures[] }[] = [];
  try {
    for (const join of joins) {
      say(`setting up ${join.name}: ${join.about}`);
      ready.push({ join, ends: await join.setUp(), figures: [] });
    }
    for (let run = 1; run <= settings.runs; run++) {
      // Back and forth, so that nobody is always the first.
      for (const { join, ends, figures } of run % 2 ? ready : [...ready].reverse()) {
        const measured = await bench.measurement.run(ends, settings.seconds);
        figures.push(measured);
        say(`run ${run}/${settings.runs} ${join.name}: ${rounded(measured.value)} ${bench.measurement.unit}`);
      }
    }
  } finally {
    for (const { join } of ready.reverse()) await join.tearDown();
  }
  return summarize(
    name,
    bench,
    Object.fromEntries(ready.reverse().map(({ join, figures }) => [join.name, figures])),
    joins,
  );
}

/** `nftables-1000` is compared with `headgate-1000` where that was measured, else with `headgate`. */
function counterpart(peer: string, runs: Record<string, Figures[]>): string {
  const same = peer.replace(/^[a-z]+/, 'headgate');
  return same in runs ? same : 'headgate';
}

function summarize(name: string, bench: Bench, runs: Record<string, Figures[]>, joins: Join[]): Result {
  const median = (one: string) => rounded(spread((runs[one] ?? []).map(({ value }) => value)).median);
  const value = median('headgate');
  const peers = Object.keys(runs).filter((one) => !one.startsWith('headgate'));
  const many = manyOverOne(runs);
  return {
    name,
    value,
    unit: bench.measurement.unit,
    better: bench.measurement.better,
    peers: Object.fromEntries(peers.map((peer) => [peer, median(peer)])),
    ratios: Object.fromEntries(
      peers.map((peer) => [peer, rounded(median(counterpart(peer, runs)) / median(peer))]),
    ),
    details: {
      about: bench.about,
      joins: Object.fromEntries(joins.map((join) => [join.name, join.about])),
      ...(Object.keys(many).length > 0 && { manyOverOne: many }),
      spread: Object.fromEntries(Object.entries(runs).map(([peer, figures]) => [peer, spreads(figures)])),
    },
    runs,
  };
}

main().then(
  (status) => {
    undoAll();
    process.exit(status);
  },
  (error: unknown) => {
    undoAll();
    process.stderr.write(
      `bench: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    process.exit(1);
  },
);
