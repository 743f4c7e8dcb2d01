// What must be undone however the program ends: returned from main, thrown, exited, or stopped by a signal.
//
// Undo steps are synchronous (nothing else runs in an exit handler) and run in reverse order, each once.

type Undo = () => void;

const pending: Undo[] = [];
let installed = false;

/** Registers an undo step. The returned function runs it now, unless it has run already. */
export function onEnd(undo: Undo): Undo {
  install();
  pending.push(undo);
  return () => {
    const at = pending.lastIndexOf(undo);
    if (at < 0) return;
    pending.splice(at, 1);
    undo();
  };
}

/** Runs all undo steps. One that throws does not keep the others from running. */
export function undoAll(): void {
  for (let undo = pending.pop(); undo !== undefined; undo = pending.pop()) {
    try {
      undo();
    } catch (error) {
      process.stderr.write(`clean-up: ${error instanceof Error ? error.message : String(error)}\n`);
    }
  }
}

/** Leaves everything as it is: what was registered so far is not undone any more. */
export function keepAll(): void {
  pending.length = 0;
}

function install(): void {
  if (installed) return;
  installed = true;
  process.on('exit', undoAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      undoAll();
      process.kill(process.pid, signal); // the handler is gone: this ends the process, with the right status
    });
  }
}
