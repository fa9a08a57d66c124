-- What is shown, when it goes away, and that the screen before an accept is the buffer after it.

return function(fixture)
  local harness = fixture.harness
  local test, equal, wait, truthy = harness.test, harness.equal, harness.wait, harness.truthy
  local child = fixture.child(fixture.options())

  test('typed text is followed by ghost text; <Tab> takes it; the saved file is what was seen', function()
    local path = child:open('accept.py', fixture.pattern)
    child:lua('vim.bo.autoindent, vim.bo.indentexpr = false, ""')
    child:input('o')
    child:type(fixture.typed, 15)
    child:wait_ghost()
    child:freeze()
    child:wait_quiet()
    local seen = child:wait_ghost()
    equal(child:lines()[#fixture.pattern + 1], fixture.typed, 'the buffer has only what was typed')
    child:input('<Tab>')
    wait('the inserted text', function()
      return child:lines()[#fixture.pattern + 1] ~= fixture.typed
    end)
    equal(child:plain_view(), seen, 'inserted and shown')
    equal(child:view(), seen, 'screen after and before')
    child:input('<Esc>:write<CR>')
    wait('the saved file', function()
      return vim.deep_equal(vim.fn.readfile(path), child:lines())
    end)
  end)

  test('the cursor is behind the inserted text, which is an undo step of its own', function()
    fixture.with_ghost(child, 'undo.py')
    child:input('<Tab>')
    wait('the inserted text', function()
      return not child:has_ghost()
    end)
    local accepted = child:lines()
    local cursor = child:request('nvim_win_get_cursor', 0)
    equal(cursor, { #accepted, #accepted[#accepted] }, 'cursor')
    child:input('zz<Esc>')
    local typed_on = vim.list_slice(accepted)
    typed_on[#typed_on] = typed_on[#typed_on] .. 'zz'
    equal(child:lines(), typed_on, 'typed after the accept')
    child:input('u')
    equal(child:lines(), accepted, 'first undo takes what was typed afterwards')
    child:input('u')
    local before = vim.list_extend(vim.list_slice(fixture.pattern), { fixture.typed })
    equal(child:lines(), before, 'second undo takes the accepted text')
    child:input('u')
    equal(child:lines(), fixture.pattern, 'third undo takes what was typed before')
    child:input('<C-r><C-r><C-r>')
    equal(child:lines(), typed_on, 'redo brings all back')
  end)

  test('typing what is shown keeps it on the screen without a new request', function()
    local seen = fixture.with_ghost(child, 'through.py')
    child:lua('vim.b.foretype = nil')
    local sent = child:lua('return _G.requests.sent')
    local row = #fixture.pattern + 1
    local ghost = seen[row]:sub(#fixture.typed + 1)
    for index = 1, math.min(3, vim.fn.strchars(ghost) - 1) do
      local key = vim.fn.strcharpart(ghost, index - 1, 1)
      child:input(key == '<' and '<lt>' or key)
      wait('the key', function()
        return child:lines()[row] == fixture.typed .. vim.fn.strcharpart(ghost, 0, index)
      end)
      equal(child:view(), seen, 'after ' .. key)
    end
    equal(child:lua('return _G.requests.sent'), sent, 'requests')
  end)

  test('typing something else takes it off the screen at once', function()
    fixture.with_ghost(child, 'mismatch.py')
    child:input('~')
    equal(child:view(), child:plain_view())
    equal(child:lines()[#fixture.pattern + 1], fixture.typed .. '~')
  end)

  test('keys that outrun the screen never insert a stale suggestion', function()
    fixture.with_ghost(child, 'stale.py')
    child:lua('vim.bo.expandtab, vim.bo.softtabstop = false, 0')
    child:input('~<Tab>') -- one batch: no event runs between the two keys
    wait('both keys', function()
      return child:lines()[#fixture.pattern + 1] == fixture.typed .. '~\t'
    end)
    equal(#child:lines(), #fixture.pattern + 1)
  end)

  test('a key typed along and <Tab> in one batch give exactly what was shown', function()
    local seen = fixture.with_ghost(child, 'batch.py')
    local key = vim.fn.strcharpart(seen[#fixture.pattern + 1]:sub(#fixture.typed + 1), 0, 1)
    child:input((key == '<' and '<lt>' or key) .. '<Tab>')
    wait('the inserted text', function()
      return not child:has_ghost()
    end)
    equal(child:plain_view(), seen)
  end)

  test('typing right after <Tab> goes behind the inserted text', function()
    local seen = fixture.with_ghost(child, 'after.py')
    child:input('<Tab>Z')
    wait('both', function()
      return not child:has_ghost() and child:plain_view()[#seen] == seen[#seen] .. 'Z'
    end)
  end)

  test('fast typing: each request is settled, nothing stale stays', function()
    child:open('fast.py', fixture.pattern)
    child:lua('vim.bo.autoindent, vim.bo.indentexpr = false, ""')
    child:input('o')
    child:type('    assert convert("three", 3) == ', 25)
    child:wait_quiet()
    local line = child:lines()[#fixture.pattern + 1]
    equal(line, '    assert convert("three", 3) == ')
    truthy(vim.startswith(child:view()[#fixture.pattern + 1], (line:gsub('%s+$', ''))), 'typed text on the screen')
  end)

  test('leaving insert mode takes it off the screen and cancels what is in flight', function()
    fixture.with_ghost(child, 'leave.py')
    child:input('<Esc>')
    equal(child:view(), child:plain_view())
    child:lua('vim.b.foretype = nil')
    local before = child:lua('return _G.requests')
    child:input('A~')
    wait('a request', function()
      return child:lua('return _G.requests.sent') > before.sent
    end)
    child:input('<Esc>')
    child:wait_quiet()
    equal(child:view(), child:plain_view())
  end)

  test('in the middle of a line, behind characters of several bytes', function()
    child:open('middle.py', {
      'greeting = wrap("größe 😀 one", 1)',
      'greeting = wrap("größe 😀 two", 2)',
      'greeting = wrap("größe 😀 three", 3)',
      'greeting = )',
    })
    child:input('i')
    child:type('wrap("größe 😀 t', 15)
    child:wait_ghost()
    child:freeze()
    child:wait_quiet()
    local seen = child:wait_ghost()
    child:input('<Tab>')
    wait('the inserted text', function()
      return not child:has_ghost()
    end)
    equal(child:plain_view(), seen)
    truthy(child:lines()[4]:find('greeting = wrap("größe 😀 t', 1, true), child:lines()[4])
    child:wait_quiet()
    equal(
      child:lua([[
        local client = vim.lsp.get_clients({ bufnr = 0, name = 'foretype' })[1]
        local text
        require('foretype.compat').request(client, 'foretype/viewFileText', { uri = vim.uri_from_bufnr(0) }, function(_, result) text = result end, 0)
        vim.wait(5000, function() return text end, 10)
        return text
      ]]),
      table.concat(child:lines(), '\n') .. '\n',
      'the text that the server has'
    )
  end)

  test('hidden while the completion menu is open', function()
    local seen = fixture.with_ghost(child, 'menu.py')
    child:lua([[vim.o.completeopt = 'menu,menuone,noinsert']])
    child:input('<C-x><C-n>')
    wait('the menu', function()
      return child:lua('return vim.fn.pumvisible() == 1')
    end)
    truthy(not child:lua([[return require('foretype').is_visible()]]), 'visible beside the menu')
    child:input('<C-e>')
    wait('ghost text again', function()
      return vim.deep_equal(child:view(), seen)
    end)
  end)

  test('the server is told what was shown, what was taken in part and what was taken in full', function()
    child:wait_attached()
    child:lua([[
      local told = {}
      local client = vim.lsp.get_clients({ name = 'foretype' })[1]
      local rpc_notify = client.rpc.notify
      client.rpc.notify = function(method, params) table.insert(told, method) return rpc_notify(method, params) end
      _G.told = told
      _G.requests.commands = 0
    ]])
    fixture.with_ghost(child, 'told.py')
    local told = child:lua('return _G.told')
    truthy(vim.tbl_contains(told, 'textDocument/didShowCompletion'), vim.inspect(told))
    child:input('<M-Right>')
    wait('the word', function()
      return vim.tbl_contains(child:lua('return _G.told'), 'textDocument/didPartiallyAcceptCompletion')
    end)
    equal(child:lua('return _G.requests.commands'), 0, 'commands before the whole is taken')
    child:input('<Tab>')
    wait('the command of the item', function()
      return child:lua('return _G.requests.commands') == 1
    end)
  end)

  child:stop()
end
