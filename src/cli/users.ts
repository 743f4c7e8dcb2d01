// Users and groups of the machine, asked for with getent(1), which knows every source that the machine is set up for.
import { spawnSync } from 'node:child_process';
import { HeadgateError } from '../shared/errors.js';

export interface User {
  name: string;
  uid: number;
  gid: number;
}

function lookUp(database: 'passwd' | 'group', name: string): string[] | undefined {
  const found = spawnSync('getent', [database, name], { encoding: 'utf8' });
  return found.status === 0 ? found.stdout.trim().split(':') : undefined;
}

export function userNamed(name: string): User | undefined {
  const fields = lookUp('passwd', name);
  return fields === undefined ? undefined : { name, uid: Number(fields[2]), gid: Number(fields[3]) };
}

/** The user that control runs as: the host file's, else `headgate` if there is one, else `nobody`. */
export function controlUser(wanted: string | undefined): User {
  for (const name of wanted === undefined ? ['headgate', 'nobody'] : [wanted]) {
    const user = userNamed(name);
    if (user !== undefined) return user;
  }
  throw new HeadgateError('user', `There is no user ${wanted ?? 'nobody'} for control to run as.`, {
    remedy: `As root: useradd --system --no-create-home ${wanted ?? 'headgate'}`,
  });
}

/** A group by its name or number. */
export function groupNumber(text: string): number {
  const fields = lookUp('group', text);
  if (fields !== undefined) return Number(fields[2]);
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new HeadgateError('usage', `There is no group ${text}.`);
}
