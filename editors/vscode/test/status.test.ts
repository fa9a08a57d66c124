import assert from 'node:assert/strict';
import { test } from 'node:test';
import { look, type Silence, type Status } from '../src/status';

function check(status: Partial<Status>, silence: Silence | undefined, text: string, tooltip: string) {
  const seen = look({ state: 'ready', message: '', model: 'small', ...status }, silence);
  assert.deepEqual(seen, { text, tooltip, isError: status.state === 'failed' });
}

test('each state has its words', () => {
  check({}, undefined, '$(sparkle) Foretype', 'Foretype (small): ready');
  check({ state: 'busy' }, undefined, '$(sync~spin) Foretype', 'Foretype (small): busy');
  check({ state: 'failed', message: 'no memory' }, undefined, '$(error) Foretype', 'Foretype (small): failed: no memory');
  check({ state: 'off', message: 'switched off' }, undefined, '$(circle-slash) Foretype', 'Foretype (small): switched off');
});

test('loading has a percentage where one is known', () => {
  const message = 'loading small';
  check({ state: 'loading', message, progress: 0.434 }, undefined, '$(loading~spin) Foretype 43 %', `Foretype (small): ${message}`);
  check({ state: 'loading', message, progress: null }, undefined, '$(loading~spin) Foretype', `Foretype (small): ${message}`);
});

test('a document without suggestions is told of, unless something worse is', () => {
  const silence = { language: 'markdown' };
  check({}, silence, '$(circle-slash) Foretype', 'Foretype (small): disabled for markdown');
  check({ state: 'failed', message: 'gone' }, silence, '$(error) Foretype', 'Foretype (small): failed: gone');
});
