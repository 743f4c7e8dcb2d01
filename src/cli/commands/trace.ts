// trace: what becomes of a packet, stage by stage: of a described one without sending it, of one that is sent for the
// purpose, or of real traffic.
import { InvalidArgumentError, type Command } from 'commander';
import type { InjectResult, SimulateResult } from '../../control/trace-api.js';
import type { TraceAnswer } from '../../trace/answer.js';
import { parseFlags } from '../../trace/names.js';
import { showBanner } from '../banner.js';
import { ApiClient } from '../client.js';
import { duration, examples, family, numberBetween, runDirOption } from '../options.js';
import { note, out, outputOption, withProgress, yamlOf, type Format } from '../output.js';
import { followLive, type LiveOptions } from '../trace/live.js';
import {
  fragment,
  mac,
  protocol,
  questionOf,
  usage,
  vlans,
  type QuestionOptions,
} from '../trace/question.js';
import { briefLine, traceText } from '../trace/text.js';

interface TraceOptions extends QuestionOptions, LiveOptions {
  count?: number;
  simulate?: boolean;
  inject?: boolean;
  live?: boolean;
  wait: number;
  brief?: boolean;
  runDir: string;
  output: Format;
}

export function registerTrace(program: Command): void {
  const port = numberBetween(0, 65_535);
  const octet = numberBetween(0, 255);
  examples(
    program
      .command('trace')
      .description('say what becomes of a packet, stage by stage, and what dropped it')
      .argument('[filter]', "with --live: which packets, as for tcpdump: 'tcp port 443'")
      .option('--simulate', 'of a described packet; nothing is sent')
      .option('--inject', 'of a packet that is sent as if the workload had, and of what answers it')
      .option('--live', 'of real traffic, a line for each packet; -o wide: stage by stage')
      .option('--from <workload|address>', 'who sends it')
      .option('--to <workload|address>', 'where it goes')
      .option(
        '--protocol <name|number>',
        'tcp, udp, icmp, icmpv6, sctp, arp, arp-reply or a number',
        protocol,
      )
      .option('--port <port>', 'destination port', port)
      .option('--source-port <port>', 'source port (default: one that systems choose)', port)
      .option('--flags <letters>', 'TCP flags of SFRPAUEW, as S or SA (default: S)', flags)
      .option('--icmp-type <type>', 'ICMP type (default: echo request)', octet)
      .option('--icmp-code <code>', 'ICMP code', octet)
      .option('--family <4|6>', 'where both ends have both', family)
      .option('--payload <bytes>', 'how many bytes behind the last header', numberBetween(0, 65_000))
      .option('--vlan <ids>', 'VLAN tags, outer first: 10 or 100,20 (default: as the port needs)', vlans)
      .option('--source-mac <mac>', 'another than its own', mac)
      .option('--destination-mac <mac>', 'another than that of the destination or its gateway', mac)
      .option('--source-address <address>', 'another than its own')
      .option('--destination-address <address>', 'another than that of --to')
      .option('--ttl <ttl>', 'TTL or hop limit', octet)
      .option('--fragment <offset>', 'a fragment: 1480, or 0+ where more follow', fragment)
      .option('--line <text>', 'a line of tcpdump -n or -ne instead, - for standard input')
      .option('--pcap <file>', 'a pcap or pcapng file instead, - for standard input')
      .option('--wait <seconds>', 'with --inject: how long to wait for an answer', numberBetween(0, 60), 3)
      .option('--workload <workload>', 'with --live: only what it sends or is to get')
      .option('--rule <rule>', 'with --live: only what this rule decides, or default')
      .option('--dropped', 'with --live: only what is dropped')
      .option('-n, --count <packets>', 'end after so many', numberBetween(1, 1_000_000))
      .option('--duration <time>', 'with --live: end after 30s, 5m', duration)
      .option('--brief', 'a line for each packet')
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(trace),
    [
      [
        'headgate trace --simulate --from web-1 --to db-1 --port 5432',
        'what would become of a new connection',
      ],
      [
        'headgate trace --inject --from web-1 --to db-1 --port 5432',
        'the same with a real packet: does db-1 answer?',
      ],
      ["headgate trace --live --dropped 'tcp port 443'", 'what of HTTPS is dropped now, and by what'],
      ['tcpdump -nec 1 -i eth0 | headgate trace --simulate --line -', 'a packet as tcpdump saw it'],
      ['headgate trace --simulate --pcap lost.pcap --brief', 'each packet of a capture, in a line'],
    ],
  );
}

