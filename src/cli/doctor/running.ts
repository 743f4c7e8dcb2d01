// The two processes: whether they answer, are of one version, and have the privileges they need and no others.
import { HeadgateError } from '../../shared/errors.js';
import { VERSION } from '../../shared/version.js';
import { processField } from './machine.js';
import { mend, ok, orOk, some, unknown, type Result } from './result.js';
import type { Subject } from './subject.js';

export function checkRunning({ status, unreachable }: Subject): Result[] {
  if (status === undefined) {
    const { message, remedy } = unreachable ?? new HeadgateError('', 'Control does not answer.');
    return [
      mend('running', message, remedy ?? 'Start it: headgate run, or systemctl start headgate-control.'),
    ];
  }
  if (status.engine === undefined) {
    const remedy = 'Start it: headgate run, or systemctl start headgate-engine. Until then no frame passes.';
    return [mend('running', `Control answers, but ${status.fault ?? 'its engine does not'}.`, remedy)];
  }
  if (!status.ready) {
    const remedy = 'Mend what it names, then restart control: systemctl restart headgate-control.';
    return [mend('running', `The policy is not in force: ${status.fault ?? 'no reason given'}.`, remedy)];
  }
  return [
    ok('running', `Control ${status.pid} and engine ${status.engine.pid}, revision ${status.revision}.`),
  ];
}

/** What an engine could not go on with of the one before it. */
export function checkState({ status }: Subject): Result[] {
  const start = status?.engine?.start;
  if (start === undefined) return [unknown('state', 'Nobody says what the engine began with.')];
  const remedy =
    'Nothing can bring it back. From one version to the next use headgate upgrade, which asks before it takes over.';
  const began = {
    nothing: 'It began with nothing of an engine before.',
    'in-order': `It went on with ${start.connections} connections of the engine before.`,
    'in-disorder': `It went on with ${start.connections} connections of an engine that died; ${start.forgotten} were damaged.`,
  }[start.left];
  return orOk(
    'state',
    start.alarms.map((alarm) => mend('state', alarm, remedy)),
    began,
  );
}

export function checkVersions({ status }: Subject, command = VERSION): Result[] {
  if (status === undefined)
    return [unknown('versions', `The command is ${command}; control does not answer.`)];
  const parts = [['control', status.version] as const, ['engine', status.engine?.version] as const];
  const others = parts.filter(([, version]) => version !== undefined && version !== command);
  const findings = others.map(([part, version]) =>
    mend('versions', `The ${part} runs ${version ?? ''}, this command is ${command}.`, restart(part)),
  );
  return orOk('versions', findings, `All that runs is ${command}.`);
}

function restart(part: string): string {
  return part === 'engine'
    ? 'Replace it under traffic by what is installed: headgate upgrade.'
    : 'Restart it with what is installed: systemctl restart headgate-control, or headgate run anew.';
}

/** Those of capability(7) that the engine keeps. */
const ENGINE_CAPABILITIES = new Map([
  [12n, 'CAP_NET_ADMIN'],
  [13n, 'CAP_NET_RAW'],
  [21n, 'CAP_SYS_ADMIN'],
]);
const WANTED = [...ENGINE_CAPABILITIES.keys()].reduce((mask, bit) => mask | (1n << bit), 0n);

export function checkPrivileges({ machine, status }: Subject): Result[] {
  if (status?.engine === undefined) return [unknown('privileges', 'There are not two processes to look at.')];
  const engine = processField(machine, status.engine.pid, 'CapEff');
  const control = processField(machine, status.pid, 'CapEff');
  const user = processField(machine, status.pid, 'Uid')?.split(/\s+/)[1];
  if (engine === undefined || control === undefined)
    return [unknown('privileges', 'The processes cannot be seen: run this as root, where Headgate runs.')];
  const findings: Result[] = [];
  const has = BigInt(`0x${engine}`);
  const missing = [...ENGINE_CAPABILITIES]
    .filter(([bit]) => (has & (1n << bit)) === 0n)
    .map(([, name]) => name);
  const remedy = 'Start both with headgate run, or with the systemd units of the package.';
  if (missing.length > 0) findings.push(mend('privileges', `The engine lacks ${some(missing)}.`, remedy));
  if ((has & ~WANTED) !== 0n)
    findings.push(mend('privileges', `The engine has more capabilities than it needs (${engine}).`, remedy));
  if (user === '0' || BigInt(`0x${control}`) !== 0n)
    findings.push(mend('privileges', `Control runs as root or with capabilities (${control}).`, remedy));
  return orOk('privileges', findings, 'The engine has its three capabilities, control has none.');
}

/** Workloads that are not attached. */
export function checkWorkloads({ workloads, status }: Subject): Result[] {
  if (workloads === undefined || status?.engine === undefined)
    return [unknown('workloads', 'Nobody says how they are attached.')];
  const out = workloads.filter((one) => one.status !== undefined && one.status.state !== 'attached');
  const named = out.map((one) => `${one.metadata.name} (${one.status?.detail ?? one.status?.state ?? ''})`);
  if (out.length === 0) return [ok('workloads', `All ${workloads.length} are attached.`)];
  const remedy = 'Make the namespace or interface; it is attached within a second. Or remove the document.';
  return [
    mend('workloads', `${out.length} of ${workloads.length} are not attached: ${some(named)}.`, remedy),
  ];
}
