// explain: what the policy says about a flow, without asking the engine: the verdict at both ends, the rule that
// decides and where it is written; for the default action where that is set and which rule came nearest.
import { InvalidArgumentError, Option, type Command } from 'commander';
import type { ExplainBody, ExplainResult } from '../../control/api.js';
import { protocolNumber } from '../../documents/protocols.js';
import type { Decision, RuleReference } from '../../policy/index.js';
import { errorMessage, HeadgateError } from '../../shared/errors.js';
import { showBanner } from '../banner.js';
import { ApiClient } from '../client.js';
import { examples, family, fileOption, numberBetween, runDirOption } from '../options.js';
import {
  out,
  outputOption,
  paint,
  printData,
  renderTable,
  shortPath,
  type Column,
  type Format,
} from '../output.js';
import { absolute } from '../sources.js';

interface ExplainOptions {
  from: string;
  to: string;
  protocol: number;
  port?: number;
  sourcePort?: number;
  icmpType?: number;
  icmpCode?: number;
  family?: 4 | 6;
  tracker?: string;
  crossing?: 'in' | 'out';
  filename?: string[];
  runDir: string;
  output: Format;
}

export function registerExplain(program: Command): void {
  const port = numberBetween(0, 65535);
  const octet = numberBetween(0, 255);
  examples(
    program
      .command('explain')
      .description('say what the policy decides for a flow, and why')
      .requiredOption('--from <workload|address>', 'where the flow begins')
      .requiredOption('--to <workload|address>', 'where it goes')
      .option('--protocol <name|number>', 'tcp, udp, icmp, icmpv6, sctp or a number', protocol, 6)
      .option('--port <port>', 'destination port', port)
      .option('--source-port <port>', 'source port', port)
      .option('--icmp-type <type>', 'ICMP type', octet)
      .option('--icmp-code <code>', 'ICMP code', octet)
      .option('--family <4|6>', 'where both ends have both', family)
      .option('--tracker <tracker>', 'of the edge pair that the flow crosses on its way')
      .addOption(
        new Option('--crossing <direction>', 'which way it crosses: out is from south to north')
          .choices(['in', 'out'])
          .default('out'),
      )
      .addOption(fileOption())
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(explain),
    [
      ['headgate explain --from web-1 --to db-1 --protocol tcp --port 5432', 'between two workloads'],
      ['headgate explain --from web-1 --to 192.0.2.7 --protocol udp --port 53', 'towards an address'],
      [
        'headgate explain --from 10.1.0.7 --to 192.0.2.7 --port 443 --tracker corp',
        'at an edge pair, from south to north',
      ],
      [
        'headgate explain -f policies/ --from web-1 --to db-1 --port 22',
        'by files, without a running Headgate',
      ],
    ],
  );
}

function protocol(text: string): number {
  const number = protocolNumber(/^\d+$/.test(text) ? Number(text) : text.toLowerCase());
  if (number === undefined)
    throw new InvalidArgumentError('tcp, udp, icmp, icmpv6, sctp or a number from 0 to 255 is wanted.');
  return number;
}

async function explain(options: ExplainOptions): Promise<void> {
  const question = questionOf(options);
  const answer =
    options.filename === undefined
      ? await new ApiClient(options.runDir).post<ExplainResult>('/v1/explain', question)
      : await explainFiles(options.filename, question);
  if (options.output === 'json' || options.output === 'yaml') printData(options.output, answer);
  else {
    out(describe(answer));
    showBanner();
  }
}

function questionOf({
  from,
  to,
  protocol,
  port,
  sourcePort,
  icmpType,
  icmpCode,
  family,
  tracker,
  crossing,
}: ExplainOptions): ExplainBody {
  return {
    from,
    to,
    protocol,
    ...(port === undefined ? {} : { destinationPort: port }),
    ...(sourcePort === undefined ? {} : { sourcePort }),
    ...(icmpType === undefined ? {} : { icmpType }),
    ...(icmpCode === undefined ? {} : { icmpCode }),
    ...(family === undefined ? {} : { family }),
    ...(tracker === undefined ? {} : { tracker, crossing }),
  };
}

async function explainFiles(paths: readonly string[], question: ExplainBody): Promise<ExplainResult> {
  const { formatError, loadPaths } = await import('../../documents/index.js');
  const { check, evaluateFlow } = await import('../../policy/index.js');
  const { documents, errors } = await loadPaths(paths.map(absolute));
  const faults = errors.length > 0 ? errors : check(documents).errors;
  if (faults.length > 0)
    throw new HeadgateError('documents', 'There are errors in the documents.', {
      details: faults.map(formatError),
    });
  try {
    return evaluateFlow(documents, question);
  } catch (cause) {
    throw new HeadgateError('question', errorMessage(cause), { cause });
  }
}

const COLUMNS: Column<Decision>[] = [
  { title: 'AT', value: ({ workload }) => workload },
  { title: 'DIRECTION', value: ({ direction }) => direction },
  { title: 'VERDICT', value: ({ action }) => action },
  { title: 'DECIDED BY', value: ({ rule }) => rule?.id ?? 'default' },
  { title: 'WHERE', value: (decision) => placeOf(decision) },
];

function placeOf({ rule, section }: Decision): string {
  if (rule !== undefined) return where(rule);
  if (section === undefined) return '-';
  return section.file === undefined
    ? section.text
    : `${shortPath(section.file)}:${section.line ?? 1} ${section.text}`;
}

function where({ file, line }: { file: string; line: number }): string {
  return `${shortPath(file)}:${line}`;
}

function describe({ action, packet, decisions, notes }: ExplainResult): string {
  const color = action === 'allow' ? 'green' : 'red';
  const ports = packet.destinationPort === undefined ? '' : ` port ${packet.destinationPort}`;
  const head = `${paint(color, action)}: ${packet.source} -> ${packet.destination}${ports}\n`;
  const table = decisions.length === 0 ? '' : renderTable(decisions, COLUMNS, undefined);
  const more = [...decisions.flatMap(remarks), ...notes.map((text) => `note: ${text}`)];
  return `${head}${table}${more.map((line) => `${line}\n`).join('')}`;
}

function remarks({ workload, direction, passed, observed, nearestMiss }: Decision): string[] {
  const at = `${workload} ${direction}`;
  const named = (rule: RuleReference) => `${rule.id} (${where(rule)})`;
  return [
    ...passed.map((rule) => `${at}: ${named(rule)} passed it on to the next category`),
    ...observed.map((rule) => `${at}: ${named(rule)} would ${rule.action} it, but is only in observe mode`),
    ...(nearestMiss === undefined
      ? []
      : [`${at}: nearest miss ${named(nearestMiss.rule)}: ${nearestMiss.reason}`]),
  ];
}
