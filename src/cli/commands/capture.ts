// capture: real traffic as pcapng, with the verdict on each packet as its comment: for Wireshark, tshark and tcpdump.
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Command } from 'commander';
import { errorMessage, HeadgateError } from '../../shared/errors.js';
import { VERSION } from '../../shared/version.js';
import type { TraceAnswer } from '../../trace/answer.js';
import { PcapngWriter } from '../../trace/write-pcapng.js';
import { ApiClient } from '../client.js';
import { duration, examples, numberBetween, runDirOption } from '../options.js';
import { followLive, type LiveOptions } from '../trace/live.js';
import { usage } from '../trace/question.js';

/** A super-frame with its headers. */
const WHOLE_FRAME = 65_558;

interface CaptureOptions extends LiveOptions {
  write: string;
  runDir: string;
}

export function registerCapture(program: Command): void {
  examples(
    program
      .command('capture')
      .description('capture real traffic as pcapng, the verdict on each packet as its comment')
      .argument('[filter]', "which packets, as for tcpdump: 'tcp port 443'")
      .option('-w, --write <file>', 'where to, - for standard output', '-')
      .option('--workload <workload>', 'only what it sends or is to get')
      .option('--rule <rule>', 'only what this rule decides, or default')
      .option('--dropped', 'only what is dropped')
      .option(
        '--bytes <count>',
        'keep so many bytes of each packet',
        numberBetween(0, WHOLE_FRAME),
        WHOLE_FRAME,
      )
      .option('-n, --count <packets>', 'end after so many', numberBetween(1, 1_000_000_000))
      .option('--duration <time>', 'end after 30s, 5m', duration)
      .addOption(runDirOption())
      .action(capture),
    [
      ['headgate capture -w web.pcapng --workload web-1', 'all packets from and to web-1, until Ctrl-C'],
      [
        'headgate capture --dropped --duration 30s | tshark -r - -T fields -e frame.comment',
        'why packets are dropped',
      ],
      ["headgate capture 'udp port 53' | wireshark -k -i -", 'watch DNS in Wireshark'],
    ],
  );
}

async function capture(filter: string | undefined, options: CaptureOptions): Promise<void> {
  if (options.write === '-' && process.stdout.isTTY)
    throw usage(
      'A capture is nothing for a terminal.',
      'Name a file, -w FILE, or a reader: | wireshark -k -i -',
    );
  let file: ReturnType<typeof open> | undefined;
  let writer: PcapngWriter | undefined;
  // Not before the filter is accepted: what a file held is gone then.
  const begin = () => {
    file = open(options.write);
    writer = new PcapngWriter(file.write, `headgate ${VERSION}`);
  };
  try {
    const each = (trace: TraceAnswer) => writer?.frame(framed(trace));
    await followLive(new ApiClient(options.runDir), filter, options, each, begin);
  } finally {
    file?.close();
  }
}

function open(path: string): { write: (bytes: Buffer) => void; close: () => void } {
  if (path === '-') return { write: (bytes) => void process.stdout.write(bytes), close: () => undefined };
  const writing = <T>(act: () => T): T => {
    try {
      return act();
    } catch (cause) {
      throw new HeadgateError('file', `${path} cannot be written: ${errorMessage(cause)}.`, { cause });
    }
  };
  const fd = writing(() => openSync(path, 'w'));
  return { write: (bytes) => writing(() => writeWhole(fd, bytes)), close: () => closeSync(fd) };
}

/** A disk that gets full takes a part. */
function writeWhole(fd: number, bytes: Buffer): void {
  for (let done = 0; done < bytes.length;) done += writeSync(fd, bytes, done);
}

/** Devices of several workloads may have one name: each is in a namespace of its own. */
function framed({ time, verdict, trace }: TraceAnswer) {
  const { device = 'unknown', workload = 'unknown', length } = trace;
  return {
    interface: `${workload}/${device}`,
    description: `device ${device} of workload ${workload}`,
    time,
    bytes: Buffer.from(trace.frame, 'base64'),
    length,
    comment: verdict,
  };
}
