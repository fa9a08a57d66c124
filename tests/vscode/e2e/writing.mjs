// Code and comments that were asked for.
import { equal, truthy, wait } from '../harness.mjs';

const functions = ['def add(a, b):', '    return a + b', '', '', 'def multiply(a, b):', '    return a * b', ''].join('\n');

/** The text without comments and spacing. */
const code = (text) => text.replace(/"""[^]*?"""\n?|^\s*#.*\n/gm, '').replace(/\s+/g, ' ');

export default async function ({ harness, window, servers }) {
  const { test } = harness;

  await test('generate writes code at the cursor; one undo takes it back', async () => {
    await window.open('generate.py', functions + '\n\n');
    await window.command('Foretype: Generate');
    await window.answer('a function that subtracts two numbers');
    const { before, after } = await window.savedChange('generate.py');
    await window.shoot('generated');
    truthy(after.startsWith(before) && after.includes('def ', before.length), after);
    await window.undoGives('generate.py', before);
  });

  await test('generate over a selection replaces it, and nothing else', async () => {
    const [first, last] = ['# first', '# last'];
    await window.open('selection.py', `${first}\ndef add(a, b):\n    return a - b\n${last}\n`);
    await window.press('Control+Home', 'ArrowDown', 'Shift+ArrowDown', 'Shift+End');
    await window.command('Foretype: Generate');
    await window.answer('a function add that returns the sum of a and b');
    const { before, after } = await window.savedChange('selection.py');
    truthy(after !== before && after.startsWith(`${first}\n`) && after.endsWith(`\n${last}\n`), after);
    await window.undoGives('selection.py', before);
  });

  await test('document writes a comment for the function at the cursor', async () => {
    await window.open('document.py', functions);
    await window.press('Control+Home');
    await window.command('Foretype: Document');
    const { before, after } = await window.savedChange('document.py');
    await window.shoot('documented');
    truthy(after !== before, after);
    equal(code(after), code(before), 'the code around the comment');
    await window.undoGives('document.py', before);
  });

  await test('a code action does the same', async () => {
    await window.open('action.py', functions);
    await window.press('Control+Home', 'Control+.');
    // It is the only action here, and so the one that the keyboard is at.
    const action = window.page.locator('.action-widget .monaco-list-row.focused', { hasText: 'Foretype: Document this function' });
    await action.waitFor();
    await window.shoot('code-action');
    await window.press('Enter');
    const { before, after } = await window.savedChange('action.py');
    equal(code(after), code(before), 'the code around the comment');
    await window.undoGives('action.py', before);
  });

  await test('document without a function says so', async () => {
    await window.open('nothing.py', 'x = 1\n');
    await window.command('Foretype: Document');
    await window.notifications.filter({ hasText: 'no function' }).waitFor();
    await window.shoot('nothing-to-document');
    // The progress goes a moment later than the message comes.
    await window.waitButtons(['Show Log']);
    await window.clearMessages();
    equal(await window.saved('nothing.py'), 'x = 1\n', 'saved file');
  });

  await test('cancelled, generate writes nothing and complains of nothing', async () => {
    await window.open('cancel.py', functions);
    const [server] = servers();
    // It would be done before the click otherwise.
    process.kill(server, 'SIGSTOP');
    try {
      await window.command('Foretype: Generate');
      await window.answer('a function that divides two numbers');
      await window.notifications.filter({ hasText: 'Foretype writes code' }).waitFor();
      await window.shoot('progress');
      await window.notifications.locator('.monaco-button', { hasText: 'Cancel' }).click();
    } finally {
      process.kill(server, 'SIGCONT');
    }
    await wait('the progress to end', async () => (await window.notifications.count()) === 0);
    equal(await window.saved('cancel.py'), functions, 'saved file');
  });
}
