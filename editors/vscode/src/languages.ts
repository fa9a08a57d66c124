// In which documents there are suggestions.
import { ConfigurationTarget, workspace, type TextDocument } from 'vscode';
import { SECTION } from './settings';
import type { Silence } from './status';

/** Schemes of the documents that the server is told of. */
export const SCHEMES = ['file', 'untitled', 'vscode-notebook-cell'];

/** Why there are no suggestions here; the server decides by the same setting. */
export function silence(document: TextDocument): Silence | undefined {
  if (!SCHEMES.includes(document.uri.scheme)) {
    return { file: 'not for documents of this kind' };
  }
  return isEnabled(document.languageId) ? undefined : { language: document.languageId };
}

/** The language's own entry, else that for all languages, else yes. */
export function isEnabled(language: string): boolean {
  const entries = workspace.getConfiguration(SECTION).get<Record<string, boolean>>('languages', {});
  return entries[language] ?? entries['*'] ?? true;
}

/** Writes the other of both to the user's settings. */
export async function toggleLanguage(language: string): Promise<void> {
  const section = workspace.getConfiguration(SECTION);
  const entries = section.inspect<Record<string, boolean>>('languages')?.globalValue ?? {};
  await section.update('languages', { ...entries, [language]: !isEnabled(language) }, ConfigurationTarget.Global);
}
