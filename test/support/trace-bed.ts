// Control and the real engine over memory ports, with workloads on several segments and rules of every kind: what the tests
// of traces ask.
//
//   lan: web 10.0.0.1 and fd00::1 (gateway gw, MTU 9000), db 10.0.0.2 and fd00::2, gw 10.0.0.254, veth
//   red (VLAN 10): red-1; blue (QinQ 20, 7): blue-1, both on the trunk hg-nic, and blue-2; lonely: alone
import { expect } from 'vitest';
import type { NativeEngine } from '../../src/engine/addon.js';
import type { SimulateResult } from '../../src/control/trace-api.js';
import { traceAnswerSchema, type TraceAnswer } from '../../src/trace/answer.js';
import type { Described, PacketQuestion } from '../../src/trace/packet.js';
import { memoryEngine } from './native-engine.js';
import { source, Stack } from './stack.js';
import { until } from './until.js';

const HOST = `
apiVersion: headgate/v1
kind: Host
metadata: {name: test}
spec: {default: drop, attach: {namespaces: ['hg-*'], interfaces: ['hg-*']}}
`;

const workload = (name: string, spec: string, segment = 'lan') => `---
apiVersion: headgate/v1
kind: Workload
metadata: {name: ${name}}
spec: {segment: ${segment}, ${spec}}
`;
const tap = (name: string, address: string, more = '', segment = 'lan') =>
  workload(name, `attach: {tap: {netns: hg-${name}, name: eth0, addresses: [${address}]${more}}}`, segment);

const WORKLOADS = `
apiVersion: headgate/v1
kind: Segment
metadata: {name: lan}
spec: {}
---
apiVersion: headgate/v1
kind: Segment
metadata: {name: red}
spec: {vlan: 10}
---
apiVersion: headgate/v1
kind: Segment
metadata: {name: blue}
spec: {vlan: 20, innerVlan: 7}
---
apiVersion: headgate/v1
kind: Segment
metadata: {name: lonely}
spec: {}
${tap('web', "10.0.0.1/24, 'fd00::1/64'", ', gateway: 10.0.0.254, mtu: 9000')}
${tap('db', "10.0.0.2/24, 'fd00::2/64'")}
${tap('gw', '10.0.0.254/24')}
${tap('alone', '10.0.9.1/24', '', 'lonely')}
${workload('red-1', 'attach: {nic: {interface: hg-nic}}, addresses: [10.0.1.1]', 'red')}
${workload('blue-1', 'attach: {nic: {interface: hg-nic, mac: "02:00:00:00:00:b1"}}, addresses: [10.0.2.1]', 'blue')}
${tap('blue-2', '10.0.2.2/24', '', 'blue')}
${workload('veth', 'attach: {veth: {interface: hg-veth}}')}
`;

export const policy = (rules: string) => `---
apiVersion: headgate/v1
kind: SecurityPolicy
metadata: {name: shop}
spec:
  rules:
${rules
  .trim()
  .split('\n')
  .map((line) => `    - {${line.trim()}}`)
  .join('\n')}
`;
const tcp = (port: number) => `services: [{protocol: tcp, ports: [${port}]}]`;
export const RULES = `
name: sql, action: allow, to: {addresses: [10.0.0.2]}, ${tcp(5432)}
name: stop-ssh, action: drop, ${tcp(22)}
name: ssh, action: allow, ${tcp(22)}
name: no-telnet, action: reject, direction: in, ${tcp(23)}
name: telnet-out, action: allow, direction: out, ${tcp(23)}
name: maybe, action: allow, mode: observe, ${tcp(8080)}
name: v6, action: allow, services: [{protocol: icmpv6}]
name: jumbo, action: allow, services: [{protocol: udp, ports: [9]}]
`;

export class TraceBed {
  readonly stack = new Stack(undefined, HOST);
  readonly native: NativeEngine = memoryEngine();

  static async start(): Promise<TraceBed> {
    const bed = new TraceBed();
    const { stack } = bed;
    stack.permits = { namespaces: ['hg-*'], interfaces: ['hg-*'] };
    await stack.start(bed.native);
    await bed.apply(WORKLOADS + policy(RULES));
    await until('all are attached', async () => {
      const found = await stack.control?.ask('attachments', {});
      return found?.every(({ state }) => state === 'attached') === true;
    });
    return bed;
  }

  stop(): Promise<void> {
    return this.stack.end();
  }

  apply(text: string): Promise<unknown> {
    return this.stack.client.post('/v1/apply', { sources: source(text), prune: false });
  }

  async simulate(...packets: PacketQuestion[]): Promise<TraceAnswer[]> {
    const { traces } = await this.stack.client.post<SimulateResult>('/v1/trace/simulate', { packets });
    for (const trace of traces) expect(traceAnswerSchema.safeParse(trace).error?.issues).toBeUndefined();
    return traces;
  }

  /** The bytes of a packet as its sender would send it. */
  async frame(more: Partial<Described> = {}): Promise<Buffer> {
    const [answer] = await this.simulate(packet(more));
    return Buffer.from(answer?.trace.frame ?? '', 'base64');
  }
}

/** From web to db, allowed. */
export const packet = (more: Partial<Described> = {}): Described => ({
  from: 'web',
  to: 'db',
  protocol: 6,
  sourcePort: 40_000,
  destinationPort: 5432,
  ...more,
});

/** All lines of what is said. */
export function said({ steps = [], summary, hint = '' }: TraceAnswer): string {
  const lines = steps.flatMap(({ stage, outcome, text, details = [] }) => [
    `${outcome} ${stage} ${text}`,
    ...details,
  ]);
  return [...lines, summary, hint].join('\n');
}
