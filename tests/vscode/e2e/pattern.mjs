// Lines that any language model goes on from: a pattern, half-written for the third time.

export const pattern = [
  'def test_one():',
  '    assert convert("one", 1) == 1',
  '',
  'def test_two():',
  '    assert convert("two", 2) == 2',
  '',
  'def test_three():',
  '',
].join('\n');

export const typed = '    assert conv';

/** Opens the pattern, types its beginning and waits for ghost text. */
export async function withGhost(window, name) {
  await window.open(name, pattern);
  await window.type(typed);
  return window.waitGhost();
}
