// What scripts/reference runs: writes docs/reference, or the man pages into a folder.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildProgram } from '../cli/program.js';
import { VERSION } from '../shared/version.js';
import { manPages } from './man.js';
import { cliMarkdown } from './markdown.js';
import { metricsMarkdown } from './metrics.js';
import { pagesOf } from './pages.js';
import { traceJsonSchema } from './trace-schema.js';

const program = buildProgram();
const pages = pagesOf(program);
const [option, folder = ''] = process.argv.slice(2);
if (option === '--man') write(folder, manPages(pages, program.description(), VERSION));
else
  write(
    'docs/reference',
    new Map([
      ['cli.md', cliMarkdown(pages)],
      ['metrics.md', metricsMarkdown()],
      ['trace.schema.json', traceJsonSchema()],
    ]),
  );

function write(directory: string, files: Map<string, string>): void {
  mkdirSync(directory, { recursive: true });
  for (const [name, text] of files) writeFileSync(join(directory, name), text);
}
