// top: the busiest workloads, those that begin most connections, rules, flows and drop reasons, again and again.
import { type Command } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FlowsResult, StatsResult } from '../../control/api.js';
import { ApiClient } from '../client.js';
import { examples, runDirOption } from '../options.js';
import { outputOption } from '../output.js';
import { ratesOf, type Sample } from '../top/rates.js';
import { SECTIONS, topLines, type Section } from '../top/view.js';
import { watch, watchOptions, type WatchOptions } from '../watch.js';

interface TopOptions extends WatchOptions {
  runDir: string;
}

export function registerTop(program: Command): void {
  examples(
    watchOptions(
      program
        .command('top')
        .description('show the busiest workloads, rules, flows and drop reasons, again and again'),
    )
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(top),
    [
      ['headgate top', 'in full screen; w, h, r, f, d show one table, a all, q ends'],
      ['headgate top -n 1 --interval 10', 'what happened in ten seconds, as text'],
      ['headgate top -n 1 -o json | jq .hitters[0]', 'who begins most connections, beside its limits'],
      ['headgate top -o json | jq .drops', 'one JSON object for each frame, all rows'],
    ],
  );
}

/** Connections that are looked at: more would cost the engine time. */
const MOST_FLOWS = 10_000;
const MOST_FIRST_SECONDS = 1;

async function top(options: TopOptions): Promise<void> {
  const client = new ApiClient(options.runDir);
  const sample = async (): Promise<Sample> => {
    const stats = await client.get<StatsResult>('/v1/stats');
    const flows = await client.get<FlowsResult>(`/v1/flows?limit=${MOST_FLOWS}`);
    return { time: Date.now(), stats, flows };
  };
  let before = await sample();
  // The first frame shows rates too. On a screen it should not take long to come.
  const first =
    options.count === undefined ? Math.min(options.interval, MOST_FIRST_SECONDS) : options.interval;
  await sleep(first * 1000);
  let only: Section | undefined;
  await watch(
    {
      take: async () => {
        const after = await sample();
        const rates = ratesOf(before, after);
        before = after;
        return rates;
      },
      lines: (rates, size, fault) => topLines(rates, size, fault, only),
      key: (key) => {
        const section = SECTIONS.find((one) => one.startsWith(key));
        if (section === undefined && key !== 'a') return false;
        only = section;
        return true;
      },
    },
    options,
  );
}
