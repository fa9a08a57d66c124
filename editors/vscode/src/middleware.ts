// What happens between VS Code and the server.
import type { LogOutputChannel } from 'vscode';
import type { LanguageClient, Middleware } from 'vscode-languageclient/node';
import { SECTION, serverSettings } from './settings';
import { writeCode } from './writing';

/** Commands of the server that change a document; code actions carry them too. */
const WRITING: Record<string, string> = {
  'foretype.generate': 'Foretype writes code',
  'foretype.document': 'Foretype writes a comment',
};

export function middleware(client: () => LanguageClient, log: LogOutputChannel): Middleware {
  return {
    executeCommand: async (command, commandArguments, next) => {
      const title = WRITING[command];
      if (title !== undefined) {
        return writeCode(client(), log, { title, command, argument: commandArguments[0] });
      }
      // The others come along with suggestions: whether they succeed is nothing to the user.
      try {
        return await next(command, commandArguments);
      } catch (error) {
        log.debug(`${command}: ${String(error)}`);
        return undefined;
      }
    },
    workspace: {
      configuration: async (parameters, token, next) => {
        const values = await next(parameters, token);
        if (!Array.isArray(values)) {
          return values;
        }
        return values.map((value, index) => (parameters.items[index]?.section === SECTION ? serverSettings() : value));
      },
    },
  };
}
