import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Restarts } from '../src/restarts';

test('a server that crashes again and again is given up', () => {
  const restarts = new Restarts();
  const answers = [0, 1000, 2000, 3000, 4000].map((time) => restarts.mayRestart(time));
  assert.deepEqual(answers, [true, true, true, true, false]);
});

test('crashes that are long ago do not count', () => {
  const restarts = new Restarts();
  const answers = [0, 1, 2, 3, 4, 5].map((hours) => restarts.mayRestart(hours * 3600 * 1000));
  assert.ok(answers.every((answer) => answer));
});
