// The ends of bench apply's probe stream, each a process inside a workload's namespace:
//
//   node apply-probe.js send ADDRESS PORT PORT     a datagram to either port each millisecond
//   node apply-probe.js receive PORT PORT          says "ready", then a line for each change of the port that they come to
import { createSocket } from 'node:dgram';

const [what, ...rest] = process.argv.slice(2);
if (what === 'send') send(rest[0] ?? '', rest.slice(1).map(Number));
else receive(rest.map(Number));

function send(address: string, ports: number[]): void {
  const socket = createSocket('udp4');
  // A rejected datagram says so in an ICMP message: not the end.
  socket.on('error', () => undefined);
  // The same source port for all: two connections, which each change of policy judges anew.
  socket.bind(9100, () => {
    setInterval(() => {
      for (const port of ports) socket.send('probe', port, address, () => undefined);
    }, 1);
  });
}

function receive(ports: number[]): void {
  let last = 0;
  let bound = 0;
  for (const port of ports) {
    const socket = createSocket('udp4');
    socket.on('message', () => {
      if (port === last) return;
      last = port;
      const at = Number(process.hrtime.bigint()) / 1e6;
      process.stdout.write(`${JSON.stringify({ port, at })}\n`);
    });
    socket.bind(port, () => {
      if (++bound === ports.length) process.stdout.write('ready\n');
    });
  }
}
