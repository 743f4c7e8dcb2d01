// promote: enforces what was observed, a policy or one rule of it, after showing what that changes.
import { createInterface } from 'node:readline/promises';
import { type Command } from 'commander';
import type { ApplyResult, ObservedResult, PromoteBody, PromotePlan } from '../../control/api.js';
import { HeadgateError } from '../../shared/errors.js';
import { ApiClient } from '../client.js';
import { isDenied, isOf } from '../observed.js';
import { examples, runDirOption } from '../options.js';
import { note, out, outputOption, printData, withProgress, type Format } from '../output.js';
import { isData, showApplied, showPlan, showWarnings } from './change.js';

interface PromoteOptions {
  yes?: boolean;
  runDir: string;
  output: Format;
}

export function registerPromote(program: Command): void {
  examples(
    program
      .command('promote')
      .description('enforce what a policy or rule in observe mode only counts, after showing the plan')
      .argument('<name>', 'a policy, or policy/rule')
      .option('-y, --yes', 'do not ask; needed where nobody can be asked')
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(promote),
    [
      ['headgate promote web', 'the plan, then a question'],
      ['headgate promote web/no-telnet --yes', 'one rule, without a question'],
    ],
  );
}

async function promote(name: string, options: PromoteOptions): Promise<void> {
  const client = new ApiClient(options.runDir);
  const ask: PromoteBody = { name };
  const plan = await withProgress('planning', client.post<PromotePlan>('/v1/promote', ask));
  if (isData(options.output)) {
    if (options.yes !== true) printData(options.output, plan);
  } else {
    showWarnings(plan);
    showPlan(plan);
    await showObserved(client, name);
  }
  if (options.yes !== true && !(await isAgreed(name, options.output))) {
    note('nothing was changed');
    return;
  }
  const go: PromoteBody = { name, revision: plan.revision };
  showApplied(await withProgress('promoting', client.post<ApplyResult>('/v1/promote', go)), options);
  for (const { origin } of plan.changes)
    note(`change the mode in ${origin.file}:${origin.line} too: applied again as it is, it observes again`);
}

/** What the rules saw while they observed. */
async function showObserved(client: ApiClient, name: string): Promise<void> {
  const { hits } = await client.get<ObservedResult>('/v1/observed');
  const denied = hits.filter((hit) => isOf(hit, name) && isDenied(hit));
  const flows = denied.reduce((sum, hit) => sum + hit.flows, 0);
  const workloads = new Set(denied.map(({ workload }) => workload)).size;
  out(
    flows === 0
      ? 'Observed: nothing would have been dropped since the engine started.\n'
      : `Observed: ${flows} flows at ${workloads} workloads would have been dropped (headgate get observed ${name}).\n`,
  );
}

async function isAgreed(name: string, format: Format): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stdout.isTTY || isData(format)) {
    throw new HeadgateError('usage', 'Nobody can be asked here, so nothing was changed.', {
      remedy: `When the plan is right: headgate promote ${name} --yes`,
    });
  }
  const line = createInterface({ input: process.stdin, output: process.stderr });
  const ended = new AbortController();
  for (const event of ['SIGINT', 'close'] as const) line.on(event, () => ended.abort());
  try {
    const answer = await line.question(`Enforce ${name}? [y/N] `, { signal: ended.signal });
    return /^y(es)?$/i.test(answer.trim());
  } catch {
    return false;
  } finally {
    line.close();
  }
}
