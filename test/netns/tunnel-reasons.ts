// Packets of the underlay that no tunnel takes: for each reason what stands behind the outer headers, in hexadecimal.
import { spawnSync } from 'node:child_process';

export interface BadPacket {
  encapsulation: string;
  /** UDP port; IP protocol 47; EtherType 0x894f. */
  to: number | 'gre' | 'ethernet';
  bytes: string;
  /** Sent from another address than that of the remote. */
  stranger?: boolean;
}

/** ARP from 02:00:00:00:00:99. */
const FRAME = `ffffffffffff0200000000990806${'0001080006040001020000000099'}0a4d0263000000000000${'0a4d0101'}`;
const VNI = '001092'; // 4242

export const BAD_PACKETS: Record<string, BadPacket> = {
  'tunnel-unknown-peer': {
    encapsulation: 'vxlan',
    to: 4789,
    bytes: `08000000${VNI}00${FRAME}`,
    stranger: true,
  },
  'tunnel-truncated': { encapsulation: 'vxlan', to: 4789, bytes: '080000' },
  'tunnel-not-ethernet': { encapsulation: 'gre', to: 'gre', bytes: `2000080000001092${FRAME}` },
  'tunnel-control': { encapsulation: 'geneve', to: 6081, bytes: `00806558${VNI}00${FRAME}` },
  'vxlan-no-vni': { encapsulation: 'vxlan', to: 4789, bytes: `00000000${VNI}00${FRAME}` },
  'vxlan-gpe-not-nsh': { encapsulation: 'nsh', to: 4790, bytes: `0c000003${VNI}00${FRAME}` },
  'gre-bad-version': { encapsulation: 'gre', to: 'gre', bytes: `2002655800001092${FRAME}` },
  'gre-bad-flags': { encapsulation: 'gre', to: 'gre', bytes: `6000655800001092${FRAME}` },
  'gre-no-key': { encapsulation: 'gre', to: 'gre', bytes: `00006558${FRAME}` },
  'gre-bad-checksum': { encapsulation: 'gre', to: 'gre', bytes: `a00065581234000000001092${FRAME}` },
  'geneve-bad-version': { encapsulation: 'geneve', to: 6081, bytes: `40006558${VNI}00${FRAME}` },
  'geneve-bad-option': { encapsulation: 'geneve', to: 6081, bytes: `01006558${VNI}000102030f${FRAME}` },
  'geneve-critical-option': { encapsulation: 'geneve', to: 6081, bytes: `01406558${VNI}0001028300${FRAME}` },
  'nsh-bad-version': { encapsulation: 'nsh-ethernet', to: 'ethernet', bytes: `4fc20203${VNI}ff${FRAME}` },
  'nsh-bad-length': { encapsulation: 'nsh-ethernet', to: 'ethernet', bytes: `0fc10203${VNI}ff${FRAME}` },
  'nsh-bad-metadata': { encapsulation: 'nsh-ethernet', to: 'ethernet', bytes: `0fc20303${VNI}ff${FRAME}` },
  'nsh-expired': { encapsulation: 'nsh-ethernet', to: 'ethernet', bytes: `00020203${VNI}ff${FRAME}` },
  'tunnel-unknown-key': { encapsulation: 'vxlan', to: 4789, bytes: `0800000000000900${FRAME}` },
};

/** Reasons that other tests of tunnels cause by real frames. */
export const ELSEWHERE: Record<string, string> = {
  'tunnel-too-big': 'tunnel-mtu.test.ts',
  'split-horizon': 'tunnel-reasons.test.ts',
};

/** Sends it from the namespace, as host 2 of the bed, to host 1. */
export function sendBad(netns: string, { to, bytes, stranger }: BadPacket): void {
  const program = `
import socket
data = bytes.fromhex('${bytes}')
if '${to}' == 'ethernet':
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind(('under', 0))
    s.send(bytes.fromhex('020000000001020000000002894f') + data)
else:
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 47) if '${to}' == 'gre' else socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(('${stranger ? '192.0.2.77' : '192.0.2.2'}', 0))
    s.sendto(data, ('192.0.2.1', ${typeof to === 'number' ? to : 0}))
`;
  const { status, stderr } = spawnSync(
    'nsenter',
    [`--net=/run/netns/${netns}`, '--', 'python3', '-c', program],
    {
      encoding: 'utf8',
    },
  );
  if (status !== 0) throw new Error(`the packet could not be sent: ${stderr}`);
}
