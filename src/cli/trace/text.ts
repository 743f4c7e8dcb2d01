// A traced packet for people: stage by stage within the width of the terminal, or in a line.
import type { Step, TraceAnswer } from '../../trace/answer.js';
import { paint } from '../output.js';

const NARROWEST = 40;
const WIDTH = 80;
const LABEL = 7;
const STAGE = 11;

const COLORS = { ok: 'green', drop: 'red', answer: 'yellow', skip: 'bold' } as const;

export function terminalColumns(): number {
  return Math.max(NARROWEST, process.stdout.isTTY ? process.stdout.columns : WIDTH);
}

/** Stage by stage, then what came of it. */
export function traceText(trace: TraceAnswer, cwd = process.cwd(), width = terminalColumns()): string {
  const short = (text: string) => (cwd === '/' ? text : text.replaceAll(`${cwd}/`, ''));
  const lines = [
    paint('bold', trace.packet),
    ...(trace.steps ?? []).flatMap((step) => stepLines(step, short, width)),
    ...wrap(short(trace.summary), '', width).map((line) => paint(colorOf(trace), line)),
    ...replyLines(trace, width),
    ...(trace.hint === undefined ? [] : wrap(`hint: ${trace.hint}`, '      ', width)),
    ...trace.metrics.map((metric) => `counted in ${metric}`),
  ];
  return `${lines.join('\n')}\n`;
}

function colorOf({ outcome }: TraceAnswer): 'green' | 'red' | 'yellow' {
  return outcome === 'delivered' ? 'green' : outcome === 'rejected' ? 'yellow' : 'red';
}

function stepLines(
  { stage, outcome, text, details = [] }: Step,
  short: (text: string) => string,
  width: number,
): string[] {
  const indent = ' '.repeat(2 + LABEL + STAGE);
  const [first = '', ...rest] = wrap(short(text), indent, width, indent.length);
  const label = outcome === 'skip' ? 'skip'.padEnd(LABEL) : paint(COLORS[outcome], outcome.padEnd(LABEL));
  const more = details.flatMap((detail) => {
    const [head = '', ...tail] = wrap(short(detail), `${indent}  `, width, indent.length);
    return [`${indent}${head}`, ...tail];
  });
  return [`  ${label}${stage.padEnd(STAGE)}${first}`, ...rest, ...more];
}

function replyLines({ reply }: TraceAnswer, width: number): string[] {
  if (reply === undefined) return [];
  const { answered, text, packets, mark } = reply;
  return [
    ...wrap(text, '', width).map((line) => paint(answered ? 'green' : 'yellow', line)),
    ...packets.flatMap((one) => [
      `  after ${one.milliseconds} ms: ${one.packet}`,
      ...wrap(one.summary, '    ', width, 4).map((line, i) => (i === 0 ? `    ${line}` : line)),
    ]),
    ...(mark === undefined ? [] : [`its payload holds ${mark}: tcpdump -A shows it`]),
  ];
}

/** Lines of words; `indent` before all but the first, which has `used` columns before it. */
function wrap(text: string, indent: string, width: number, used = 0): string[] {
  const lines: string[] = [];
  let line = '';
  let left = width - used;
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > left) {
      lines.push(line);
      line = '';
      left = width - indent.length;
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].map((one, i) => (i === 0 ? one : `${indent}${one}`));
}

/** `12:00:01.123 dropped   tcp 10.0.0.1:40000 > 10.0.0.2:22 [S]  allow web out shop/a -> drop db in default`. */
export function briefLine(trace: TraceAnswer): string {
  const clock = new Date(trace.time).toISOString().slice(11, 23);
  const outcome = paint(colorOf(trace), trace.outcome.padEnd(9));
  return `${clock} ${outcome} ${trace.packet}  ${trace.verdict}\n`;
}
