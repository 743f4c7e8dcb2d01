// What the `lab` commands do.
import { out, printData, note, type Format } from '../cli/output.js';
import { HeadgateError } from '../shared/errors.js';
import { agrees, check } from './check.js';
import { keepAll } from './cleanup.js';
import { Expectations } from './expectations.js';
import { reportOf, rowsAsData } from './table.js';
import * as lab from './up.js';

export interface LabOptions {
  filename: string;
  runDir: string;
}

export async function up({ filename, runDir }: LabOptions): Promise<void> {
  needRoot();
  const { places, log } = await lab.up(filename, runDir, note);
  keepAll();
  note(`The lab is up (log: ${log}). Try, for example:`);
  const [one, two] = places;
  if (one !== undefined && two !== undefined)
    out(`ip netns exec ${one.netns} ping -c 1 ${two.ipv4 ?? two.ipv6 ?? ''}\n`);
  out(`headgate lab check -f ${filename}\nheadgate lab down -f ${filename}\n`);
}

export async function checkLab({ filename, runDir, output }: LabOptions & { output: Format }): Promise<void> {
  needRoot();
  const documents = await lab.readLab(filename);
  const rows = await check({ runDir, documents, expectations: Expectations.read(filename), say: note });
  if (output === 'json' || output === 'yaml') printData(output, rowsAsData(rows));
  else out(`${reportOf(rows)}\n`);
  if (!agrees(rows)) throw new HeadgateError('lab-check', 'What happened is not what should.');
}

export async function down({ runDir }: LabOptions): Promise<void> {
  needRoot();
  note((await lab.down(runDir)) ? 'The lab is down.' : 'No lab is up.');
}

function needRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new HeadgateError('lab-root', 'A lab makes network namespaces, which only root may.', {
    remedy: 'Use sudo.',
  });
}
