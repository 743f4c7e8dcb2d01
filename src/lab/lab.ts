// `headgate lab`: the namespaces of a folder of documents, Headgate on them, and real traffic between every pair.
import type { Command } from 'commander';
import { examples, runDirOption } from '../cli/options.js';
import { out, outputOption, printData, note, type Format } from '../cli/output.js';
import { HeadgateError } from '../shared/errors.js';
import { agrees, check } from './check.js';
import { keepAll } from './cleanup.js';
import { Expectations } from './expectations.js';
import { reportOf, rowsAsData } from './table.js';
import { down, readLab, up } from './up.js';

interface LabOptions {
  filename: string;
  runDir: string;
}

/** Adds the `lab` commands to the program. */
export function registerLab(program: Command): void {
  const lab = program
    .command('lab')
    .description('try a policy with real traffic between network namespaces (as root)');
  const folder = '-f, --filename <dir>';

  const upCommand = lab
    .command('up')
    .description('make the namespaces that the documents name, and run Headgate on them')
    .requiredOption(folder, 'folder with the documents')
    .addOption(runDirOption())
    .action(async ({ filename, runDir }: LabOptions) => {
      needRoot();
      const { places, log } = await up(filename, runDir, note);
      keepAll();
      note(`The lab is up (log: ${log}). Try, for example:`);
      const [one, two] = places;
      if (one !== undefined && two !== undefined)
        out(`ip netns exec ${one.netns} ping -c 1 ${two.ipv4 ?? two.ipv6 ?? ''}\n`);
      out(`headgate lab check -f ${filename}\nheadgate lab down -f ${filename}\n`);
    });
  examples(upCommand, [['headgate lab up -f examples/three-tier', 'six namespaces behind one firewall']]);

  const checkCommand = lab
    .command('check')
    .description(
      'try every pair by TCP, UDP and ICMP, IPv4 and IPv6; fails where reality is not what the policy says',
    )
    .requiredOption(folder, 'folder with the documents')
    .addOption(runDirOption())
    .addOption(outputOption())
    .action(async ({ filename, runDir, output }: LabOptions & { output: Format }) => {
      needRoot();
      const documents = await readLab(filename);
      const rows = await check({ runDir, documents, expectations: Expectations.read(filename), say: note });
      if (output === 'json' || output === 'yaml') printData(output, rowsAsData(rows));
      else out(`${reportOf(rows)}\n`);
      if (!agrees(rows)) throw new HeadgateError('lab-check', 'What happened is not what should.');
    });
  examples(checkCommand, [
    ['headgate lab check -f examples/three-tier', 'the table who could reach whom and why'],
    ['headgate lab check -f DIR -o json', 'the same for a program'],
  ]);

  const downCommand = lab
    .command('down')
    .description('stop the Headgate of the lab and remove its namespaces')
    .option(folder, 'folder with the documents (not needed: what was made is remembered)')
    .addOption(runDirOption())
    .action(async ({ runDir }: LabOptions) => {
      needRoot();
      note((await down(runDir)) ? 'The lab is down.' : 'No lab is up.');
    });
  examples(downCommand, [['headgate lab down -f examples/three-tier', 'leaves nothing behind']]);
}

function needRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new HeadgateError('lab-root', 'A lab makes network namespaces, which only root may.', {
    remedy: 'Use sudo.',
  });
}
