// The menu behind the item in the status bar.
import { commands, window, type QuickPickItem } from 'vscode';
import { isEnabled } from './languages';
import { ownSettings } from './settings';
import { look, type Status } from './status';

interface Entry extends QuickPickItem {
  command: string;
  arguments?: unknown[];
}

export async function showMenu(status: Status): Promise<void> {
  const language = window.activeTextEditor?.document.languageId;
  const placeHolder = look(status, undefined).tooltip;
  const picked = await window.showQuickPick(entries(language), { title: 'Foretype', placeHolder });
  if (picked) {
    await commands.executeCommand(picked.command, ...(picked.arguments ?? []));
  }
}

function entries(language: string | undefined): Entry[] {
  const everywhere: Entry = ownSettings().enable
    ? { label: '$(circle-slash) Disable everywhere', command: 'foretype.toggle' }
    : { label: '$(check) Enable everywhere', command: 'foretype.toggle' };
  return [
    ...(language === undefined ? [] : entriesOf(language)),
    everywhere,
    { label: '$(list-selection) Pick a model…', command: 'foretype.pickModel' },
    { label: '$(debug-restart) Restart the server', command: 'foretype.restartServer' },
    { label: '$(output) Show log', command: 'foretype.showLog' },
    { label: '$(pulse) Doctor', command: 'foretype.doctor' },
    { label: '$(gear) Settings', command: 'workbench.action.openSettings', arguments: ['@ext:foretype.foretype'] },
  ];
}

function entriesOf(language: string): Entry[] {
  return [
    { label: '$(sparkle) Generate…', command: 'foretype.generateHere' },
    { label: '$(comment) Document', command: 'foretype.documentHere' },
    isEnabled(language)
      ? { label: `$(circle-slash) Disable for ${language}`, command: 'foretype.toggleLanguage' }
      : { label: `$(check) Enable for ${language}`, command: 'foretype.toggleLanguage' },
  ];
}