function flags(text: string): number {
  const value = parseFlags(text);
  if (value !== undefined) return value;
  throw new InvalidArgumentError('Letters of SFRPAUEW are wanted, or none.');
}

/** What describes a packet, and what picks packets. */
const DESCRIPTION: (keyof QuestionOptions)[] = [
  ...(['from', 'to', 'protocol', 'port', 'sourcePort', 'flags', 'icmpType', 'icmpCode'] as const),
  ...(['family', 'payload', 'vlan', 'sourceMac', 'destinationMac', 'sourceAddress'] as const),
  ...(['destinationAddress', 'ttl', 'fragment', 'line', 'pcap'] as const),
];
const LIVE_ONLY: (keyof LiveOptions)[] = ['workload', 'rule', 'dropped', 'duration'];
const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** What one form takes and another would leave aside unsaid. */
function checkForm(filter: string | undefined, options: TraceOptions): void {
  const forms = [options.simulate, options.inject, options.live].filter((one) => one === true);
  if (forms.length !== 1)
    throw usage('One of --simulate, --inject and --live is wanted.', 'headgate trace --help has examples.');
  if (filter !== undefined && options.live !== true)
    throw usage(
      `The filter '${filter}' is for --live.`,
      'Describe the packet: --from web-1 --to db-1 --port 443',
    );
  const isLive = options.live === true;
  const stray = (isLive ? DESCRIPTION : LIVE_ONLY).find((name) => options[name] !== undefined);
  if (stray === undefined) return;
  throw usage(
    `--${kebab(stray)} is ${isLive ? 'not' : 'only'} for --live.`,
    isLive ? "Say which packets: --workload web-1 'tcp port 443'" : 'headgate trace --help has examples.',
  );
}

async function trace(filter: string | undefined, options: TraceOptions): Promise<void> {
  checkForm(filter, options);
  const client = new ApiClient(options.runDir);
  if (options.live === true) await live(client, filter, options);
  else if (options.simulate === true) await simulate(client, options);
  else await inject(client, options);
}

async function simulate(client: ApiClient, options: TraceOptions): Promise<void> {
  const { packets, notes } = await questionOf(options);
  const result = await client.post<SimulateResult>('/v1/trace/simulate', { packets });
  for (const text of [...notes, ...result.notes]) note(`note: ${text}`);
  printAll(result.traces, options);
}

async function inject(client: ApiClient, options: TraceOptions): Promise<void> {
  const { packets, notes } = await questionOf(options);
  for (const text of notes) note(`note: ${text}`);
  for (const [i, packet] of packets.entries()) {
    const asked = client.post<InjectResult>('/v1/trace/inject', { packet, wait: options.wait });
    const result = await withProgress('waiting for an answer', asked);
    for (const text of result.notes) note(`note: ${text}`);
    printOne(result.trace, options, i);
  }
  if (isForPeople(options)) showBanner();
}

async function live(client: ApiClient, filter: string | undefined, options: TraceOptions): Promise<void> {
  const brief = options.output === 'table' || options.brief === true;
  let count = 0;
  await followLive(client, filter, { ...options, steps: !brief }, (trace) =>
    printOne(trace, { ...options, brief }, count++),
  );
}

function printAll(traces: TraceAnswer[], options: TraceOptions): void {
  traces.forEach((trace, i) => printOne(trace, options, i));
  if (isForPeople(options)) showBanner();
}

function isForPeople({ output }: TraceOptions): boolean {
  return output === 'table' || output === 'wide';
}

/** JSON: an object a line. */
function printOne(trace: TraceAnswer, { output, brief }: TraceOptions, i: number): void {
  if (output === 'json') out(`${JSON.stringify(trace)}\n`);
  else if (output === 'yaml') out(`---\n${yamlOf(trace)}`);
  else if (brief === true) out(briefLine(trace));
  else out(`${i > 0 ? '\n' : ''}${traceText(trace)}`);
}
