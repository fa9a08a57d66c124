// Suggestions: shown, accepted whole and in parts, typed along, dismissed.
import { equal, truthy, wait } from '../harness.mjs';
import { pattern, typed, withGhost } from './pattern.mjs';

export default async function ({ harness, window }) {
  const { test } = harness;

  await test('typed text is followed by ghost text; Tab takes it; the saved file is what was seen', async () => {
    const ghost = await withGhost(window, 'accept.py');
    await window.shoot('ghost-text');
    await window.press('Tab');
    await window.waitNoGhost();
    equal(await window.saved('accept.py'), pattern + typed + ghost, 'saved file');
  });

  await test('words accepted one by one, then the rest, give the same text', async () => {
    const ghost = await withGhost(window, 'words.py');
    let left = ghost;
    for (let word = 0; word < 3; word += 1) {
      await window.press('Control+ArrowRight');
      left = await wait('a word less', async () => {
        const now = await window.ghost();
        return now !== '' && now.length < left.length && now;
      });
      truthy(ghost.endsWith(left), `${JSON.stringify(left)} is not the rest of ${JSON.stringify(ghost)}`);
    }
    equal(await window.waitGhost(), left, 'ghost text after a while');
    await window.press('Tab');
    await window.waitNoGhost();
    equal(await window.saved('words.py'), pattern + typed + ghost, 'saved file');
  });

  await test('typing what is shown keeps the rest of it on the screen', async () => {
    const ghost = await withGhost(window, 'through.py');
    for (let count = 1; count <= 3; count += 1) {
      await window.type(ghost[count - 1]);
      await wait('the rest', async () => (await window.ghost()) === ghost.slice(count));
    }
    equal(await window.waitGhost(), ghost.slice(3), 'ghost text after a while');
    await window.press('Tab');
    await window.waitNoGhost();
    equal(await window.saved('through.py'), pattern + typed + ghost, 'saved file');
  });

  await test('Escape dismisses it, the command brings it back', async () => {
    await withGhost(window, 'escape.py');
    await window.press('Escape');
    await window.waitNoGhost();
    await window.command('Foretype: Suggest Now');
    await window.waitGhost();
    await window.press('Escape');
    await window.waitNoGhost();
    equal(await window.saved('escape.py'), pattern + typed, 'saved file');
  });
}
