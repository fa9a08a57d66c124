// Runs a command of the server that writes into a document.
import { randomUUID } from 'node:crypto';
import { ProgressLocation, window, type LogOutputChannel } from 'vscode';
import {
  ExecuteCommandRequest,
  LSPErrorCodes,
  ResponseError,
  WorkDoneProgress,
  type LanguageClient,
} from 'vscode-languageclient/node';

export interface Writing {
  title: string;
  command: string;
  argument: unknown;
}

/** Shows how far it is, with a way to cancel it. The server applies the edit itself. */
export async function writeCode(client: LanguageClient, log: LogOutputChannel, writing: Writing): Promise<void> {
  const { title, command, argument } = writing;
  const location = ProgressLocation.Notification;
  await window.withProgress({ location, title, cancellable: true }, async (progress, token) => {
    const workDoneToken = randomUUID();
    const steps = client.onProgress(WorkDoneProgress.type, workDoneToken, (step) => {
      if (step.kind === 'report' && step.message) {
        progress.report({ message: step.message });
      }
    });
    try {
      await client.sendRequest(ExecuteCommandRequest.type, { command, arguments: [argument], workDoneToken }, token);
    } catch (error) {
      if (!isCancellation(error)) {
        tell(log, error);
      }
    } finally {
      steps.dispose();
    }
  });
}

function isCancellation(error: unknown): boolean {
  const codes: number[] = [LSPErrorCodes.RequestCancelled, LSPErrorCodes.ServerCancelled];
  return error instanceof ResponseError && codes.includes(error.code);
}

function tell(log: LogOutputChannel, error: unknown): void {
  const text = `Foretype: ${error instanceof Error ? error.message : String(error)}`;
  log.error(text);
  // Not awaited: the progress would be shown until the message is closed.
  void window.showErrorMessage(text, 'Show Log').then((button) => button && log.show());
}
