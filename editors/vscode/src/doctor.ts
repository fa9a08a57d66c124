// `Foretype: Doctor`: what the program says about this machine, in the log.
import type { LogOutputChannel } from 'vscode';
import { run } from './program';
import type { Server } from './server';

export async function doctor(server: Server, log: LogOutputChannel): Promise<void> {
  const binary = server.binary();
  if (binary === undefined) {
    return;
  }
  log.show();
  log.info(`${binary} doctor`);
  try {
    log.appendLine(await run(binary, ['doctor']));
  } catch (error) {
    log.error(String(error));
  }
}
