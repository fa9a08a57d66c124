-- Drawing alone, without a server: the screen with ghost text is the screen after the text was inserted.

return function(fixture)
  local harness = fixture.harness
  local child = fixture.child([[{ server = { cmd = '/nowhere/foretype' } }]])

  -- `$0` is the cursor, `$1` the end of what the suggestion replaces.
  local function check(marked, rest)
    local col = marked:find('$0', 1, true) - 1
    local without_cursor = marked:gsub('%$0', '')
    local replaced_end = without_cursor:find('$1', 1, true)
    replaced_end = replaced_end and replaced_end - 1 or col
    local line = without_cursor:gsub('%$1', '')
    child:request('nvim_buf_set_lines', 0, 0, -1, false, { 'above', line, 'below' })
    child:request('nvim_win_set_cursor', 0, { 2, col })
    local replaced, after = line:sub(col + 1, replaced_end), line:sub(replaced_end + 1)
    child:lua('require("foretype.ghost.view").draw(0, 1, ...)', col, rest, replaced, after)
    local drawn = child:view()
    child:lua('require("foretype.ghost.view").clear()')
    child:request('nvim_buf_set_text', 0, 1, col, 1, replaced_end, vim.split(rest, '\n'))
    harness.equal(drawn, child:view(), marked)
  end

  harness.test('drawn as it would be inserted: one line and several, tabs, wide characters, text behind the cursor', function()
    child:request('nvim_command', 'edit drawing.txt')
    check('value$0', ' = 1')
    check('f($0)', 'a, b')
    check('f($0)$1 # x', 'a, b):')
    check('f($0)$1 # x', 'a, b)')
    check('f($0rest)$1 # a longer comment', 'a)')
    check('f($0) # a longer comment', 'a,\n\tb\n')
    check('\tif x {$0', '\n\t\treturn 1\n\t}')
    check('\tif $0', 'err\t:= 1')
    check('größe 😀$0 😀', ' 漢字\t= 1')
    check('größe($0"😀")$1 + 漢', '1,\n  2) ')
  end)

  child:stop()
end
