// events: what happened since control started: revisions, refusals, engines, workloads.
import { Option, type Command } from 'commander';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EventsResult, HappenedEvent } from '../../control/api.js';
import { HeadgateError } from '../../shared/errors.js';
import { ApiClient } from '../client.js';
import { examples, runDirOption } from '../options.js';
import { note, out, outputOption, print, renderTable, type Column, type Format } from '../output.js';

interface EventsOptions {
  follow?: boolean;
  kind?: HappenedEvent['kind'];
  workload?: string;
  runDir: string;
  output: Format;
}

const KINDS: HappenedEvent['kind'][] = ['control', 'engine', 'refused', 'revision', 'workload'];

export function registerEvents(program: Command): void {
  examples(
    program
      .command('events')
      .description('show what happened: revisions, refusals, engines, workloads attached and lost')
      .option('-f, --follow', 'go on with what happens from now on')
      .addOption(new Option('--kind <kind>', 'only those of this kind').choices(KINDS))
      .option('--workload <name>', 'only those about this workload')
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(events),
    [
      ['headgate events', 'the last 1,000 since control started'],
      ['headgate events --follow --kind workload', 'workloads as they come and go'],
      ['headgate events --follow -o json', 'one JSON object a line, for a program'],
    ],
  );
}

const PAUSE_MILLISECONDS = 1000;

async function events(options: EventsOptions): Promise<void> {
  const client = new ApiClient(options.runDir);
  const first = await client.get<EventsResult>('/v1/events');
  const shown = first.events.filter((event) => isWanted(event, options));
  if (options.follow !== true) {
    print(options.output, shown, COLUMNS);
    if (first.missed > 0) note(`${first.missed} older ones are no longer kept`);
    return;
  }
  if (options.output === 'table' || options.output === 'wide') print(options.output, shown, FOLLOW_COLUMNS);
  else shown.forEach((event) => printOne(event, options.output));
  await follow(client, first, options);
}

/** Until it is ended. Control may be restarted meanwhile: its events then begin anew. */
async function follow(client: ApiClient, first: EventsResult, options: EventsOptions): Promise<never> {
  let { began } = first;
  let last = first.events.at(-1)?.number ?? 0;
  let away = false;
  for (;;) {
    await sleep(PAUSE_MILLISECONDS);
    try {
      let result = await client.get<EventsResult>(`/v1/events?after=${last}`);
      if (result.began !== began) result = await client.get<EventsResult>('/v1/events');
      began = result.began;
      if (result.missed > 0) note(`${result.missed} events were missed`);
      for (const event of result.events) {
        if (isWanted(event, options)) printOne(event, options.output);
      }
      last = result.events.at(-1)?.number ?? last;
      away = false;
    } catch (error) {
      if (!(error instanceof HeadgateError)) throw error;
      if (!away) note(`${error.message} Waiting for it.`);
      away = true;
    }
  }
}

function isWanted(event: HappenedEvent, { kind, workload }: EventsOptions): boolean {
  return (
    (kind === undefined || event.kind === kind) && (workload === undefined || event.workload === workload)
  );
}

function printOne(event: HappenedEvent, format: Format): void {
  if (format === 'json') out(`${JSON.stringify(event)}\n`);
  else if (format === 'yaml') print('yaml', [event], COLUMNS);
  else out(renderTable([event], FOLLOW_COLUMNS, undefined).split('\n').slice(1).join('\n'));
}

const COLUMNS: Column<HappenedEvent>[] = [
  { title: 'TIME', value: ({ time }) => `${time.slice(0, 10)} ${time.slice(11, 19)}` },
  { title: 'EVENT', value: ({ kind }) => kind },
  { title: 'WHAT', value: ({ what }) => what, shrink: true },
];

/** As wide in each line, whenever it comes. */
const FOLLOW_COLUMNS = COLUMNS.map((column) =>
  column.title === 'EVENT'
    ? { ...column, title: 'EVENT   ', value: ({ kind }: HappenedEvent) => kind.padEnd(8) }
    : column,
);
