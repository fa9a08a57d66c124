-- ghost_text.backend = 'native': Neovim 0.12's own inline completion, with the stale accept repaired.

return function(fixture)
  if vim.fn.has('nvim-0.12') == 0 then
    return
  end
  local harness = fixture.harness
  local test, equal, wait = harness.test, harness.equal, harness.wait
  local row = #fixture.pattern + 1

  test('switched on for other servers, Neovim does not show ours twice', function()
    local child = fixture.child(fixture.options())
    child:lua('vim.lsp.inline_completion.enable(true)')
    fixture.with_ghost(child, 'twice.py')
    vim.wait(400)
    local namespace = child:lua([[return vim.api.nvim_create_namespace('nvim.lsp.inline_completion')]])
    equal(child:request('nvim_buf_get_extmarks', 0, namespace, 0, -1, {}), {})
    child:stop()
  end)

  local child = fixture.child(fixture.options([[ghost_text = { backend = 'native' }]]))

  local function native_ghost(name)
    child:open(name, fixture.pattern)
    child:lua('vim.bo.autoindent, vim.bo.indentexpr = false, ""')
    child:input('o' .. fixture.typed)
    child:wait_ghost()
    child:wait_quiet()
    return child:wait_ghost()
  end

  test('native: shown, taken, undone', function()
    local seen = native_ghost('native.py')
    child:input('<Tab>')
    wait('the inserted text', function()
      return child:lines()[row] ~= fixture.typed
    end)
    equal(child:plain_view(), seen)
    child:input('<Esc>u')
    wait('the undo', function()
      return child:lines()[row] == fixture.typed
    end)
  end)

  test('native: typed along within its 200 ms, then <Tab>: nothing is doubled', function()
    local seen = native_ghost('native_stale.py')
    local key = vim.fn.strcharpart(seen[row]:sub(#fixture.typed + 1), 0, 1)
    child:input((key == '<' and '<lt>' or key) .. '<Tab>')
    wait('the inserted text', function()
      return child:lines()[row] ~= fixture.typed .. key and child:lines()[row] ~= fixture.typed
    end)
    equal(child:plain_view(), seen)
  end)

  test('native: something else typed, then <Tab>: the outdated item is refused', function()
    native_ghost('native_mismatch.py')
    child:input('~<Tab>')
    vim.wait(100)
    equal(child:lines()[row]:sub(1, #fixture.typed + 1), fixture.typed .. '~')
    equal(#child:lines(), row)
    equal(child:lines()[row]:find('[%w]', #fixture.typed + 2), nil, 'text of the outdated item')
  end)

  child:stop()
end
