// The real engine with ports in memory instead of devices: what workloads send and are sent is in a test's hands.
import { rmSync } from 'node:fs';
import { loadAddon, type NativeEngine, type PortSpec } from '../../src/engine/addon.js';
import { tmpfsFolder } from './tmpfs-folder.js';

/** Workloads with attach.nic share a trunk by the name of its interface. */
export function memoryEngine(workers = 1): NativeEngine {
  const folder = tmpfsFolder('hg-memory-');
  const native = loadAddon().createEngine({ workers, connections: 4096, poolDirectory: folder });
  const own: Partial<NativeEngine> = {
    attach: (workload, port) => ({
      ...native.attach(workload, memoryPort(port)),
      ...(port.kind === 'tap' ? { mac: port.mac } : {}),
    }),
    stop: () => {
      native.stop();
      rmSync(folder, { recursive: true });
    },
  };
  return new Proxy(native, {
    get: (target, name: keyof NativeEngine) => own[name] ?? (target[name] as () => void).bind(target),
  });
}

function memoryPort(port: PortSpec): PortSpec {
  return port.kind === 'nic' ? { kind: 'memory', trunk: port.device } : { kind: 'memory' };
}
