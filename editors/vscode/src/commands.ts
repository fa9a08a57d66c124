// The commands, each with the function that carries it out.
import { commands, Disposable, window, type LogOutputChannel, type Memento } from 'vscode';
import { doctor } from './doctor';
import { documentHere } from './document';
import { generateHere } from './generate';
import { toggleLanguage } from './languages';
import { showMenu } from './menu';
import { pickModel } from './pickModel';
import type { Server } from './server';
import { toggleEverywhere } from './toggle';

/** What commands work with. */
export interface Parts {
  server: Server;
  log: LogOutputChannel;
  /** Kept across windows. */
  memory: Memento;
}

export function register(parts: Parts): Disposable {
  const { server, log } = parts;
  const all: Record<string, (argument?: unknown) => unknown> = {
    generateHere: (argument) => generateHere(parts, argument),
    documentHere: () => documentHere(parts),
    trigger: () => commands.executeCommand('editor.action.inlineSuggest.trigger'),
    showMenu: () => showMenu(server.status),
    toggle: () => toggleEverywhere(),
    toggleLanguage: () => {
      const language = window.activeTextEditor?.document.languageId;
      return language === undefined ? undefined : toggleLanguage(language);
    },
    pickModel: () => pickModel(server),
    restartServer: () => server.restart(),
    showLog: () => log.show(),
    doctor: () => doctor(server, log),
  };
  const registered = Object.entries(all).map(([name, run]) => commands.registerCommand(`foretype.${name}`, run));
  return Disposable.from(...registered);
}
