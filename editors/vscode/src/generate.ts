// `Foretype: Generate…`: code for an instruction, at the cursor or in place of the selection.
import { window } from 'vscode';
import type { Parts } from './commands';
import { target } from './target';
import { writeCode } from './writing';

const LAST_INSTRUCTION = 'lastInstruction';

/** A key binding may give the instruction as its argument. */
export async function generateHere({ server, log, memory }: Parts, argument?: unknown): Promise<void> {
  const here = target(server);
  if (!here) {
    return;
  }
  const given = typeof argument === 'string' ? argument : undefined;
  const instruction = given ?? (await ask(memory.get(LAST_INSTRUCTION, ''), here.range.isEmpty));
  if (instruction === undefined || instruction.trim() === '') {
    return;
  }
  await memory.update(LAST_INSTRUCTION, instruction);
  const range = here.client.code2ProtocolConverter.asRange(here.range);
  const argumentOfServer = { uri: here.uri, instruction, range };
  await writeCode(here.client, log, {
    title: 'Foretype writes code',
    command: 'foretype.generate',
    argument: argumentOfServer,
  });
}

function ask(last: string, atCursor: boolean): Thenable<string | undefined> {
  return window.showInputBox({
    title: 'Foretype: Generate',
    prompt: atCursor ? 'What to write at the cursor' : 'What to write in place of the selection',
    placeHolder: 'a function that reverses the words of a sentence',
    value: last,
    ignoreFocusOut: true,
  });
}
