// The language client: which documents it tells of, and which of its habits are changed.
import type { LogOutputChannel } from 'vscode';
import { CloseAction, ErrorAction, LanguageClient, type LanguageClientOptions } from 'vscode-languageclient/node';
import { SCHEMES } from './languages';
import { middleware } from './middleware';
import { SECTION } from './settings';
import { Restarts } from './restarts';

export interface ClientParts {
  binary: string;
  arguments: string[];
  log: LogOutputChannel;
  /** The server died too often. */
  gaveUp: () => void;
}

/** A client whose errors are only logged: nobody asked for most requests, and the status bar shows a server that fails. */
export class Client extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export function makeClient(parts: ClientParts): Client {
  const { log } = parts;
  const restarts = new Restarts();
  const options: LanguageClientOptions = {
    documentSelector: SCHEMES.map((scheme) => ({ scheme })),
    outputChannel: log,
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      closed: () => {
        if (restarts.mayRestart(Date.now())) {
          return { action: CloseAction.Restart, handled: true };
        }
        parts.gaveUp();
        return { action: CloseAction.DoNotRestart, handled: true };
      },
    },
  };
  const client: Client = new Client(
    SECTION,
    'Foretype',
    { command: parts.binary, args: ['serve', ...parts.arguments] },
    { ...options, middleware: middleware(() => client, log) },
  );
  return client;
}
