// What a live trace costs, and whether it sees everything: datagrams as fast as they go without a trace and with one that
// matches none of them, in turn; then 10,000 a second with one that matches all.
import { ApiClient } from '../../cli/client.js';
import type { LiveBody, LiveResult, TakenResult } from '../../control/trace-api.js';
import { waitUntil } from '../namespaces.js';
import { headgate } from './headgate.js';
import type { Ends } from './join.js';
import { datagrams, pps, type Figures } from './measure.js';
import { instructionsPerFrame } from './pipeline.js';
import { rounded, spread, spreads, type Result } from './report.js';

/** What an operator might look for, and none of the datagrams is. */
const NOTHING = 'host 10.1.0.1 and tcp port 443';
const PORT = 9000;
const RATE = 10_000;

export async function trace({
  quick,
  say,
}: {
  quick: boolean;
  say: (text: string) => void;
}): Promise<Result> {
  const seconds = quick ? 1 : 3;
  const join = headgate(1000);
  const runs: Record<string, Figures[]> = { headgate: [], untraced: [] };
  const ends = await join.setUp();
  try {
    const control = new ApiClient(join.running().runDir);
    for (let run = 1; run <= (quick ? 3 : 9); run++) {
      for (const name of run % 2 ? ['untraced', 'headgate'] : ['headgate', 'untraced']) {
        const measure = () => pps.run(ends, seconds);
        const figures =
          name === 'untraced' ? await measure() : await traced(control, { filter: NOTHING }, measure);
        runs[name]?.push(figures);
        say(`run ${run}, ${name}: ${rounded(figures.value)} kpps`);
      }
    }
    const everything = await traceEverything(control, ends, seconds);
    say(
      `of ${everything.sent} datagrams at ${RATE} a second ${everything.seen} were told, ${everything.lost} counted as lost`,
    );
    const instructions = {
      untraced: rounded(await instructionsPerFrame()),
      headgate: rounded(await instructionsPerFrame(NOTHING)),
    };
    say(`instructions a frame: ${instructions.untraced} without a trace, ${instructions.headgate} with one`);
    return result(runs, { everything, instructions });
  } finally {
    await join.tearDown();
  }
}

function result(runs: Record<string, Figures[]>, more: Record<string, unknown>): Result {
  const median = (name: string) => spread((runs[name] ?? []).map(({ value }) => value)).median;
  return {
    name: 'trace',
    value: rounded(median('headgate')),
    unit: 'kpps',
    better: 'higher',
    peers: { untraced: rounded(median('untraced')) },
    ratios: { untraced: rounded(median('headgate') / median('untraced')) },
    details: {
      about: `UDP datagrams of 18 bytes one way, 1,000 rules, while \`trace --live '${NOTHING}'\` is on; untraced: while none is`,
      ...more,
      spread: Object.fromEntries(Object.entries(runs).map(([name, figures]) => [name, spreads(figures)])),
    },
    runs,
  };
}

/** Takes from a live trace, as the command does, while something is measured. */
async function traced<T>(
  control: ApiClient,
  body: LiveBody,
  measure: () => Promise<T>,
  take: (taken: TakenResult) => void = () => undefined,
): Promise<T> {
  const { id } = await control.post<LiveResult>('/v1/trace/live', body);
  const timer = { on: true };
  const taking = (async () => {
    while (timer.on) {
      take(await control.get<TakenResult>(`/v1/trace/live/${id}`));
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  try {
    return await measure();
  } finally {
    timer.on = false;
    await taking;
    await control.delete(`/v1/trace/live/${id}`);
  }
}

interface Everything {
  rate: number;
  sent: number;
  seen: number;
  lost: number;
}

async function traceEverything(control: ApiClient, ends: Ends, seconds: number): Promise<Everything> {
  let [seen, lost] = [0, 0];
  const take = (taken: TakenResult) => {
    seen += taken.traces.filter(({ trace: one }) => one.headers?.flow?.destinationPort === PORT).length;
    lost += taken.lost;
  };
  const measure = async () => {
    const { sent } = await datagrams(ends, seconds, RATE);
    await waitUntil('every datagram is told or counted as lost', () => seen + lost >= sent.sent, 30_000);
    return sent.sent;
  };
  const sent = await traced(control, {}, measure, take);
  return { rate: RATE, sent, seen, lost };
}
