// The frame that is made of a described packet, what comes of it when it is sent, and what is seen of real traffic. By control
// and the real engine over memory ports.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { InjectResult, LiveResult, TakenResult } from '../../src/control/trace-api.js';
import type { StatsResult } from '../../src/control/api.js';
import type { TraceAnswer } from '../../src/trace/answer.js';
import { checksum } from '../../src/trace/build.js';
import { dissect } from '../../src/trace/dissect.js';
import type { Described } from '../../src/trace/packet.js';
import { packet, said, TraceBed } from '../support/trace-bed.js';
import { until } from '../support/until.js';

let bed: TraceBed;
beforeAll(async () => {
  bed = await TraceBed.start();
});
afterAll(() => bed.stop());

describe('the frame that is made', () => {
  const sent = async (more: Partial<Described>) => {
    return dissect(await bed.frame(more));
  };
  const macs = async () => {
    const found = (await bed.stack.control?.ask('attachments', {})) ?? [];
    return Object.fromEntries(found.map(({ workload: name, mac }) => [name, mac]));
  };

  test('goes to the destination, to the gateway, or to a group', async () => {
    const known = await macs();
    expect(await sent({})).toMatchObject({ sourceMac: known['web'], destinationMac: known['db'] });
    expect(await sent({ to: '10.0.0.2' })).toMatchObject({
      destinationMac: known['db'],
      destination: '10.0.0.2',
    });
    expect(await sent({ to: '192.0.2.1' })).toMatchObject({
      destinationMac: known['gw'],
      destination: '192.0.2.1',
    });
    expect(await sent({ to: 'blue-2' })).toMatchObject({
      destinationMac: known['gw'],
      destination: '10.0.2.2',
    });
    expect(await sent({ to: '224.0.0.251' })).toMatchObject({ destinationMac: '01:00:5e:00:00:fb' });
    expect(await sent({ to: '239.255.1.2' })).toMatchObject({ destinationMac: '01:00:5e:7f:01:02' });
    expect(await sent({ to: 'ff02::1', protocol: 17 })).toMatchObject({
      destinationMac: '33:33:00:00:00:01',
    });
    expect(await sent({ protocol: 'arp' })).toMatchObject({
      destinationMac: 'ff:ff:ff:ff:ff:ff',
      destination: '10.0.0.2',
    });
  });

  test('has the addresses of a family that both have, or those that were named', async () => {
    expect(await sent({ family: 6 })).toMatchObject({ source: 'fd00::1', destination: 'fd00::2' });
    expect(await sent({ protocol: 58 })).toMatchObject({ source: 'fd00::1' });
    expect(await sent({ from: '10.0.0.1', destinationAddress: '10.0.0.77' })).toMatchObject({
      source: '10.0.0.1',
      destination: '10.0.0.77',
    });
  });

  test('has the tags that its trunk needs', async () => {
    expect(await sent({ from: 'blue-1', to: 'blue-2' })).toMatchObject({
      vlans: [20, 7],
      sourceMac: '02:00:00:00:00:b1',
    });
  });

  test('comes from the workload that has its MAC or address', async () => {
    const { workload: name } =
      (await bed.simulate({ frame: (await bed.frame()).toString('base64') }))[0]?.trace ?? {};
    expect(name).toBe('web');
    const { db } = await macs();
    const { from: _, ...nobody } = packet({ sourceMac: db ?? '' });
    expect((await bed.simulate({ ...nobody, sourceAddress: '10.0.0.1' }))[0]?.trace.workload).toBe('db');
    const { from: _from, ...byAddress } = packet({ sourceAddress: '10.0.0.1' });
    expect((await bed.simulate(byAddress))[0]?.trace.workload).toBe('web');
  });

  test.each([
    [{ from: 'wbe' }, 'there is no workload "wbe": did you mean "web"?'],
    [{ to: 'dbb' }, 'there is no workload "dbb"'],
    [{ from: '192.0.2.1' }, 'No workload has the address 192.0.2.1'],
    [{ to: '10.0.0.99' }, 'No workload of segment lan has 10.0.0.99: the MAC'],
    [{ from: 'db', to: '192.0.2.1' }, 'No workload of segment lan has 192.0.2.1: the MAC'],
    [{ from: 'veth', to: 'db' }, 'workload "veth" has no addresses in its document'],
    [
      { from: 'veth', to: 'db', sourceAddress: '10.0.0.8', protocol: 'arp' as const },
      'that of veth is not known',
    ],
    [{ from: 'veth', to: 'db', sourceAddress: '10.0.0.8' }, 'was not heard from yet'],
    [{ sourceAddress: 'x.y' }, '"x.y" is not an address'],
    [
      { from: 'web', to: 'db', sourceAddress: 'fd00::1', family: 4 as const },
      'do not both have IPv4 addresses',
    ],
  ])('a question that cannot be answered is answered with how to mend it: %o', async (more, words) => {
    await expect(bed.simulate(packet(more))).rejects.toThrow(words);
  });
});

