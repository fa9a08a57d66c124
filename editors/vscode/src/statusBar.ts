// The item in the status bar.
import { commands, Disposable, StatusBarAlignment, ThemeColor, window, workspace } from 'vscode';
import { silence } from './languages';
import type { Server } from './server';
import { SECTION } from './settings';
import { look } from './status';

export class StatusBar implements Disposable {
  private readonly item = window.createStatusBarItem('status', StatusBarAlignment.Right, 100);
  private readonly parts: Disposable;

  constructor(private readonly server: Server) {
    this.item.name = 'Foretype';
    this.item.command = 'foretype.showMenu';
    this.parts = Disposable.from(
      this.item,
      server.onDidChangeStatus(() => this.draw()),
      window.onDidChangeActiveTextEditor(() => this.draw()),
      // A document whose language changes is opened anew.
      workspace.onDidOpenTextDocument(() => this.draw()),
      workspace.onDidChangeConfiguration((event) => event.affectsConfiguration(SECTION) && this.draw()),
    );
    this.draw();
    this.item.show();
  }

  dispose(): void {
    this.parts.dispose();
  }

  private draw(): void {
    const document = window.activeTextEditor?.document;
    const { text, tooltip, isError } = look(this.server.status, document && silence(document));
    this.item.text = text;
    this.item.tooltip = tooltip;
    this.item.accessibilityInformation = { label: tooltip };
    this.item.backgroundColor = isError ? new ThemeColor('statusBarItem.errorBackground') : undefined;
    void commands.executeCommand('setContext', 'foretype.active', this.server.client !== undefined);
  }
}
