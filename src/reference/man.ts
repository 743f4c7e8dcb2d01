// Man pages, section 1: one of the program, one of each command.
import type { Term, Page } from './pages.js';
import { GENERAL } from './pages.js';
import { sentence } from './markdown.js';

const FILES: Term[] = [
  ['/etc/headgate/headgate.yaml', 'the host file: what the engine may attach, the default action, limits'],
  ['/etc/headgate/conf.d/', 'documents that are applied whenever control starts'],
  ['/run/headgate/headgate.sock', "control's socket: HTTP and JSON"],
  ['/var/lib/headgate/', 'the store of revisions'],
];

/** Texts by file name. */
export function manPages(pages: Page[], description: string, version: string): Map<string, string> {
  const files = new Map(pages.map((page) => [fileOf(page.name), commandPage(page, version)]));
  return files.set('headgate.1', programPage(pages, description, version));
}

const fileOf = (name: string): string => `${name.replaceAll(' ', '-')}.1`;

function programPage(pages: Page[], description: string, version: string): string {
  return [
    head('headgate', version, description.replace(/\.$/, '')),
    section('SYNOPSIS', [bold('headgate'), escape('COMMAND [options]')]),
    section('COMMANDS', terms(pages.map(({ name, description }) => [name, description]))),
    section('FOR ALL COMMANDS', terms(GENERAL)),
    section('FILES', terms(FILES)),
    section('SEE ALSO', [pages.map(({ name }) => reference(name)).join(',\n')]),
  ].join('');
}

function commandPage(page: Page, version: string): string {
  return [
    head(page.name.replaceAll(' ', '-'), version, page.description),
    section(
      'SYNOPSIS',
      [bold(page.name), escape(page.usage.slice(page.name.length + 1))].filter((line) => line !== ''),
    ),
    section('DESCRIPTION', [escape(sentence(page.description))]),
    ...(page.arguments.length > 0 ? [section('ARGUMENTS', terms(page.arguments))] : []),
    ...(page.options.length > 0 ? [section('OPTIONS', terms(page.options))] : []),
    section('EXIT STATUS', [escape(sentence(GENERAL[0]?.[1] ?? ''))]),
    section(
      'EXAMPLES',
      page.examples.flatMap(([line, what]) => [
        '.PP',
        escape(sentence(what)),
        '.nf',
        '.RS',
        escape(line),
        '.RE',
        '.fi',
      ]),
    ),
    section('SEE ALSO', [reference('headgate')]),
  ].join('');
}

function head(name: string, version: string, description: string): string {
  return `.TH ${name.toUpperCase()} 1 "" "Headgate ${version}" "Headgate"\n${section('NAME', [`${escape(name)} \\- ${escape(description)}`])}`;
}

function section(title: string, lines: string[]): string {
  return `.SH ${title}\n${lines.join('\n')}\n`;
}

function terms(list: readonly Term[]): string[] {
  return list.flatMap(([name, text]) => ['.TP', bold(name), escape(text)]);
}

const bold = (text: string): string => `\\fB${escape(text)}\\fR`;
const reference = (name: string): string => `\\fB\\%${escape(name.replaceAll(' ', '-'))}\\fR(1)`;

/** Text as it is: a backslash, a hyphen that is to be copied, and a line that would be a request. */
function escape(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/, '\\&$1');
}
