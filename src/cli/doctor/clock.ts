// The clock: revisions and log lines are ordered by people by their time, timeouts go by a clock that has to be quick.
import { mend, ok, orOk, type Result } from './result.js';
import type { Subject } from './subject.js';

const SLACK_MILLISECONDS = 5_000;
const QUICK = ['tsc', 'kvm-clock', 'hyperv_clocksource_tsc_page', 'xen', 'arch_sys_counter'];

export function checkClock({ machine, revisions = [], now }: Subject): Result[] {
  const findings: Result[] = [];
  const future = revisions.find(({ time }) => Date.parse(time) > now + SLACK_MILLISECONDS);
  if (future !== undefined)
    findings.push(
      mend(
        'clock',
        `Revision ${future.number} is of ${future.time}, which is yet to come.`,
        'Set the clock: timedatectl set-ntp true',
      ),
    );
  const synchronized = machine.run('timedatectl', 'show', '--property=NTPSynchronized', '--value')?.trim();
  if (synchronized === 'no')
    findings.push(
      mend(
        'clock',
        'It is not synchronized: times in logs of several hosts do not fit.',
        'As root: timedatectl set-ntp true',
      ),
    );
  return orOk(
    'clock',
    findings,
    synchronized === 'yes'
      ? 'It is synchronized.'
      : 'Nothing here synchronizes it; no revision is of the future.',
  );
}

/** Each batch of frames reads the clock. */
export function checkClockSource({ machine }: Subject): Result[] {
  const folder = '/sys/devices/system/clocksource/clocksource0';
  const current = machine.read(`${folder}/current_clocksource`)?.trim();
  if (current === undefined || QUICK.includes(current))
    return [
      ok(
        'clocksource',
        current === undefined ? 'The kernel does not name one.' : `${current} is read quickly.`,
      ),
    ];
  const remedy = `See ${folder}/available_clocksource and choose tsc there, or boot with tsc=reliable if it is.`;
  return [mend('clocksource', `${current} is slow to read, and every batch of frames reads it.`, remedy)];
}
