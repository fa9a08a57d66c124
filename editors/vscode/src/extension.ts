// Where VS Code begins and ends: everything is made here and told where the rest is.
import { window, type ExtensionContext } from 'vscode';
import { register } from './commands';
import { Server } from './server';
import { StatusBar } from './statusBar';

let server: Server | undefined;

export function activate(context: ExtensionContext): void {
  const log = window.createOutputChannel('Foretype', { log: true });
  server = new Server(context.extensionPath, log);
  context.subscriptions.push(log, server, new StatusBar(server), register({ server, log, memory: context.globalState }));
  // Not awaited: a model takes a while to load, and VS Code waits for this function.
  void server.start();
}

/** VS Code waits a few seconds for the promise, so that no server stays behind. */
export function deactivate(): Promise<void> | undefined {
  return server?.stop();
}
