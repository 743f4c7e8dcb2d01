import { beforeEach, describe, expect, it, test } from 'vitest';
import { Attachments, identifyNamespace } from '../../src/engine/attachments.js';
import type { Attach, Delta } from '../../src/engine/messages.js';
import { FakeEngine, quiet } from '../support/fake-engine.js';

const workload = (name: string, attach: Attach) => ({ name, digest: 'd', segment: 's', attach });
const tap = (netns: string, device = 'eth0'): Attach => ({
  kind: 'tap',
  netns,
  device,
  mac: '02:00:00:00:00:01',
  addresses: [],
  gateways: [],
});
const veth = (device: string): Attach => ({ kind: 'veth', device });
const coded = (code: string) => Object.assign(new Error(`it says ${code}`), { code });

describe('attachments', () => {
  let native: FakeEngine;
  let namespaces: Map<string, string>;
  let attachments: Attachments;

  beforeEach(() => {
    native = new FakeEngine();
    namespaces = new Map([['/run/netns/a', '4:1']]);
    attachments = new Attachments(native, quiet, (path) => namespaces.get(path));
  });

  async function publish(delta: Delta): Promise<void> {
    await native.publish({ setSegments: [{ name: 's', digest: 'd', tracker: 's' }], ...delta });
    attachments.published(delta);
  }

  const state = (name: string) => attachments.list().find((one) => one.workload === name);

  it('are none before the first publish', () => {
    attachments.tick();
    expect(native.calls).toEqual([]);
    expect(attachments.list()).toEqual([]);
  });

  it('attach what is published', async () => {
    await publish({ setWorkloads: [workload('w', tap('a'))] });
    expect(native.calls).toEqual(['attach w']);
    expect(state('w')).toEqual({ workload: 'w', state: 'attached', mac: '02:00:00:00:00:01' });
  });

  it('stay when only the rules of a workload change', async () => {
    await publish({ setWorkloads: [workload('w', tap('a'))] });
    await publish({ setWorkloads: [{ ...workload('w', tap('a')), digest: 'other' }] });
    expect(native.calls).toEqual(['attach w']);
  });

  it('move when the workload says so', async () => {
    await publish({ setWorkloads: [workload('w', tap('a'))] });
    await publish({ setWorkloads: [workload('w', tap('a', 'eth1'))] });
    expect(native.calls).toEqual(['attach w', 'detach w and remove', 'attach w']);
  });

  it('go with the workload, taking along the TAP that was made but no veth', async () => {
    await publish({ setWorkloads: [workload('t', tap('a')), workload('v', veth('veth0'))] });
    await publish({ removeWorkloads: ['t', 'v'] });
    expect(native.calls.slice(2)).toEqual(['detach t and remove', 'detach v']);
    expect(attachments.list()).toEqual([]);
  });

  it('wait for a namespace', async () => {
    await publish({ setWorkloads: [workload('w', tap('b'))] });
    expect(state('w')).toMatchObject({
      state: 'waiting',
      detail: 'the namespace /run/netns/b does not exist',
    });
    attachments.tick();
    expect(native.calls).toEqual([]);
    namespaces.set('/run/netns/b', '4:2');
    attachments.tick();
    expect(state('w')).toMatchObject({ state: 'attached' });
  });

  it('wait for an interface, tried at every tick', async () => {
    native.attachErrors.set('w', coded('ENODEV'));
    await publish({ setWorkloads: [workload('w', veth('veth0'))] });
    expect(state('w')).toMatchObject({ state: 'waiting', detail: 'it says ENODEV' });
    attachments.tick();
    attachments.tick();
    expect(native.calls).toHaveLength(3);
    native.attachErrors.clear();
    attachments.tick();
    expect(state('w')).toEqual({ workload: 'w', state: 'attached' });
  });

  it('wait for what the addon names as missing in its words', async () => {
    native.attachErrors.set(
      'w',
      Object.assign(new Error('Interface veth0 cannot be opened: ENODEV (No such device).'), {
        code: 'attach-failed',
      }),
    );
    await publish({ setWorkloads: [workload('w', veth('veth0'))] });
    expect(state('w')).toMatchObject({ state: 'waiting' });
  });

  it('that fail for another reason are tried ever more seldom', async () => {
    native.attachErrors.set('w', coded('EPERM'));
    await publish({ setWorkloads: [workload('w', veth('veth0'))] });
    expect(state('w')).toMatchObject({ state: 'failed', detail: 'it says EPERM' });
    for (let i = 0; i < 100; i++) attachments.tick();
    expect(native.calls.length).toBeGreaterThan(4);
    expect(native.calls.length).toBeLessThan(12);
  });

  it('notice that their namespace is gone, and come back with it', async () => {
    await publish({ setWorkloads: [workload('w', tap('a'))] });
    namespaces.delete('/run/netns/a');
    attachments.tick();
    expect(state('w')).toEqual({
      workload: 'w',
      state: 'waiting',
      detail: 'the namespace /run/netns/a does not exist',
    });
    expect(native.calls).toEqual(['attach w', 'detach w']);
    namespaces.set('/run/netns/a', '4:9');
    attachments.tick();
    expect(state('w')).toMatchObject({ state: 'attached' });
  });

  it('notice another namespace under the same name', async () => {
    await publish({ setWorkloads: [workload('w', tap('a'))] });
    namespaces.set('/run/netns/a', '4:7');
    attachments.tick();
    expect(native.calls).toEqual(['attach w', 'detach w', 'attach w']);
    attachments.tick();
    expect(native.calls).toHaveLength(3);
  });

  it('notice a device that the addon reports as failed', async () => {
    await publish({ setWorkloads: [workload('w', veth('veth0'))] });
    native.failed.push({ workload: 'w', detail: 'the device is gone' });
    native.attachErrors.set('w', coded('ENODEV'));
    attachments.tick();
    expect(state('w')).toMatchObject({ state: 'waiting' });
    expect(native.calls).toEqual(['attach w', 'detach w', 'attach w']);
  });

  it('of one workload do not hinder those of another', async () => {
    native.attachErrors.set('bad', coded('EPERM'));
    await publish({ setWorkloads: [workload('bad', veth('veth0')), workload('good', veth('veth1'))] });
    expect(state('good')).toMatchObject({ state: 'attached' });
  });
});

test('a namespace is told by its file, and one that is not there is none', () => {
  expect(identifyNamespace('/proc/self/ns/net')).toMatch(/^\d+:\d+$/);
  expect(identifyNamespace('/proc/self/ns/net')).not.toBe(identifyNamespace('/proc/self/ns/uts'));
  expect(identifyNamespace('/run/netns/not-there')).toBeUndefined();
  expect(identifyNamespace('/proc/self/status/not-there')).toBeUndefined();
});
