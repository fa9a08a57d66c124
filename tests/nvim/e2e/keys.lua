-- Keys: parts of a suggestion, dismiss, alternatives, and what the keys do where nothing is shown.

return function(fixture)
  local harness = fixture.harness
  local test, equal, wait, truthy = harness.test, harness.equal, harness.wait, harness.truthy
  local child = fixture.child(fixture.options())
  local row = #fixture.pattern + 1

  test('word by word: each takes a part of what is shown, the rest stays, the end is the whole', function()
    local seen = fixture.with_ghost(child, 'word.py')
    local steps, last = 0, table.concat(child:lines(), '\n')
    while child:has_ghost() and steps < 200 do
      child:input(steps % 2 == 0 and '<M-Right>' or '<C-Right>')
      local now = wait('a word', function()
        local text = table.concat(child:lines(), '\n')
        return text ~= last and text
      end)
      equal(child:view(), seen, 'screen after a word')
      steps, last = steps + 1, now
    end
    truthy(steps > 1, 'the suggestion has only one word')
    equal(child:plain_view(), seen)
  end)

  test('line by line', function()
    local seen = fixture.with_ghost(child, 'line.py')
    child:input('<M-l>')
    wait('a line', function()
      return child:lines()[row] ~= fixture.typed
    end)
    equal(child:lines()[row]:gsub('%s+$', ''), seen[row]:gsub('%s+$', ''))
    equal(#child:lines(), row)
    equal(child:view(), seen)
  end)

  test('dismissed: gone until the text changes', function()
    fixture.with_ghost(child, 'dismiss.py')
    child:lua('vim.b.foretype = nil')
    child:input('<C-]>')
    equal(child:view(), child:plain_view())
    vim.wait(300)
    equal(child:view(), child:plain_view())
    equal(child:lines()[row], fixture.typed)
    child:input('e')
    child:wait_ghost()
  end)

  test('next and previous go around', function()
    local first = fixture.with_ghost(child, 'next.py')
    child:input('<M-]>')
    child:wait_quiet()
    local second = child:view()
    truthy(child:has_ghost(), 'nothing is shown after next')
    child:input('<M-[>')
    child:wait_quiet()
    equal(child:view(), first, 'back at the first')
    child:input('<M-]>')
    child:wait_quiet()
    equal(child:view(), second, 'the second again')
    child:input('<Tab>')
    wait('the inserted text', function()
      return not child:has_ghost()
    end)
    equal(child:plain_view(), second)
  end)

  test('where the model sees several ways to go on, next shows each of them once', function()
    child:open('several.py', { 'import os', 'import sys' })
    child:input('o')
    child:type('import ', 15)
    child:wait_ghost()
    child:freeze()
    child:wait_quiet()
    local first = child:wait_ghost()
    local seen = { first[3] }
    repeat
      child:input('<M-]>')
      child:wait_quiet()
      truthy(child:has_ghost(), 'nothing is shown after next')
      local now = child:view()[3]
      if now ~= seen[1] then
        truthy(not vim.tbl_contains(seen, now), 'shown twice: ' .. now)
        seen[#seen + 1] = now
      end
    until now == seen[1]
    truthy(#seen > 1, 'there is only ' .. seen[1])
    child:input('<M-]><Tab>')
    wait('the inserted text', function()
      return not child:has_ghost()
    end)
    equal(child:lines()[3], seen[2], 'inserted')
  end)

  test('the trigger key asks where nothing is asked by itself', function()
    child:open('trigger.py', fixture.pattern)
    child:lua('vim.bo.autoindent, vim.bo.indentexpr = false, ""')
    child:freeze()
    child:input('o' .. fixture.typed)
    vim.wait(300)
    equal(child:view(), child:plain_view())
    child:input('<M-Bslash>')
    child:wait_ghost()
  end)

  test('<Tab> without ghost text is a tab', function()
    child:open('tab.txt', { '' })
    child:freeze()
    child:lua('vim.bo.expandtab, vim.bo.softtabstop = false, 0')
    child:input('ia<Tab>b')
    wait('the text', function()
      return child:lines()[1] == 'a\tb'
    end)
  end)

  test('<Tab> without ghost text does what it was mapped to, however that was done', function()
    local function check(code, expected)
      child:open('mapped.txt', { '' })
      child:freeze()
      child:lua(code)
      child:input('ia<Tab>b')
      wait(expected .. ' from ' .. code, function()
        return child:lines()[1] == expected
      end, 3000)
      child:input('<Esc>')
      child:lua([[pcall(vim.keymap.del, 'i', '<Tab>')]])
    end
    check([[vim.keymap.set('i', '<Tab>', '[plain]')]], 'a[plain]b')
    check([[vim.keymap.set('i', '<Tab>', function() return '[expr]' end, { expr = true })]], 'a[expr]b')
    check([[vim.keymap.set('i', '<Tab>', function() vim.api.nvim_put({ '[lua]' }, 'c', false, true) end)]], 'a[lua]b')
    check([[vim.cmd('inoremap <expr> <Tab> "[vim]"')]], 'a[vim]b')
    check([[vim.cmd('imap <Tab> xyz'); vim.cmd('inoremap xyz [remapped]')]], 'a[remapped]b')
    check([[vim.cmd('inoremap <silent> <Tab> <C-R>="[register]"<CR>')]], 'a[register]b')
  end)

  test('a mapping of the buffer itself comes back when the server stops', function()
    child:open('own_mapping.txt', { '' })
    child:lua([[
      require('foretype').stop()
      vim.keymap.set('i', '<Tab>', '[own]', { buffer = true })
      require('foretype').start()
    ]])
    child:wait_attached()
    child:freeze()
    child:input('ia<Tab>b<Esc>')
    wait('the own mapping', function()
      return child:lines()[1] == 'a[own]b'
    end)
    child:lua([[require('foretype').stop()]])
    equal(child:lua([[return vim.fn.maparg('<Tab>', 'i')]]), '[own]')
    child:lua([[require('foretype').start()]])
  end)

  child:stop()
end
