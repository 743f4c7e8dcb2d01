// Mutated messages against the engine's handler, alone and through its socket. Whatever comes, the answer is a reply or a
// closed connection; the engine goes on, and only a well-formed publish changes what it holds.
//
// HEADGATE_FUZZ_RUNS=1000000 npx vitest run test/property/messages-fuzz.test.ts    a long run
// HEADGATE_ADDON=$PWD/build/Debug/headgate.node LD_PRELOAD=$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 ...
//                                                                                 the same under sanitizers
// HEADGATE_SEED=N                                                            the same messages again
import { rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadAddon, type NativeEngine } from '../../src/engine/addon.js';
import { EngineProcess } from '../../src/engine/engine.js';
import { encodeMessage, FrameReader } from '../../src/engine/framing.js';
import {
  deltaSchema,
  PROTOCOL_VERSION,
  replySchema,
  requestSchema,
  requests,
} from '../../src/engine/messages.js';
import { answer, type Handlers } from '../../src/engine/server.js';
import { FakeEngine, quiet } from '../support/fake-engine.js';
import { Random } from '../support/random.js';
import { tmpfsFolder } from '../support/tmpfs-folder.js';
import { until } from '../support/until.js';

const runs = Number(process.env['HEADGATE_FUZZ_RUNS'] ?? 20_000);
const seed = Number(process.env['HEADGATE_SEED'] ?? Date.now() % 1_000_000_000);
const rerun = `HEADGATE_SEED=${seed} HEADGATE_FUZZ_RUNS=${runs} npx vitest run test/property/messages-fuzz.test.ts`;

const directory = tmpfsFolder('hg-fuzz-');
afterAll(() => rmSync(directory, { recursive: true, force: true }));

function makeEngine(native: NativeEngine): EngineProcess {
  return new EngineProcess({
    native,
    permits: { namespaces: ['hg-*'], interfaces: [] },
    hostFile: '/etc/headgate/headgate.yaml',
    socket: join(directory, 'engine.sock'),
    version: '0.0.0-test',
    log: quiet,
  });
}

const DELTA = {
  defaultAction: 'drop',
  timeouts: { icmp: 10 },
  limits: { connections: 10, halfOpen: 5, newPerSecond: 3 },
  setAddressSets: [{ name: 'set', digest: 'a', ranges: ['10.0.0.0/8', 'fd00::1-fd00::9'] }],
  setRules: [
    {
      key: 'rule',
      sources: ['set'],
      services: ['6/1-2,80/53', '58/1/4'],
      action: 'allow',
      mode: 'enforce',
      log: false,
      onChange: 'reevaluate',
    },
  ],
  setSegments: [{ name: 'lan', digest: 'b', tracker: 'lan', vlan: 7 }],
  setWorkloads: [
    {
      name: 'w',
      digest: 'c',
      segment: 'lan',
      mac: '02:00:00:00:00:01',
      addresses: ['10.0.0.1'],
      attach: {
        kind: 'tap',
        netns: 'hg-w',
        device: 'eth0',
        mac: '02:00:00:00:00:01',
        addresses: ['10.0.0.1/24'],
        gateways: [],
      },
    },
  ],
  setScopes: [{ name: 'all', digest: 'd', workloads: ['w'] }],
  setEntries: [
    {
      id: 'p/r',
      digest: 'e',
      rule: 'rule',
      category: 3,
      order: 2 ** 49,
      direction: 'in',
      scope: 'all',
    },
  ],
  removeAddressSets: [],
  removeRules: [],
  removeSegments: [],
  removeWorkloads: [],
  removeScopes: [],
  removeEntries: [],
};

/** Of what DELTA set; with an empty engine it is refused. */
const EDIT = {
  editAddressSets: [{ name: 'set', digest: 'f', add: ['192.0.2.0/24'], remove: ['10.0.0.7'] }],
  editScopes: [{ name: 'all', digest: 'g', add: [], remove: ['w'] }],
  removeWorkloads: ['w'],
};

