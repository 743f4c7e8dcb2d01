// What a lab is meant to show, written down apart from its policy (DIR/lab/expected.yaml), so that a policy that
// says something else than what was meant is found out:
//
//     # Everything that is not listed must be denied.
//     allow:
//       - { from: web-1, to: app-1, services: [tcp/8080, icmp] }
//
// Names are those of workloads; `*` at the end stands for any rest. What is listed holds for IPv4 and IPv6.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { z } from 'zod';
import { HeadgateError } from '../shared/errors.js';
import { parseService, serviceName, type Attempt, type LabService } from './attempts.js';

const schema = z.strictObject({
  allow: z.array(z.strictObject({ from: z.string(), to: z.string(), services: z.array(z.string()).min(1) })),
});

export class Expectations {
  private constructor(
    readonly file: string,
    private readonly allow: z.infer<typeof schema>['allow'],
  ) {}

  /** Undefined when the folder has none. Throws when the file cannot be used. */
  static read(directory: string): Expectations | undefined {
    const file = join(directory, 'lab', 'expected.yaml');
    if (!existsSync(file)) return undefined;
    const read = schema.safeParse(parse(readFileSync(file, 'utf8')));
    const wrong = (what: string) =>
      new HeadgateError('lab-expected', `${file}: ${what}`, {
        remedy: 'It needs `allow`, a list of {from, to, services: [tcp/PORT, udp/PORT or icmp]}.',
      });
    if (!read.success) throw wrong(z.prettifyError(read.error));
    for (const text of read.data.allow.flatMap(({ services }) => services)) {
      if (parseService(text) === undefined) throw wrong(`"${text}" is not a service`);
    }
    return new Expectations(file, read.data.allow);
  }

  /** Services that it names: they are tried even when no document names them. */
  services(): LabService[] {
    return this.allow.flatMap(({ services }) => services).flatMap((text) => parseService(text) ?? []);
  }

  allows({ from, to, service }: Attempt): boolean {
    return this.allow.some(
      (line) =>
        matches(line.from, from.workload) &&
        matches(line.to, to.workload) &&
        line.services.includes(serviceName(service)),
    );
  }

  /** Lines that fit no attempt at all: a misspelt name would otherwise go unnoticed. */
  unused(attempts: Attempt[]): string[] {
    return this.allow
      .filter(
        (line) =>
          !attempts.some(
            ({ from, to }) => matches(line.from, from.workload) && matches(line.to, to.workload),
          ),
      )
      .map((line) => `${line.from} -> ${line.to}`);
  }
}

function matches(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}
