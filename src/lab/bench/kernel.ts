// Peers in the kernel: a bridge without any firewall, and routing with a stateful nftables ruleset.
import { createNamespace, deleteNamespace, ip } from '../namespaces.js';
import {
  answers,
  endsOf,
  INNER_MTU,
  makeEnds,
  makeUnderlay,
  removeEnds,
  removeUnderlay,
  runIn,
  UNDERLAY_ADDRESSES,
  underlayOf,
  vethInto,
  VNI,
  type Join,
} from './join.js';

/** A Linux bridge: the upper bound of what joins two namespaces. */
export function kernelBridge(): Join {
  const ends = endsOf('kernel');
  const middle = 'hg-kernel-m';
  return {
    name: 'kernel',
    about: 'kernel bridge, no firewall',
    async setUp() {
      makeEnds(ends);
      createNamespace(middle);
      vethInto(ends.client, '10.1.0.1/24', middle, 'client');
      vethInto(ends.server, '10.1.0.2/24', middle, 'server');
      ip('-n', middle, 'link', 'add', 'bridge', 'type', 'bridge');
      ip('-n', middle, 'link', 'set', 'bridge', 'up');
      for (const device of ['client', 'server']) ip('-n', middle, 'link', 'set', device, 'master', 'bridge');
      return ends;
    },
    async tearDown() {
      removeEnds(ends);
      deleteNamespace(middle);
    },
  };
}

/** A bridge and a VXLAN device in each of two namespaces. */
export function kernelVxlan(): Join {
  const ends = endsOf('kernel');
  const underlay = underlayOf('kernel');
  return {
    name: 'kernel',
    about: 'kernel bridges joined by VXLAN devices, no firewall',
    async setUp() {
      makeEnds(ends);
      makeUnderlay(underlay);
      for (const [i, end] of [ends.client, ends.server].entries()) {
        const netns = underlay[i] as string;
        const [own, far] = i === 0 ? UNDERLAY_ADDRESSES : [...UNDERLAY_ADDRESSES].reverse();
        vethInto(end, `10.1.0.${i + 1}/24`, netns, 'workload');
        ip('-n', end, 'link', 'set', 'eth0', 'mtu', String(INNER_MTU));
        ip('-n', netns, 'link', 'add', 'bridge', 'type', 'bridge');
        ip(
          ...['-n', netns, 'link', 'add', 'vx', 'type', 'vxlan', 'id', String(VNI), 'dstport', '4789'],
          ...['local', String(own), 'remote', String(far), 'dev', 'under'],
        );
        for (const device of ['workload', 'vx'])
          ip('-n', netns, 'link', 'set', device, 'master', 'bridge', 'up');
        ip('-n', netns, 'link', 'set', 'bridge', 'up');
      }
      await answers(ends);
      return ends;
    },
    async tearDown() {
      removeEnds(ends);
      removeUnderlay(underlay);
    },
  };
}

/**
 * Kernel routing between two subnets with a stateful ruleset: what belongs to a connection passes at once, a new
 * one is compared with `rules` rules in a row, of which the last allows it.
 */
export function nftables(rules: number): Join & { middle: string; reload(): void } {
  const name = rules === 1 ? 'nftables' : `nftables-${rules}`;
  const ends = endsOf(name, '10.2.0.2');
  const middle = `hg-${name}-m`;
  return {
    name,
    middle,
    about: `kernel routing, nftables stateful, ${rules} rule${rules === 1 ? '' : 's in a row'} for new connections`,
    async setUp() {
      makeEnds(ends);
      createNamespace(middle);
      vethInto(ends.client, '10.1.0.2/24', middle, 'client');
      vethInto(ends.server, '10.2.0.2/24', middle, 'server');
      ip('-n', middle, 'address', 'add', '10.1.0.1/24', 'dev', 'client');
      ip('-n', middle, 'address', 'add', '10.2.0.1/24', 'dev', 'server');
      ip('-n', ends.client, 'route', 'add', 'default', 'via', '10.1.0.1');
      ip('-n', ends.server, 'route', 'add', 'default', 'via', '10.2.0.1');
      runIn(middle, ['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
      runIn(middle, ['nft', '-f', '-'], ruleset(rules));
      return ends;
    },
    async tearDown() {
      removeEnds(ends);
      deleteNamespace(middle);
    },
    reload() {
      // One transaction, as `nft -f` of a file that begins with `flush ruleset`: connections stay known.
      runIn(middle, ['nft', '-f', '-'], `flush ruleset\n${ruleset(rules)}`);
    },
  };
}

function ruleset(rules: number): string {
  const lines = [
    'table inet headgate_bench {',
    'chain forward {',
    'type filter hook forward priority 0; policy drop;',
  ];
  lines.push('ct state established,related accept');
  for (let i = 0; i < rules - 1; i++) {
    lines.push(
      `ip saddr 192.0.2.${i % 256} ip daddr 198.51.100.${i % 251} tcp dport ${1000 + (i % 50000)} drop`,
    );
  }
  lines.push('ip saddr 10.1.0.0/24 ip daddr 10.2.0.0/24 accept', '}', '}');
  return `${lines.join('\n')}\n`;
}
