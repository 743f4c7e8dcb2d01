// The program that sends and answers real traffic inside one namespace. It is started there once and takes
// commands as lines of JSON on stdin, so that trying a hundred pairs does not start hundreds of processes.
// Ends when stdin ends.
import { spawn } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import type { Answer, Command, Reply, SequenceCount } from './agent-messages.js';

/** Answers every TCP byte and every UDP datagram on the port, IPv4 and IPv6, with itself. */
async function listen(protocol: 'tcp' | 'udp', port: number): Promise<void> {
  if (protocol === 'tcp') {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy());
      socket.pipe(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ port, host: '::', ipv6Only: false, backlog: 512 }, resolve);
    });
    return;
  }
  const socket = createSocket({ type: 'udp6', ipv6Only: false, recvBufferSize: 1 << 20 });
  socket.on('message', (data, from) => {
    count(port, data);
    socket.send(data, from.port, from.address);
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject);
    socket.bind(port, '::', resolve);
  });
  socket.removeAllListeners('error').on('error', () => undefined); // an ICMP error for an earlier answer
}

// Sequence numbers seen by the UDP ports, to tell lost from repeated datagrams.
const seen = new Map<number, Set<number>>();
const repeated = new Map<number, number>();

function count(port: number, data: Buffer): void {
  if (data.length < 8 || data.toString('latin1', 0, 4) !== 'seq:') return;
  const numbers = seen.get(port) ?? new Set();
  seen.set(port, numbers);
  const number = data.readUInt32BE(4);
  if (numbers.has(number)) repeated.set(port, (repeated.get(port) ?? 0) + 1);
  numbers.add(number);
}

function sequenceCount(port: number): SequenceCount {
  return { received: seen.get(port)?.size ?? 0, repeated: repeated.get(port) ?? 0 };
}

/** What an errno says about who answered: an RST, or an ICMP error. */
function fromError(error: NodeJS.ErrnoException): Answer {
  switch (error.code) {
    case 'ECONNREFUSED':
      return { outcome: 'refused', detail: 'refused' };
    case 'ECONNRESET':
      return { outcome: 'refused', detail: 'reset' };
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EACCES':
    case 'EPERM':
      return { outcome: 'refused', detail: `ICMP error (${error.code})` };
    default:
      return { outcome: 'silent', detail: error.code ?? error.message };
  }
}

function tryTcp(to: string, port: number, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const nonce = Buffer.from(`headgate-${Math.random()}`);
    const socket = connect({ host: to, port });
    let got = Buffer.alloc(0);
    const done = (answer: Answer) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(answer);
    };
    const timer = setTimeout(() => done({ outcome: 'silent', detail: 'no answer' }), timeoutMs);
    socket.once('connect', () => socket.write(nonce));
    socket.on('data', (data) => {
      got = Buffer.concat([got, data]);
      if (got.equals(nonce)) done({ outcome: 'reached', detail: 'answered' });
    });
    socket.once('error', (error) => done(fromError(error)));
  });
}

function tryUdp(to: string, port: number, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const nonce = `headgate-${Math.random()}`;
    const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4');
    const done = (answer: Answer) => {
      clearTimeout(timer);
      clearInterval(again);
      socket.close();
      resolve(answer);
    };
    const send = () =>
      socket.send(nonce, (error) => error !== null && error !== undefined && done(fromError(error)));
    const timer = setTimeout(() => done({ outcome: 'silent', detail: 'no answer' }), timeoutMs);
    const again = setInterval(send, Math.max(200, timeoutMs / 3));
    socket.on(
      'message',
      (data) => data.toString() === nonce && done({ outcome: 'reached', detail: 'answered' }),
    );
    socket.once('error', (error) => done(fromError(error)));
    socket.connect(port, to, send);
  });
}