test('a body that is wrong is answered with the place', async () => {
  const asked = bed.stack.client.post('/v1/trace/simulate', {
    packets: [packet(), packet({ sourceMac: 'x' })],
  });
  await expect(asked).rejects.toMatchObject({
    details: ['packets.1.sourceMac: a MAC like 02:00:00:00:00:01 is wanted'],
  });
});

describe('an injected packet', () => {
  const inject = (more: Partial<Described>, wait: number) =>
    bed.stack.client.post<InjectResult>('/v1/trace/inject', { packet: packet(more), wait });

  test('arrives with its mark, and what answers is told', async () => {
    const asked = inject({ sourcePort: 41_000 }, 20);
    let arrived: Buffer | undefined;
    await until('it arrives', () => (arrived = bed.native.collect('db')[0]) !== undefined);
    bed.native.inject('db', turnedRound(arrived as Buffer, 0x12));
    const { trace } = await asked;
    expect(trace).toMatchObject({
      outcome: 'delivered',
      reply: {
        answered: true,
        text: 'db answers: the port is open',
        packets: [{ packet: 'tcp 10.0.0.2:5432 > 10.0.0.1:41000 [S.]', summary: 'delivered to web' }],
      },
    });
    expect(trace.reply?.mark).toMatch(/^headgate-trace-[0-9a-f]{8}$/);
    expect((arrived as Buffer).toString('latin1')).toContain(trace.reply?.mark);
    bed.native.collect('web');
  });

  test('that is refused there is told too', async () => {
    const asked = inject({ sourcePort: 41_001 }, 20);
    let arrived: Buffer | undefined;
    await until('it arrives', () => (arrived = bed.native.collect('db')[0]) !== undefined);
    bed.native.inject('db', turnedRound(arrived as Buffer, 0x14));
    expect((await asked).trace.reply?.text).toBe('db refuses it: nothing listens on the port');
  });

  test('that nobody answers is waited for, one that is dropped is not', async () => {
    const asked = inject({ sourcePort: 41_002 }, 0.5);
    let arrived: Buffer | undefined;
    await until('it arrives', () => (arrived = bed.native.collect('db')[0]) !== undefined);
    // Once more the same way: no answer.
    bed.native.inject('web', arrived as Buffer);
    expect((await asked).trace.reply).toMatchObject({
      answered: false,
      text: 'nothing came back within 0.5 s',
    });
    const began = performance.now();
    const dropped = await inject({ destinationPort: 22 }, 60);
    expect(performance.now() - began).toBeLessThan(20_000);
    expect(dropped.trace).toMatchObject({ outcome: 'dropped', reply: { answered: false, packets: [] } });
    expect(dropped.trace.reply?.text).toContain('was not delivered');
  });

  test('is counted under the metric that is named', async () => {
    const count = async () =>
      (await bed.stack.client.get<StatsResult>('/v1/stats')).drops.find(
        ({ reason, direction }) => reason === 'spoofed-mac' && direction === 'out',
      )?.packets ?? 0;
    const before = await count();
    const { trace } = await inject({ sourceMac: '02:66:66:66:66:66' }, 0);
    expect(trace.metrics).toEqual(['headgate_drop_packets_total{reason="spoofed-mac",direction="out"}']);
    expect((await count()) - before).toBe(1);
  });

  /** The answer to a SYN, with these flags. */
  function turnedRound(frame: Buffer, flags: number): Buffer {
    const back = Buffer.from(frame);
    const swap = (a: number, b: number, length: number) => {
      frame.copy(back, a, b, b + length);
      frame.copy(back, b, a, a + length);
    };
    swap(0, 6, 6);
    swap(26, 30, 4);
    swap(34, 36, 2);
    back.writeUInt32BE(frame.readUInt32BE(38) + 1, 42);
    back.writeUInt8(flags, 47);
    back.writeUInt16BE(0, 50);
    const length = back.length - 34;
    const pseudo = Buffer.concat([back.subarray(26, 34), Buffer.from([0, 6, length >> 8, length & 0xff])]);
    back.writeUInt16BE(checksum(Buffer.concat([pseudo, back.subarray(34)])), 50);
    return back;
  }
});

