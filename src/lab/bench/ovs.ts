// Peer: Open vSwitch's user-space datapath, packet sockets on veth, plain switching (no firewall).
//
// The package is unpacked below build/, not installed: installing it would start its service on the machine.
import { execFileSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createNamespace, deleteNamespace, ip, spawnIn, waitUntil } from '../namespaces.js';
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

interface Programs {
  /** Where the package lies: `/` or the folder it was unpacked to. */
  root: string;
  env: NodeJS.ProcessEnv;
}

export function openVswitch(): Join & { restart(): Promise<void> } {
  const ends = endsOf('ovs');
  const middle = 'hg-ovs-m';
  let switches: Switch[] = [];
  return {
    name: 'ovs',
    about: 'Open vSwitch, user-space datapath (netdev), packet sockets on veth, no firewall',
    async setUp() {
      makeEnds(ends);
      createNamespace(middle);
      vethInto(ends.client, '10.1.0.1/24', middle, 'client');
      vethInto(ends.server, '10.1.0.2/24', middle, 'server');
      // This datapath cannot finish checksums that the sender left to a device.
      for (const end of [ends.client, ends.server]) runIn(end, ['ethtool', '-K', 'eth0', 'tx', 'off']);
      const one = await startSwitch(middle);
      switches = [one];
      one.vsctl('add-br', 'bridge', '--', 'set', 'bridge', 'bridge', 'datapath_type=netdev');
      one.vsctl('add-port', 'bridge', 'client', '--', 'add-port', 'bridge', 'server');
      return ends;
    },
    async tearDown() {
      for (const one of switches.splice(0)) await one.stop();
      removeEnds(ends);
      deleteNamespace(middle);
    },
    async restart() {
      for (const one of switches) await one.restart();
    },
  };
}

/** Two switches, each in its namespace of an underlay, joined by VXLAN. */
export function openVswitchVxlan(): Join {
  const ends = endsOf('ovs');
  const underlay = underlayOf('ovs');
  const switches: Switch[] = [];
  return {
    name: 'ovs',
    about: 'two Open vSwitches, user-space datapath (netdev), VXLAN, packet sockets on veth, no firewall',
    async setUp() {
      makeEnds(ends);
      makeUnderlay(underlay);
      for (const [i, end] of [ends.client, ends.server].entries()) {
        const netns = underlay[i] as string;
        const [own, far] = i === 0 ? UNDERLAY_ADDRESSES : [...UNDERLAY_ADDRESSES].reverse();
        vethInto(end, `10.1.0.${i + 1}/24`, netns, 'workload');
        ip('-n', end, 'link', 'set', 'eth0', 'mtu', String(INNER_MTU));
        runIn(end, ['ethtool', '-K', 'eth0', 'tx', 'off']);
        runIn(netns, ['ethtool', '-K', 'under', 'tx', 'off']);
        const one = await startSwitch(netns);
        switches.push(one);
        // The tunnel's address lies on the bridge that holds the interface of the underlay.
        ip('-n', netns, 'address', 'flush', 'dev', 'under');
        one.vsctl('add-br', 'phy', '--', 'set', 'bridge', 'phy', 'datapath_type=netdev');
        one.vsctl('add-port', 'phy', 'under');
        ip('-n', netns, 'address', 'add', `${own}/24`, 'dev', 'phy');
        ip('-n', netns, 'link', 'set', 'phy', 'up');
        one.vsctl('add-br', 'int', '--', 'set', 'bridge', 'int', 'datapath_type=netdev');
        one.vsctl('add-port', 'int', 'workload');
        one.vsctl(
          ...['add-port', 'int', 'vx', '--', 'set', 'interface', 'vx', 'type=vxlan'],
          ...[`options:remote_ip=${far}`, `options:key=${VNI}`],
        );
      }
      await answers(ends);
      return ends;
    },
    async tearDown() {
      for (const one of switches.splice(0)) await one.stop();
      removeEnds(ends);
      removeUnderlay(underlay);
    },
  };
}

interface Switch {
  vsctl(...args: string[]): string;
  /** Ends the datapath in order and starts it again at once, with what the database holds. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** A database and a switch in the namespace. */
async function startSwitch(netns: string): Promise<Switch> {
  const programs = findPrograms();
  const directory = mkdtempSync(join(tmpdir(), 'hg-ovs-'));
  const daemons: ChildProcess[] = [];
  const env = {
    ...programs.env,
    OVS_RUNDIR: directory,
    OVS_LOGDIR: directory,
    OVS_DBDIR: directory,
    OVS_SYSCONFDIR: directory,
  };
  const path = (file: string) => join(programs.root, file);
  const run = (file: string, ...args: string[]) => runIn(netns, [path(file), ...args], undefined, env);
  const database = join(directory, 'conf.db');
  const socket = `unix:${join(directory, 'db.sock')}`;
  run('usr/bin/ovsdb-tool', 'create', database, path('usr/share/openvswitch/vswitch.ovsschema'));
  const start = (file: string, ...args: string[]) => {
    const assign = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    const daemon = spawnIn(netns, ['env', ...assign, path(file), ...args], 'ignore');
    daemons.push(daemon);
    return daemon;
  };
  start('usr/sbin/ovsdb-server', database, `--remote=p${socket}`, '--log-file=/dev/null');
  const vsctl = (...args: string[]) => run('usr/bin/ovs-vsctl', `--db=${socket}`, '--timeout=20', ...args);
  await waitUntil('ovsdb-server', () => vsctl('--no-wait', 'init') === '');
  const startDatapath = () =>
    start('usr/lib/openvswitch-switch/ovs-vswitchd', socket, '--log-file=/dev/null');
  let datapath = startDatapath();
  return {
    vsctl,
    async restart() {
      daemons.splice(daemons.indexOf(datapath), 1);
      await ended(datapath);
      datapath = startDatapath();
    },
    async stop() {
      for (const daemon of daemons.splice(0).reverse()) await ended(daemon);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGTERM');
  await gone;
}

function findPrograms(): Programs {
  if (existsSync('/usr/lib/openvswitch-switch/ovs-vswitchd')) {
    return { root: '/', env: {} };
  }
  const root = resolve('build/openvswitch/root');
  if (!existsSync(join(root, 'usr/share/openvswitch/vswitch.ovsschema'))) unpack(root);
  const libraries = readdirSync(join(root, 'usr/lib'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name.endsWith('-linux-gnu'))
    .map((entry) => join(root, 'usr/lib', entry.name));
  return { root, env: { LD_LIBRARY_PATH: [...libraries, join(root, 'usr/lib')].join(':') } };
}

function unpack(root: string): void {
  const archives = resolve('build/openvswitch/archives');
  if (
    !existsSync(archives) ||
    !readdirSync(archives).some((name) => name.startsWith('openvswitch-switch_'))
  ) {
    throw new Error(
      `${archives} has no openvswitch-switch package: start benches by scripts/bench, which fetches it`,
    );
  }
  mkdirSync(root, { recursive: true });
  for (const name of readdirSync(archives).filter((name) => name.endsWith('.deb'))) {
    execFileSync('dpkg', ['-x', join(archives, name), root]);
  }
}