function tryPing(to: string, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const seconds = String(Math.max(0.2, timeoutMs / 1000));
    const ping = spawn('ping', ['-n', '-c', '1', '-W', seconds, to], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    ping.stdout.on('data', (data: Buffer) => (said += data.toString()));
    ping.stderr.on('data', (data: Buffer) => (said += data.toString()));
    ping.once('error', (error) => resolve({ outcome: 'silent', detail: `ping: ${error.message}` }));
    ping.once('close', (code) => {
      const refusal = /(filtered|prohibited|unreachable)/i.exec(said);
      if (code === 0) resolve({ outcome: 'reached', detail: 'answered' });
      else if (refusal !== null)
        resolve({ outcome: 'refused', detail: `ICMP error (${refusal[0].toLowerCase()})` });
      else
        resolve({
          outcome: 'silent',
          detail: said.includes('packets transmitted') ? 'no answer' : said.trim(),
        });
    });
  });
}

/** Numbered datagrams at an even pace; the numbers that came back. */
async function sendSequence(command: Extract<Command, { do: 'sequence' }>): Promise<SequenceCount> {
  const socket: UdpSocket = createSocket(command.to.includes(':') ? 'udp6' : 'udp4');
  const back = new Set<number>();
  let again = 0;
  socket.on('error', () => undefined);
  socket.on('message', (data) => {
    const number = data.readUInt32BE(4);
    if (back.has(number)) again++;
    back.add(number);
  });
  await new Promise<void>((resolve) => socket.connect(command.port, command.to, resolve));
  const start = performance.now();
  for (let number = 0; number < command.count; number++) {
    const data = Buffer.alloc(32);
    data.write('seq:');
    data.writeUInt32BE(number, 4);
    socket.send(data);
    const wait = start + (number + 1) * command.intervalMs - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  }
  const end = Date.now() + 1000;
  while (back.size < command.count && Date.now() < end)
    await new Promise((resolve) => setTimeout(resolve, 20));
  socket.close();
  return { received: back.size, repeated: again };
}

// Connections that stay open over several commands.
const open = new Map<string, ReturnType<typeof connect>>();

function hold(name: string, to: string, port: number, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = connect({ host: to, port });
    const timer = setTimeout(() => resolve({ outcome: 'silent', detail: 'no answer' }), timeoutMs);
    socket.once('connect', () => {
      clearTimeout(timer);
      open.set(name, socket);
      resolve({ outcome: 'reached', detail: 'connected' });
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      resolve(fromError(error));
    });
  });
}

function useHeld(name: string, timeoutMs: number): Promise<Answer> {
  return new Promise((resolve) => {
    const socket = open.get(name);
    if (socket === undefined) return resolve({ outcome: 'silent', detail: `no connection named ${name}` });
    if (socket.destroyed) return resolve({ outcome: 'refused', detail: 'reset' });
    const nonce = `use-${Math.random()}`;
    let got = '';
    const done = (answer: Answer) => {
      clearTimeout(timer);
      socket.removeListener('data', data).removeListener('error', failed);
      resolve(answer);
    };
    const data = (chunk: Buffer) => {
      got += chunk.toString();
      if (got.includes(nonce)) done({ outcome: 'reached', detail: 'answered' });
    };
    const failed = (error: NodeJS.ErrnoException) => done(fromError(error));
    const timer = setTimeout(() => done({ outcome: 'silent', detail: 'no answer' }), timeoutMs);
    socket.on('data', data);
    socket.once('error', failed);
    socket.write(nonce);
  });
}

async function perform(command: Command): Promise<Answer | SequenceCount | null> {
  switch (command.do) {
    case 'listen':
      for (const port of command.tcp) await listen('tcp', port);
      for (const port of command.udp) await listen('udp', port);
      return null;
    case 'tcp':
      return tryTcp(command.to, command.port, command.timeoutMs);
    case 'udp':
      return tryUdp(command.to, command.port, command.timeoutMs);
    case 'ping':
      return tryPing(command.to, command.timeoutMs);
    case 'hold':
      return hold(command.name, command.to, command.port, command.timeoutMs);
    case 'use':
      return useHeld(command.name, command.timeoutMs);
    case 'sequence':
      return sendSequence(command);
    case 'counted':
      return sequenceCount(command.port);
  }
}

function reply(message: Reply): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

const lines = createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const { id, command } = JSON.parse(line) as { id: number; command: Command };
  perform(command).then(
    (result) => reply({ id, result }),
    (error: unknown) => reply({ id, error: error instanceof Error ? error.message : String(error) }),
  );
});
lines.on('close', () => process.exit(0));
process.stdout.on('error', () => process.exit(0));
reply({ id: 0, result: null });
