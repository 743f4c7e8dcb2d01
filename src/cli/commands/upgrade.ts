// upgrade: replaces the engine that runs by that of this version, under traffic, or goes back to the one before.
import { connect, type Socket } from 'node:net';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Command } from 'commander';
import type { Outcome } from '../../engine/handover-messages.js';
import { errorCode, errorMessage, HeadgateError } from '../../shared/errors.js';
import { handoverSocket } from '../../shared/paths.js';
import { examples, runDirOption } from '../options.js';
import { out, outputOption, print, withProgress, type Column, type Format } from '../output.js';

interface UpgradeOptions {
  rollback?: boolean;
  runDir: string;
  output: Format;
}

export function registerUpgrade(program: Command): void {
  examples(
    program
      .command('upgrade')
      .description(
        'replace the engine that runs by that of this version, without losing a connection or a frame',
      )
      .option('--rollback', 'go back to the engine that the last upgrade replaced')
      .addOption(outputOption())
      .addOption(runDirOption())
      .action(upgrade),
    [
      ['headgate upgrade', 'after a new version was installed; as root'],
      ['headgate upgrade --rollback', 'back to the engine before, which stands by'],
      ['headgate upgrade -o json', 'with the figures'],
    ],
  );
}

async function upgrade({ rollback, runDir, output }: UpgradeOptions): Promise<void> {
  const { outcomeSchema } = await import('../../engine/handover-messages.js');
  const { Peer } = await import('../../engine/peer.js');
  const peer = new Peer(await engineIn(resolve(runDir)));
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  const asked = rollback
    ? peer.ask('rollback')
    : peer.ask('upgrade', { node: process.execPath, program: main });
  let outcome: Outcome;
  try {
    outcome = outcomeSchema.parse(await withProgress(rollback ? 'going back' : 'upgrading', asked));
  } finally {
    peer.close();
  }
  if (output === 'table') out(sentence(outcome));
  else print(output, [outcome], COLUMNS, outcome);
}

async function engineIn(runDir: string): Promise<Socket> {
  const path = handoverSocket(runDir);
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', (cause) => reject(unreachable(path, cause)));
  });
  return socket;
}

function unreachable(path: string, cause: Error): HeadgateError {
  if (errorCode(cause) === 'EACCES')
    return new HeadgateError('not-root', 'Only root may replace the engine.', { cause, remedy: 'Use sudo.' });
  return new HeadgateError('no-engine', `No engine answers on ${path}: ${errorMessage(cause)}.`, {
    cause,
    remedy: 'Is one running? headgate doctor looks. Another run directory is named by --run-dir.',
  });
}

function sentence({ pid, version, before, pauseMicroseconds, connections }: Outcome): string {
  const pause = (pauseMicroseconds / 1000).toFixed(1);
  return (
    `Engine ${pid} (${version}) is in charge, with ${connections} connections; packets waited ${pause} ms.\n` +
    `Engine ${before.pid} (${before.version}) stands by: headgate upgrade --rollback goes back to it.\n`
  );
}

const COLUMNS: Column<Outcome>[] = [
  { title: 'ENGINE', value: ({ pid }) => pid, align: 'right' },
  { title: 'VERSION', value: ({ version }) => version },
  { title: 'BEFORE', value: ({ before }) => before.pid, align: 'right' },
  { title: 'CONNECTIONS', value: ({ connections }) => connections, align: 'right' },
  {
    title: 'PAUSE',
    value: ({ pauseMicroseconds }) => `${(pauseMicroseconds / 1000).toFixed(1)} ms`,
    align: 'right',
  },
  {
    title: 'PREPARED',
    value: ({ prepareMilliseconds }) => `${Math.round(prepareMilliseconds)} ms`,
    align: 'right',
  },
];
