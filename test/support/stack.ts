// Engine and control in this process, the native part faked, joined by real unix sockets in a folder of their own.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Control } from '../../src/control/control.js';
import { listenApi } from '../../src/control/http.js';
import type { SocketServer } from '../../src/control/sockets.js';
import type { NativeEngine } from '../../src/engine/addon.js';
import { EngineProcess } from '../../src/engine/engine.js';
import type { AttachPermits } from '../../src/engine/permits.js';
import { readHostFile } from '../../src/shared/host-file.js';
import { confDirectory, controlSocket, engineSocket } from '../../src/shared/paths.js';
import { MemoryStore } from '../../src/store/memory-store.js';
import type { Store } from '../../src/store/store.js';
import { ApiClient } from '../../src/cli/client.js';
import { FakeEngine, quiet } from './fake-engine.js';
import { until } from './until.js';

export const HOST = `
apiVersion: headgate/v1
kind: Host
metadata: {name: test}
spec:
  default: drop
  attach: {namespaces: ['hg-*'], interfaces: ['veth-*']}
`;

export const BASE = `
apiVersion: headgate/v1
kind: Segment
metadata: {name: lan}
spec: {}
---
apiVersion: headgate/v1
kind: Workload
metadata: {name: web, labels: {tier: web}}
spec:
  segment: lan
  attach: {tap: {netns: hg-web, name: eth0, addresses: [10.0.0.1/24]}}
---
apiVersion: headgate/v1
kind: Workload
metadata: {name: db, labels: {tier: db}}
spec:
  segment: lan
  attach: {tap: {netns: hg-db, name: eth0, addresses: [10.0.0.2/24]}}
---
apiVersion: headgate/v1
kind: SecurityPolicy
metadata: {name: shop}
spec:
  rules:
    - name: web-to-db
      from: {workloads: {matchLabels: {tier: web}}}
      to: {workloads: {matchLabels: {tier: db}}}
      services: [{protocol: tcp, ports: [5432]}]
      action: allow
      log: true
`;

/** The policy of BASE with another action for its rule. */
export const changed = (action: string): string =>
  BASE.slice(BASE.lastIndexOf('---')).replace('action: allow', `action: ${action}`);

export const source = (text: string) => [{ file: '/t/documents.yaml', text }];

export class Stack {
  readonly directory = mkdtempSync(join(tmpdir(), 'hg-stack-'));
  readonly config = join(this.directory, 'headgate.yaml');
  readonly store: Store;
  readonly lines: { level: string; msg: string; [field: string]: unknown }[] = [];
  readonly log = pino(
    { level: 'debug', formatters: { level: (label) => ({ level: label }) } },
    { write: (line: string) => void this.lines.push(JSON.parse(line) as (typeof this.lines)[number]) },
  );
  native = new FakeEngine();
  engine: EngineProcess | undefined;
  control: Control | undefined;
  api: SocketServer | undefined;
  permits: AttachPermits = { namespaces: ['hg-*'], interfaces: ['veth-*'] };

  constructor(store: Store = new MemoryStore(), host = HOST) {
    this.store = store;
    writeFileSync(this.config, host, { mode: 0o644 });
  }

  get client(): ApiClient {
    return new ApiClient(this.directory);
  }

  async startEngine(native = new FakeEngine()): Promise<FakeEngine> {
    this.native = native;
    await this.startNative(native);
    return native;
  }

  async startNative(native: NativeEngine): Promise<void> {
    this.engine = new EngineProcess({
      native,
      permits: this.permits,
      hostFile: this.config,
      socket: engineSocket(this.directory),
      version: '0.0.0-test',
      log: quiet,
      tickMilliseconds: 10,
      identify: () => '4:1',
    });
    await this.engine.start();
  }

  async startControl(): Promise<Control> {
    this.control = await Control.start({
      store: this.store,
      host: readHostFile(this.config).document,
      engineSocket: engineSocket(this.directory),
      confDirectory: confDirectory(this.config),
      version: '0.0.0-test',
      log: this.log,
      firstPause: 5,
    });
    this.api = await listenApi(controlSocket(this.directory), this.control, this.log);
    return this.control;
  }

  /** Both, and waits until the engine holds the policy. */
  async start(native?: NativeEngine): Promise<Control> {
    if (native === undefined) await this.startEngine();
    else await this.startNative(native);
    const control = await this.startControl();
    await this.ready();
    return control;
  }

  ready(): Promise<void> {
    return until('control is ready', () => this.control?.status().ready === true);
  }

  async stopEngine(): Promise<void> {
    await this.engine?.stop();
    this.engine = undefined;
  }

  async stopControl(): Promise<void> {
    await this.api?.close();
    await this.control?.stop();
    this.control = undefined;
    this.api = undefined;
  }

  async end(): Promise<void> {
    await this.stopControl();
    await this.stopEngine();
    rmSync(this.directory, { recursive: true, force: true });
  }
}