const GOOD = [
  { id: 1, type: 'hello', params: { protocol: PROTOCOL_VERSION } },
  { id: 2, type: 'publish', params: { delta: DELTA } },
  { id: 8, type: 'publish', params: { delta: EDIT } },
  { id: 3, type: 'flows', params: { limit: 10 } },
  ...['inventory', 'attachments', 'stats', 'logs'].map((type, i) => ({ id: 4 + i, type, params: {} })),
];

const ODD: unknown[] = [
  null,
  true,
  -1,
  0,
  1.5,
  1e308,
  2 ** 53,
  '',
  'x',
  'constructor',
  '__proto__',
  '..',
  '\u0000',
  'x'.repeat(300),
  [],
  {},
  [[]],
  { __proto__: null },
  '10.0.0.0/99',
];

/** Replaces, removes, doubles or renames something at a random place of a JSON value. */
function mutateValue(random: Random, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || random.chance(0.15)) return random.pick(ODD);
  if (Array.isArray(value)) {
    const copy: unknown[] = [...(value as unknown[])];
    const at = random.below(copy.length + 1);
    if (random.chance(0.2) || copy.length === 0) copy.splice(at, random.below(2), random.pick(ODD));
    else copy[at % copy.length] = mutateValue(random, copy[at % copy.length]);
    return copy;
  }
  const entries = Object.entries(value);
  if (entries.length === 0 || random.chance(0.1))
    return Object.fromEntries([
      ...entries,
      [random.pick(['id', 'type', '__proto__', 'extra']), random.pick(ODD)],
    ]);
  const at = random.below(entries.length);
  const [key, inner] = entries[at] as [string, unknown];
  if (random.chance(0.1)) entries.splice(at, 1);
  else entries[at] = random.chance(0.1) ? ['other', inner] : [key, mutateValue(random, inner)];
  return Object.fromEntries(entries);
}

/** Flips, cuts, doubles or inserts bytes. */
function mutateBytes(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  const at = random.below(copy.length);
  switch (random.below(4)) {
    case 0:
      copy.writeUInt8(random.below(256), at);
      return copy;
    case 1:
      return copy.subarray(0, at);
    case 2:
      return Buffer.concat([copy.subarray(0, at), copy.subarray(random.below(copy.length))]);
    default:
      return Buffer.concat([copy.subarray(0, at), Buffer.from([random.below(256)]), copy.subarray(at)]);
  }
}

function mutatedBody(random: Random): Buffer {
  let value: unknown = random.pick(GOOD);
  for (let i = random.below(4); i > 0; i--) value = mutateValue(random, value);
  let body: Buffer = Buffer.from(JSON.stringify(value) ?? 'null');
  for (let i = random.chance(0.5) ? random.below(4) : 0; i > 0 && body.length > 0; i--)
    body = mutateBytes(random, body);
  return body;
}

/** What a message would have to be, by the schemas alone, to be let through to the addon as a publish. */
function isPublish(body: Buffer): boolean {
  try {
    const request = requestSchema.safeParse(JSON.parse(body.toString()));
    return (
      request.success &&
      request.data.type === 'publish' &&
      requests.publish.params.safeParse(request.data.params).success
    );
  } catch {
    return false;
  }
}

