// Twenty and more times "why can't A reach B?": each is broken for real, seen to fail, and answered by one command; and
// docs/troubleshooting.md shows these very answers. HEADGATE_WRITE_DOCS=1 writes it.
import { spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { PROGRAM } from '../../src/lab/headgate.js';
import { waitUntil } from '../../src/lab/namespaces.js';
import { Bed, type Document } from './bed.js';
import { deleteVeths, ground, makeVeths, policy, PUZZLES, type Ground, type Puzzle } from './puzzles.js';

const DOCS = fileURLToPath(new URL('../../docs/troubleshooting.md', import.meta.url));
const HEAD = `# Why can't A reach B?

Each of these was broken in a lab and answered by the one command that is shown, as \`test/netns/puzzles.ts\` does it again with
every test; this page is written by it. Answers are shown from the line on that tells.

\`--simulate\` asks about a packet that is described, and sends nothing. \`--inject\` sends one and waits for the answer. \`--live\`
waits for a real one: add \`--workload\`, \`--rule\` or a filter as of tcpdump where there is much traffic. \`headgate doctor\` looks at
what is not about packets.
`;

const id = String(process.pid);
const place: Omit<Ground, 'bed'> = {
  devices: { tablet: `hgv${id}`, trunk: `hgt${id}` },
  netns: { tablet: `hg${id}-v`, trunk: `hg${id}-t` },
};
const sections: string[] = [];
let all: Ground;

const ALLOW = policy([{ name: 'all', action: 'allow' }]);

/** Puts these in force, and nothing else. */
const enforce = (documents: Document[]) =>
  all.bed.control.post('/v1/apply', {
    sources: [
      { file: 'ground.yaml', text: texts(ground(all)) },
      { file: 'shop.yaml', text: texts(documents) },
    ],
    prune: true,
  });
const texts = (documents: Document[]) => documents.map((one) => stringify(one)).join('---\n');

beforeAll(async () => {
  makeVeths(place);
  const bed = Bed.make({
    workloads: ['web', 'db'],
    host: {
      connections: 1024,
      limits: { connections: 100_000, halfOpen: 100_000, newPerSecond: 100_000 },
      timeouts: { udpTwoWay: 15 },
    },
  });
  all = { bed, ...place };
  await bed.startHeadgate();
  await enforce([ALLOW]);
  await bed.attached();
  for (const name of ['tablet', 'behind-trunk', 'apart'])
    await waitUntil(`${name} is attached`, async () => (await bed.attachment(name)).state === 'attached');
  await bed.startAgents();
  await bed.agent('db').listen({ tcp: [5432], udp: [53] });
}, 60_000);
afterAll(async () => {
  await all?.bed.stop();
  deleteVeths(place);
  if (process.env['HEADGATE_WRITE_DOCS'] === '1') writeFileSync(DOCS, [HEAD, ...sections].join('\n'));
});

/** Runs `headgate`; while it runs, `meanwhile` again and again. */
async function run(args: string[], meanwhile: () => Promise<unknown>): Promise<string> {
  const child = spawn(PROGRAM, [...args, '--run-dir', all.bed.folders.runDir], {
    env: { ...process.env, NO_COLOR: '1' },
  });
  let [said, ended] = ['', false];
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data: Buffer) => (said += data.toString()));
  child.on('close', () => (ended = true));
  const end = Date.now() + 20_000;
  while (!ended && Date.now() < end) {
    if (args.includes('--live')) await meanwhile();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  child.kill('SIGKILL');
  return said;
}

/** Without what is different each time. */
const stable = (text: string): string =>
  text
    .replaceAll(all.bed.config, '/etc/headgate/headgate.yaml')
    .replaceAll(place.devices.tablet, 'veth7')
    .replaceAll(place.devices.trunk, 'eth1')
    .replaceAll(/after \d+ ms/g, 'after 0 ms')
    .replaceAll(/, \d+ more lost: they came too fast/g, '')
    .replaceAll(/:\d{5} \[/g, ':40000 [')
    .replaceAll(/headgate-trace-[0-9a-f]+/g, 'headgate-trace-1a2b3c4d');

function section(number: number, { title, symptom, command, mend }: Puzzle, answer: string): string {
  const lines = stable(answer).trimEnd().split('\n');
  const first = lines.findIndex((line) => /^ {2}drop|is not known in segment/.test(line));
  const last = lines.findLastIndex((line) => line.startsWith('  ok '));
  const told = lines
    .slice(first < 0 ? Math.max(0, last) : first)
    .filter((line) => !line.startsWith('  skip'));
  const quoted = command.map((word) => (word.includes(' ') ? `'${word}'` : word)).join(' ');
  const block = [`$ headgate ${quoted}`, ...told].map((line) => `    ${line}`.trimEnd()).join('\n');
  return `## ${number}. ${title}\n\n${symptom}\n\n${block}\n\n**Mend it.** ${mend}\n`;
}

test.each(PUZZLES.map((puzzle, i): [number, string, Puzzle] => [i + 1, puzzle.title, puzzle]))(
  '%i. %s',
  async (number, _title, puzzle) => {
    await enforce(puzzle.documents ?? [ALLOW]);
    try {
      await puzzle.break?.(all);
      expect(await puzzle.reaches(all)).toBe(false);
      const answer = await run(puzzle.command, () => puzzle.reaches(all));
      for (const words of puzzle.says)
        expect(answer.replaceAll(/\s+/g, ' ')).toContain(words.replaceAll(/\s+/g, ' '));
      const text = section(number, puzzle, answer);
      sections.push(text);
      if (process.env['HEADGATE_WRITE_DOCS'] !== '1') expect(readFileSync(DOCS, 'utf8')).toContain(text);
    } finally {
      await puzzle.repair?.(all);
    }
  },
  60_000,
);
