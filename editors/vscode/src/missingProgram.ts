// The message for a machine without the program.
import { commands, window } from 'vscode';

export class MissingProgram {
  private wasTold = false;

  /** Once: afterwards the status bar says it. */
  tell(problem: string): void {
    if (this.wasTold) {
      return;
    }
    this.wasTold = true;
    const settings = 'Open Settings';
    const install = 'How to Install';
    void window.showErrorMessage(`Foretype: ${problem}.`, settings, install).then((button) => {
      if (button === settings) {
        return commands.executeCommand('workbench.action.openSettings', 'foretype.server.path');
      }
      // The README of the extension says it.
      return button === install ? commands.executeCommand('extension.open', 'foretype.foretype') : undefined;
    });
  }
}