describe('mutated messages', () => {
  it('have what they are made from right', () => {
    expect(deltaSchema.safeParse(DELTA).success).toBe(true);
    expect(deltaSchema.safeParse(EDIT).success).toBe(true);
  });

  it(
    `are answered, and none but a publish changes anything (${runs} runs, HEADGATE_FUZZ_RUNS)`,
    { timeout: 60_000 + runs * 5 },
    async () => {
      const random = new Random(seed);
      let native = new FakeEngine();
      let handlers = makeEngine(native).handlers();
      const outcomes = { answered: 0, refused: 0, published: 0 };
      for (let run = 0; run < runs; run++) {
        // Now and then a fresh engine: what was published before must not hide what comes.
        if (run % 100 === 0) handlers = makeEngine((native = new FakeEngine())).handlers();
        const body = mutatedBody(random);
        const before = native.deltas.length;
        const reply = await answer(handlers, body);
        const where = `run ${run}: ${body.toString('latin1').slice(0, 2000)}\nagain: ${rerun}`;
        expect(replySchema.safeParse(JSON.parse(JSON.stringify(reply))).success, where).toBe(true);
        expect(reply.error?.code, where).not.toBe('internal');
        const published = native.deltas.length > before;
        if (published) expect(isPublish(body), where).toBe(true);
        outcomes[published ? 'published' : reply.error === undefined ? 'answered' : 'refused'] += 1;
      }
      // The mutations are of use only while all three happen.
      expect(
        Math.min(outcomes.answered, outcomes.refused, outcomes.published),
        JSON.stringify(outcomes),
      ).toBeGreaterThan(runs / 200);
    },
  );

  it(
    `do not get past the addon either (${runs} runs, HEADGATE_FUZZ_RUNS)`,
    { timeout: 120_000 + runs * 10 },
    async () => {
      const random = new Random(seed + 1);
      const addon = loadAddon();
      const options = { workers: 0, connections: 1024, poolDirectory: join(directory, 'pools') };
      let native: NativeEngine | undefined;
      let handlers: Handlers | undefined;
      const outcomes = { published: 0, refused: 0 };
      for (let run = 0; run < runs; run++) {
        if (run % 1000 === 0) {
          native?.stop();
          handlers = makeEngine((native = addon.createEngine(options))).handlers();
        }
        const body = mutatedBody(random);
        const before = (native as NativeEngine).inventory();
        const reply = await answer(handlers as Handlers, body);
        const where = `run ${run}: ${body.toString('latin1').slice(0, 2000)}\nagain: ${rerun}`;
        const checked = replySchema.safeParse(JSON.parse(JSON.stringify(reply)));
        expect(checked.success, where).toBe(true);
        const after = (native as NativeEngine).inventory();
        if (reply.error === undefined && isPublish(body)) outcomes.published += 1;
        else {
          outcomes.refused += 1;
          expect(after, where).toEqual(before);
        }
      }
      native?.stop();
      expect(Math.min(outcomes.published, outcomes.refused), JSON.stringify(outcomes)).toBeGreaterThan(
        runs / 200,
      );
    },
  );

  it('through the socket close at most their own connection', { timeout: 120_000 }, async () => {
    const random = new Random(seed);
    const engine = makeEngine(new FakeEngine());
    await engine.start();
    try {
      for (let round = 0; round < 100; round++) {
        const socket = await open();
        socket.on('error', () => undefined);
        for (let i = 0; i < 20; i++) {
          const message = encodeMessage('x');
          const framed = Buffer.concat([message.subarray(0, 4), mutatedBody(random)]);
          framed.writeUInt32BE(random.chance(0.8) ? framed.length - 4 : random.below(2 ** 32));
          if (!socket.destroyed) socket.write(random.chance(0.9) ? framed : mutateBytes(random, framed));
        }
        socket.destroy();
      }
      const hello = await ask({ id: 9, type: 'hello', params: { protocol: PROTOCOL_VERSION } });
      expect(hello, rerun).toMatchObject({ id: 9, result: { pid: process.pid } });
    } finally {
      await engine.stop();
    }
  });
});

function open(): Promise<Socket> {
  return new Promise((done, fail) => {
    const socket = connect(join(directory, 'engine.sock'), () => done(socket));
    socket.once('error', fail);
  });
}

async function ask(request: unknown): Promise<unknown> {
  const socket = await open();
  const reader = new FrameReader();
  const replies: unknown[] = [];
  socket.on('data', (chunk: Buffer) =>
    replies.push(...reader.push(chunk).map((body) => JSON.parse(body.toString()) as unknown)),
  );
  socket.write(encodeMessage(request));
  await until('the engine answers', () => replies.length > 0);
  socket.destroy();
  return replies[0];
}
