// plan, apply, diff, rollback, delete: what changes the documents in force, or says what would.
import { type Command } from 'commander';
import type { ApplyBody, ApplyResult, PlanBody, PlanResult, PlanReviewResult } from '../../control/api.js';
import type { DocumentChange, FieldChange } from '../../policy/index.js';
import { ApiClient } from '../client.js';
import { fail } from '../failure.js';
import { kindOf } from '../kinds.js';
import { examples, fileOption, numberBetween, runDirOption } from '../options.js';
import {
  note,
  out,
  outputOption,
  paint,
  printData,
  shortPath,
  withBar,
  withProgress,
  type Format,
} from '../output.js';
import { sourcesOf } from '../sources.js';
import { describeConnections, showFindings } from './review.js';

interface ChangeOptions {
  filename?: string[];
  prune?: boolean;
  runDir: string;
  output: Format;
}

const EXIT_DIFFERS = 1;
const EXIT_DIFF_FAILED = 2;

export function registerChange(program: Command): void {
  const prune = ['--prune', 'also remove every document that the files do not name'] as const;
  examples(
    program
      .command('plan')
      .description('say what an apply would change, for documents and for the engine')
      .addOption(fileOption())
      .option(...prune)
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(plan),
    [
      ['headgate plan -f policies/', 'what applying the folder would change'],
      ['headgate plan -f policies/ --prune -o json', 'the same for a program, with removals'],
    ],
  );
  examples(
    program
      .command('apply')
      .description('put documents in force: all of them or, with any error, none')
      .addOption(fileOption())
      .option(...prune)
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(apply),
    [
      ['headgate apply -f policies/', 'add and replace the documents of a folder'],
      ['headgate apply -f policies/ --prune', 'and remove all others'],
      ['generate | headgate apply -f -', 'from standard input'],
    ],
  );
  examples(
    program
      .command('diff')
      .description('compare files with what is in force; exit 0 same, 1 differs, 2 error')
      .addOption(fileOption())
      .option(...prune)
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(diff),
    [['headgate diff -f policies/ --prune', 'has somebody changed what the folder says?']],
  );
  examples(
    program
      .command('rollback')
      .description('go back to what a revision held (default: the one before the newest)')
      .argument('[revision]', 'its number', numberBetween(1, 999_999_999))
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(rollback),
    [
      ['headgate rollback', 'undo the newest change'],
      ['headgate rollback 12', 'back to revision 12 (see headgate get revisions)'],
    ],
  );
  examples(
    program
      .command('delete')
      .description('remove one document from what is in force')
      .argument('<kind>', 'segment, workload, group, service, securitypolicy')
      .argument('<name>')
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(remove),
    [['headgate delete securitypolicy web', 'its rules no longer apply']],
  );
}

async function bodyOf({ filename, prune = false }: ChangeOptions): Promise<ApplyBody> {
  return { sources: await sourcesOf(filename), prune };
}

async function plan(options: ChangeOptions): Promise<void> {
  const body: PlanBody = { ...(await bodyOf(options)), review: true };
  const result = await new ApiClient(options.runDir).post<PlanReviewResult>('/v1/plan', body);
  showWarnings(result);
  if (isData(options.output)) {
    printData(options.output, result);
    return;
  }
  showPlan(result);
}

export function showPlan(result: PlanReviewResult): void {
  showFindings(result);
  out(`${describeChanges(result.changes, true)}${summary(result)}\n${describeConnections(result)}`);
}

async function apply(options: ChangeOptions): Promise<void> {
  const body = await bodyOf(options);
  const client = new ApiClient(options.runDir);
  showApplied(await withBar((show) => client.post<ApplyResult>('/v1/apply', body, show)), options);
}

async function rollback(revision: number | undefined, options: ChangeOptions): Promise<void> {
  const body = revision === undefined ? {} : { revision };
  showApplied(
    await withProgress('rolling back', new ApiClient(options.runDir).post<ApplyResult>('/v1/rollback', body)),
    options,
  );
}

async function remove(kind: string, name: string, options: ChangeOptions): Promise<void> {
  const path = `/v1/documents/${kindOf(kind)}/${encodeURIComponent(name)}`;
  showApplied(
    await withProgress('deleting', new ApiClient(options.runDir).delete<ApplyResult>(path)),
    options,
  );
}

async function diff(options: ChangeOptions): Promise<void> {
  try {
    const result = await new ApiClient(options.runDir).post<PlanResult>('/v1/plan', await bodyOf(options));
    if (isData(options.output)) printData(options.output, result.changes);
    else out(describeChanges(result.changes, true));
    process.exitCode = result.changes.length === 0 ? 0 : EXIT_DIFFERS;
  } catch (error) {
    fail(error);
    process.exitCode = EXIT_DIFF_FAILED;
  }
}

export function isData(format: Format): format is 'json' | 'yaml' {
  return format === 'json' || format === 'yaml';
}

export function showWarnings({ warnings }: PlanResult): void {
  for (const warning of warnings) note(`warning: ${shortPath(warning)}`);
}

export function showApplied(result: ApplyResult, { output }: { output: Format }): void {
  showWarnings(result);
  if (isData(output)) printData(output, result);
  else out(describeChanges(result.changes, output === 'wide'));
  const { changes, revision, milliseconds } = result;
  const what = changes.length === 0 ? 'nothing changed' : `${counted(changes.length, 'document')} changed`;
  note(`${what}: revision ${revision} is in force (engine: ${milliseconds.toFixed(1)} ms)`);
}

const MARKS = { added: ['+', 'green'], changed: ['~', 'yellow'], removed: ['-', 'red'] } as const;

/** One line for each document, with `fields` also one for each changed field. */
function describeChanges(changes: readonly DocumentChange[], fields: boolean): string {
  return changes
    .flatMap((change) => {
      const [mark, color] = MARKS[change.change];
      const where = `${shortPath(change.origin.file)}:${change.origin.line}`;
      const head = paint(color, `${mark} ${`${change.kind}/${change.name}`.padEnd(40)}`);
      return [`${head}  ${where}\n`, ...(fields ? change.fields.map(describeField) : [])];
    })
    .join('');
}

function describeField({ path, before, after }: FieldChange): string {
  if (before === undefined) return `    + ${path}: ${inline(after)}\n`;
  if (after === undefined) return `    - ${path}: ${inline(before)}\n`;
  return `    ~ ${path}: ${inline(before)} -> ${inline(after)}\n`;
}

const MOST_INLINE = 120;

function inline(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > MOST_INLINE ? `${text.slice(0, MOST_INLINE)}…` : text;
}

function summary({ changes, unchanged, counts }: PlanResult): string {
  const by = (kind: DocumentChange['change']) => changes.filter(({ change }) => change === kind).length;
  const documents = `${by('added')} to add, ${by('changed')} to change, ${by('removed')} to remove, ${unchanged} unchanged`;
  const engine = `${counted(counts.rulesAdded, 'rule')} more, ${counts.rulesChanged} changed, ${counts.rulesRemoved} fewer, ${counted(counts.workloadsTouched, 'workload')} and ${counted(counts.addressSetsTouched, 'address set')} touched`;
  return `Documents: ${documents}.\nEngine: ${engine}.`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
