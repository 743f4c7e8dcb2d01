// Two Headgates, each with a TAP workload, joined by a tunnel over an underlay of veth.
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { EncapsulationName } from '../../documents/tunnel.js';
import type { Draft } from '../generate/datacenter.js';
import { writeYaml } from '../generate/write.js';
import { foldersIn, startHeadgate, type Headgate } from '../headgate.js';
import { ip } from '../namespaces.js';
import {
  answers,
  endsOf,
  INNER_MTU,
  makeEnds,
  makeUnderlay,
  removeEnds,
  removeUnderlay,
  UNDERLAY_ADDRESSES,
  underlayOf,
  VNI,
  type Join,
} from './join.js';

export function headgateTunnel(
  encapsulation: EncapsulationName,
  name = `headgate-${encapsulation}`,
  port?: number,
): Join {
  const ends = endsOf(name);
  const underlay = underlayOf(name);
  const directories: string[] = [];
  const running: Headgate[] = [];
  return {
    name,
    about: `two Headgates, TAP, stateful, 1 rule at each workload, ${encapsulation}${port === undefined ? '' : ` in UDP, port ${port}`}`,
    async setUp() {
      makeEnds(ends);
      makeUnderlay(underlay);
      const macs = underlay.map(macOf);
      for (const [i, netns] of [ends.client, ends.server].entries()) {
        const directory = mkdtempSync('/run/hg-bench-');
        directories.push(directory);
        chmodSync(directory, 0o755); // control, an ordinary user, reads the host file
        mkdirSync(join(directory, 'conf.d'));
        const config = join(directory, 'headgate.yaml');
        const where = { netns: underlay[i], interface: 'under' };
        const way =
          encapsulation === 'nsh-ethernet'
            ? { remotes: [macs[1 - i]] }
            : { local: UNDERLAY_ADDRESSES[i], remotes: [UNDERLAY_ADDRESSES[1 - i]] };
        const tunnel = { encapsulation, ...where, ...way, ...(port !== undefined && { port }) };
        writeFileSync(config, writeYaml([HOST]));
        writeFileSync(join(directory, 'conf.d', 'bench.yaml'), writeYaml(documents(netns, i + 1, tunnel)));
        running.push(await startHeadgate({ ...foldersIn(directory), config }));
      }
      await answers(ends);
      return ends;
    },
    async tearDown() {
      for (const one of running.splice(0)) await one.stop();
      removeEnds(ends);
      removeUnderlay(underlay);
      for (const directory of directories.splice(0)) rmSync(directory, { recursive: true, force: true });
    },
  };
}

function macOf(netns: string): string {
  const [link] = JSON.parse(ip('-n', netns, '-json', 'link', 'show', 'dev', 'under')) as {
    address: string;
  }[];
  return link?.address ?? '';
}

const HOST: Draft = {
  kind: 'Host',
  name: 'bench',
  spec: { default: 'drop', attach: { namespaces: ['hg-*'] } },
};

function documents(netns: string, number: number, tunnel: Record<string, unknown>): Draft[] {
  const all = { addresses: ['10.1.0.0/24'] };
  const tap = { netns, name: 'eth0', addresses: [`10.1.0.${number}/24`], mtu: INNER_MTU };
  return [
    { kind: 'Tunnel', name: 'overlay', spec: tunnel },
    { kind: 'Segment', name: 'bench', spec: { vni: VNI, tunnels: ['overlay'] } },
    { kind: 'Workload', name: `w${number}`, spec: { segment: 'bench', attach: { tap } } },
    {
      kind: 'SecurityPolicy',
      name: 'bench',
      spec: { rules: [{ name: 'allow', from: all, to: all, action: 'allow' }] },
    },
  ];
}
