// doctor: looks at the machine, at both processes and at what they left behind, and says what to mend and how.
import { type Command } from 'commander';
import type { Result } from '../doctor/result.js';
import { EXIT_FAILED } from '../failure.js';
import { examples, runDirOption } from '../options.js';
import { out, outputOption, paint, printData, type Format } from '../output.js';

interface DoctorOptions {
  runDir: string;
  output: Format;
}

export function registerDoctor(program: Command): void {
  examples(
    program
      .command('doctor')
      .description('look for what is wrong here; exit 0 nothing to mend, 1 something')
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(doctor),
    [
      ['sudo headgate doctor', 'every check; some need root'],
      ['headgate doctor -o json', 'the same for a program: [{check, state, what, remedy}]'],
    ],
  );
}

async function doctor({ runDir, output }: DoctorOptions): Promise<void> {
  const { examine } = await import('../doctor/checks.js');
  const { machineAt } = await import('../doctor/machine.js');
  const { subjectOf } = await import('../doctor/subject.js');
  const results = await examine(await subjectOf(machineAt(), runDir));
  if (output === 'json' || output === 'yaml') printData(output, results);
  else out(results.map((result) => describe(result)).join('') + summary(results));
  if (results.some(({ state }) => state === 'mend')) process.exitCode = EXIT_FAILED;
}

const COLORS = { ok: 'green', mend: 'red', unknown: 'yellow' } as const;
const STATE_WIDTH = 9;
const CHECK_WIDTH = 13;
const INDENT = STATE_WIDTH + CHECK_WIDTH;

function describe({ check, state, what, remedy }: Result): string {
  const head = paint(COLORS[state], state.padEnd(STATE_WIDTH)) + check.padEnd(CHECK_WIDTH);
  const below =
    remedy === undefined ? [] : wrap(remedy).map((line, i) => `${i === 0 ? '-> ' : '   '}${line}`);
  const [first, ...more] = [...wrap(what), ...below];
  return [`${head}${first ?? ''}\n`, ...more.map((line) => `${' '.repeat(INDENT)}${line}\n`)].join('');
}

const WIDTH_ELSEWHERE = 120;

/** Broken at blanks so that it fits beside what stands before it. */
function wrap(text: string): string[] {
  const width = Math.max(30, (process.stdout.isTTY ? process.stdout.columns : WIDTH_ELSEWHERE) - INDENT - 3);
  const lines = [''];
  for (const word of text.split(/\s+/)) {
    const line = lines[lines.length - 1] ?? '';
    if (line !== '' && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === '' ? word : `${line} ${word}`;
  }
  return lines;
}

function summary(results: readonly Result[]): string {
  const count = (state: Result['state']) => results.filter((result) => result.state === state).length;
  const unknown = count('unknown');
  const rest = unknown === 0 ? '' : `, ${unknown} could not be looked at`;
  return `\n${count('mend') === 0 ? 'Nothing' : count('mend')} to mend, ${count('ok')} in order${rest}.\n`;
}
