// Frames with a forged sender, made by scapy on the first workload: none may arrive at the second, and spoofguard
// has to count each.
import { ApiClient } from '../cli/client.js';
import type { DocumentResult, StatsResult } from '../control/api.js';
import type { Finding } from './demo-bulk.js';
import { execIn, spawnIn, waitUntil } from './namespaces.js';
import type { Lab } from './up.js';

/** Distribution Python: scapy is installed for it. */
const PYTHON = '/usr/bin/python3';
const EACH = 5;

/** The marker is what the receiver looks for; it is in every forged frame that can carry data. */
const SEND = `
import sys
from scapy.all import Ether, IP, IPv6, UDP, ARP, Raw, sendp, conf
conf.verb = 0
device, mac, target_mac, my4, to4, my6, to6 = sys.argv[1:]
data = UDP(sport=4242, dport=4242) / Raw(b"headgate-forged")
frames = {
    "spoofed-mac": Ether(src="02:66:66:66:66:66", dst=target_mac) / IP(src=my4, dst=to4) / data,
    "spoofed-ipv4": Ether(src=mac, dst=target_mac) / IP(src="192.0.2.66", dst=to4) / data,
    "spoofed-ipv6": Ether(src=mac, dst=target_mac) / IPv6(src="2001:db8:66::66", dst=to6) / data,
    "spoofed-arp": Ether(src=mac, dst="ff:ff:ff:ff:ff:ff") / ARP(op=2, hwsrc=mac, psrc=to4, hwdst=target_mac, pdst=to4),
}
for frame in frames.values():
    sendp([frame] * ${EACH}, iface=device)
`;

export async function spoof(lab: Lab): Promise<Finding> {
  const control = new ApiClient(lab.runDir);
  const workloads = await control.get<DocumentResult[]>('/v1/documents/Workload');
  const [attacker, victim] = lab.places.filter(({ ipv4, ipv6 }) => ipv4 !== undefined && ipv6 !== undefined);
  if (attacker === undefined || victim === undefined)
    return { ok: false, text: 'no two workloads with IPv4 and IPv6' };
  const macOf = (name: string) => workloads.find(({ metadata }) => metadata.name === name)?.status?.mac ?? '';
  const drops = async (): Promise<Record<string, number>> => {
    const stats = await control.get<StatsResult>('/v1/stats');
    return stats.workloads.find(({ workload }) => workload === attacker.workload)?.drops ?? {};
  };

  const before = await drops();
  const filter = 'udp port 4242 or (arp and arp[6:2] = 2 and ether src ' + macOf(attacker.workload) + ')';
  const watch = spawnIn(victim.netns, ['tcpdump', '-n', '-l', '-i', victim.device, filter]);
  let arrived = '';
  let said = '';
  watch.stdout?.on('data', (data: Buffer) => (arrived += data.toString()));
  watch.stderr?.on('data', (data: Buffer) => (said += data.toString()));
  await waitUntil(`tcpdump listens in ${victim.netns}`, () => said.includes('listening on'));
  const args = [attacker.device, macOf(attacker.workload), macOf(victim.workload)];
  args.push(attacker.ipv4 ?? '', victim.ipv4 ?? '', attacker.ipv6 ?? '', victim.ipv6 ?? '');
  await execIn(attacker.netns, [PYTHON, '-c', SEND, ...args]);

  const reasons = ['spoofed-mac', 'spoofed-ipv4', 'spoofed-ipv6', 'spoofed-arp'];
  let counted: Record<string, number> = {};
  const all = async () => {
    const after = await drops();
    counted = Object.fromEntries(
      reasons.map((reason) => [reason, (after[reason] ?? 0) - (before[reason] ?? 0)]),
    );
    return reasons.every((reason) => (counted[reason] ?? 0) >= EACH);
  };
  const ok = await waitUntil('the drops are counted', all, 5000).catch(() => false);
  watch.kill('SIGTERM');
  const list = reasons.map((reason) => `${reason} ${counted[reason] ?? 0}`).join(', ');
  return {
    ok: ok && arrived === '',
    text:
      `scapy, ${EACH} forged frames of each kind from ${attacker.workload} to ${victim.workload}: dropped ${list}; ` +
      (arrived === '' ? 'none arrived' : `ARRIVED: ${arrived.trim()}`),
  };
}
