import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

test('no provider has methods that stable VS Code refuses at registration', () => {
  const bundle = readFileSync('dist/extension.js', 'utf8');
  for (const proposed of ['handleDidShowCompletionItem', 'handleDidPartiallyAcceptCompletionItem']) {
    assert.ok(!bundle.includes(proposed), proposed);
  }
});

test('our commands do not collide with those the server announces', () => {
  const { contributes } = JSON.parse(readFileSync('package.json', 'utf8')) as { contributes: { commands: { command: string }[] } };
  const announced = ['generate', 'document', 'accept', 'restart'].map((name) => `foretype.${name}`);
  const ours = contributes.commands.map(({ command }) => command);
  assert.deepEqual(ours.filter((command) => announced.includes(command)), []);
});
