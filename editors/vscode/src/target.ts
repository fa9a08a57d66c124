// Where code that was asked for goes.
import { window, type Range } from 'vscode';
import type { Client } from './client';
import type { Server } from './server';

export interface Target {
  client: Client;
  uri: string;
  range: Range;
}

/** The selection of the active editor; undefined after the user was told why there is none. */
export function target(server: Server): Target | undefined {
  const editor = window.activeTextEditor;
  const client = server.client;
  if (!editor || !client) {
    const problem = editor ? `the server is not running (${server.status.state})` : 'no editor is open';
    void window.showErrorMessage(`Foretype: ${problem}.`);
    return undefined;
  }
  const uri = client.code2ProtocolConverter.asUri(editor.document.uri);
  return { client, uri, range: editor.selection };
}
