// On or off for all documents.
import { ConfigurationTarget, workspace } from 'vscode';
import { ownSettings, SECTION } from './settings';

/** Writes the other of both to the user's settings; the server is started or stopped by that. */
export async function toggleEverywhere(): Promise<void> {
  await workspace.getConfiguration(SECTION).update('enable', !ownSettings().enable, ConfigurationTarget.Global);
}