describe('real traffic', () => {
  const frameTo = (destinationPort: number) => bed.frame({ destinationPort, sourcePort: 43_000 });
  async function seen(body: object, ports: number[]): Promise<TraceAnswer[]> {
    const frames = await Promise.all(ports.map(frameTo));
    const { id } = await bed.stack.client.post<LiveResult>('/v1/trace/live', body);
    for (const frame of frames) bed.native.inject('web', frame);
    bed.native.awaitWorkers();
    const traces: TraceAnswer[] = [];
    // The last one shows that all came by.
    const { id: all } = await bed.stack.client.post<LiveResult>('/v1/trace/live', {});
    bed.native.inject('web', await frameTo(9999));
    await until('all came by', async () => {
      const taken = await bed.stack.client.get<TakenResult>(`/v1/trace/live/${all}`);
      return taken.traces.length > 0;
    });
    traces.push(...(await bed.stack.client.get<TakenResult>(`/v1/trace/live/${id}?steps=true`)).traces);
    for (const one of [id, all]) await bed.stack.client.delete(`/v1/trace/live/${one}`);
    await expect(bed.stack.client.get(`/v1/trace/live/${id}`)).rejects.toThrow('no such trace');
    return traces;
  }
  const ports = (traces: TraceAnswer[]) => traces.map(({ trace }) => trace.headers?.flow?.destinationPort);

  test('is told by filter, by rule and by drop', async () => {
    expect(ports(await seen({ filter: 'tcp dst port 22' }, [5432, 22]))).toEqual([22]);
    expect(ports(await seen({ rule: 'shop/sql', filter: 'not port 9999' }, [5432, 22]))).toEqual([5432]);
    expect(ports(await seen({ rule: 'default' }, [5432, 22, 80]))).toEqual([80, 9999]);
    const dropped = await seen({ dropped: true, filter: 'not port 9999' }, [5432, 22]);
    expect(dropped).toMatchObject([{ outcome: 'dropped', verdict: 'drop web out shop/stop-ssh' }]);
    expect(said(dropped[0] as TraceAnswer)).toContain('stands behind shop/stop-ssh');
  });

  test('is refused with why where it cannot be', async () => {
    const live = (body: object) => bed.stack.client.post('/v1/trace/live', body);
    await expect(live({ filter: 'tcp prot 80' })).rejects.toThrow(/The filter 'tcp prot 80': .*syntax error/);
    await expect(live({ workload: 'nobody' })).rejects.toThrow("no workload 'nobody'");
    await expect(live({ rule: 'shop/none' })).rejects.toThrow("a rule 'shop/none'");
  });
});

test('a schema of the reference fits what is said', async () => {
  const schema = readFileSync(join(import.meta.dirname, '../../docs/reference/trace.schema.json'), 'utf8');
  const { z } = await import('zod');
  const shipped = z.fromJSONSchema(JSON.parse(schema) as Parameters<typeof z.fromJSONSchema>[0]);
  const answers = await bed.simulate(packet(), packet({ destinationPort: 22 }), packet({ protocol: 'arp' }));
  const { trace } = await bed.stack.client.post<InjectResult>('/v1/trace/inject', {
    packet: packet(),
    wait: 0,
  });
  for (const answer of [...answers, trace]) expect(shipped.safeParse(answer).error?.issues).toBeUndefined();
  expect(shipped.safeParse({ ...trace, outcome: 'lost' }).success).toBe(false);
});
