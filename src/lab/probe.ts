// Real traffic from namespace to namespace: starts one agent (agent.ts) in each and asks it to listen, to try,
// and to count.
import type { ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { HeadgateError } from '../shared/errors.js';
import type { Answer, Command, Reply, SequenceCount } from './agent-messages.js';
import { spawnIn } from './namespaces.js';

// Tests import the TypeScript sources; the agent always runs as built.
const HERE = fileURLToPath(new URL('agent.js', import.meta.url));
const AGENT = existsSync(HERE) ? HERE : fileURLToPath(new URL('../../dist/lab/agent.js', import.meta.url));

export class Agent {
  private readonly waiting = new Map<
    number,
    { resolve: (reply: Reply) => void; reject: (error: Error) => void }
  >();
  private next = 1;
  private ended: string | undefined;

  private constructor(
    readonly netns: string,
    private readonly child: ChildProcess,
  ) {
    let said = '';
    child.stderr?.on('data', (data: Buffer) => (said += data.toString()));
    child.once('exit', (code, signal) => {
      this.ended = `the traffic agent in ${netns} ended (${signal ?? code}) ${said}`;
      for (const { reject } of this.waiting.values()) reject(new HeadgateError('lab-agent', this.ended));
      this.waiting.clear();
    });
    child.stdin?.on('error', () => undefined);
    if (child.stdout === null) throw new Error('no stdout');
    createInterface({ input: child.stdout }).on('line', (line) => {
      const reply = JSON.parse(line) as Reply;
      this.waiting.get(reply.id)?.resolve(reply);
      this.waiting.delete(reply.id);
    });
  }

  /** Starts an agent in the namespace; it ends with `close` or with this process. */
  static async start(netns: string): Promise<Agent> {
    const agent = new Agent(netns, spawnIn(netns, [process.execPath, AGENT]));
    await agent.reply(0);
    return agent;
  }

  async listen(ports: { tcp?: number[]; udp?: number[] }): Promise<void> {
    await this.ask({ do: 'listen', tcp: ports.tcp ?? [], udp: ports.udp ?? [] });
  }

  tcp(to: string, port: number, timeoutMs = 1500): Promise<Answer> {
    return this.ask<Answer>({ do: 'tcp', to, port, timeoutMs });
  }

  udp(to: string, port: number, timeoutMs = 1500): Promise<Answer> {
    return this.ask<Answer>({ do: 'udp', to, port, timeoutMs });
  }

  ping(to: string, timeoutMs = 1500): Promise<Answer> {
    return this.ask<Answer>({ do: 'ping', to, timeoutMs });
  }

  /** Opens a TCP connection that stays, under a name, for `use`. */
  hold(name: string, to: string, port: number, timeoutMs = 3000): Promise<Answer> {
    return this.ask<Answer>({ do: 'hold', name, to, port, timeoutMs });
  }

  use(name: string, timeoutMs = 3000): Promise<Answer> {
    return this.ask<Answer>({ do: 'use', name, timeoutMs });
  }

  /** Sends `count` numbered datagrams, one each `intervalMs`; resolves with how many were echoed. */
  sequence(to: string, port: number, count: number, intervalMs: number): Promise<SequenceCount> {
    return this.ask<SequenceCount>({ do: 'sequence', to, port, count, intervalMs });
  }

  /** Numbered datagrams that have come in on the UDP port. */
  counted(port: number): Promise<SequenceCount> {
    return this.ask<SequenceCount>({ do: 'counted', port });
  }

  /** Ends the agent; when this resolves its ports are free again. */
  async close(): Promise<void> {
    if (this.ended !== undefined) return;
    const gone = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.kill('SIGKILL');
    await gone;
  }

  private async ask<T extends Reply['result']>(command: Command): Promise<T> {
    const id = this.next++;
    const answered = this.reply(id);
    this.child.stdin?.write(`${JSON.stringify({ id, command })}\n`);
    const reply = await answered;
    if (reply.error !== undefined) {
      throw new HeadgateError(
        'lab-agent',
        `the traffic agent in ${this.netns}, ${command.do}: ${reply.error}`,
      );
    }
    return reply.result as T;
  }

  private reply(id: number): Promise<Reply> {
    if (this.ended !== undefined) return Promise.reject(new HeadgateError('lab-agent', this.ended));
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }
}
