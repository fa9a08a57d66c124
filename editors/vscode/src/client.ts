// The language client: which documents it tells of, and which of its habits are changed.
import type { LogOutputChannel } from 'vscode';
import { CloseAction, ErrorAction, LanguageClient, type LanguageClientOptions } from 'vscode-languageclient/node';
import { SCHEMES } from './languages';
import { middleware } from './middleware';
import { SECTION } from './settings';

export interface ClientParts {
  binary: string;
  arguments: string[];
  log: LogOutputChannel;
  /** The server ended without being asked to. */
  crashed: () => void;
}

/** A client whose errors are only logged: nobody asked for most requests, and the status bar shows a server that fails. */
export class Client extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export function makeClient(parts: ClientParts): Client {
  const { log } = parts;
  const options: LanguageClientOptions = {
    documentSelector: SCHEMES.map((scheme) => ({ scheme })),
    outputChannel: log,
    initializationFailedHandler: () => false,
    errorHandler: {
      error: () => ({ action: ErrorAction.Continue, handled: true }),
      // This client never starts it again: when a server dies while it starts, the failure of that start is still on its way,
      // and would be taken for one of the next, which may then stay without a server.
      closed: () => {
        parts.crashed();
        return { action: CloseAction.DoNotRestart, handled: true, message: 'The server ended.' };
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
