-- When a server starts, for which buffers, and that none is left behind.

return function(fixture)
  local harness = fixture.harness
  local test, equal, wait, truthy = harness.test, harness.equal, harness.wait, harness.truthy
  local Child = fixture.Child

  local function path_with_foretype()
    local bin = vim.fs.joinpath(fixture.directory(), 'bin')
    vim.fn.mkdir(bin, 'p')
    assert(vim.uv.fs_symlink(fixture.foretype, vim.fs.joinpath(bin, 'foretype')))
    return bin .. ':' .. vim.env.PATH
  end

  test('without setup(): `foretype` on PATH is started, and nothing is left after quitting', function()
    local child = fixture.child(false, { PATH = path_with_foretype() })
    child:wait_attached()
    local servers = child:server_pids()
    equal(#servers, 1)
    vim.wait(500)
    local messages = child:lua([[return vim.fn.execute('messages')]])
    truthy(not messages:find('LSP[foretype]', 1, true), messages) -- nothing to complain of
    vim.fn.rpcnotify(child.job, 'nvim_command', 'quitall!')
    wait('the end of Neovim', function()
      return not Child.is_alive(child.pid)
    end, 5000)
    wait('the end of the server', function()
      return not Child.is_alive(servers[1])
    end, 5000)
  end)

  test('a Neovim that is killed leaves no server behind', function()
    local child = fixture.child(fixture.options())
    child:wait_attached()
    local servers = child:server_pids()
    vim.uv.kill(child.pid, 'sigkill')
    wait('the end of the server', function()
      return not Child.is_alive(servers[1])
    end, 10000)
    child:stop()
  end)

  test('a program that is missing is named once, with a hint', function()
    local child = fixture.child([[{ server = { cmd = '/nowhere/foretype' } }]])
    child:request('nvim_command', 'edit second.py')
    child:request('nvim_command', 'edit third.py')
    local notifications = wait('the message', function()
      local all = child:lua('return _G.notifications')
      return #all > 0 and all
    end)
    vim.wait(200)
    notifications = child:lua('return _G.notifications')
    equal(#notifications, 1)
    truthy(notifications[1]:find('/nowhere/foretype', 1, true), notifications[1])
    truthy(notifications[1]:find('cargo install', 1, true), notifications[1])
    child:input('ia<Tab>b')
    wait('typed text', function()
      return child:lines()[1]:find('^a%s+b$')
    end)
    child:stop()
  end)

  test('a wrong option is named, and the rest works', function()
    local child = fixture.child(fixture.options('ghost_text = { debounce = 3 }'))
    child:wait_attached()
    local notifications = child:lua('return _G.notifications')
    -- The message may come before the test's own vim.notify is there; the log has it in any case.
    child:request('nvim_command', 'Foretype log')
    local text = table.concat(child:lines(), '\n') .. table.concat(notifications, '\n')
    truthy(text:find('ghost_text.debounce` is unknown', 1, true), text)
    child:stop()
  end)

  test('setup() again: new keys and settings take effect, the server is started anew for its own', function()
    local child = fixture.child(fixture.options())
    child:wait_attached()
    local server = child:server_pids()
    child:lua('require("foretype").setup(' .. fixture.options('keys = { accept = "<C-y>" }') .. ')')
    equal(child:server_pids(), server, 'the same server for other keys')
    truthy(child:lua([[return vim.fn.maparg('<Tab>', 'i', false, true).buffer]]) ~= 1, '<Tab> is still mapped')
    equal(child:lua([[return vim.fn.maparg('<C-y>', 'i', false, true).buffer]]), 1)
    child:lua(('require("foretype").setup({ server = { cmd = %q, env = { A = "1" } } })'):format(fixture.foretype))
    child:wait_attached()
    truthy(child:server_pids()[1] ~= server[1], 'the same server for other server options')
    child:stop()
  end)

  test('normal files only: no special buffers, excluded file types, unnamed or large ones', function()
    local child = fixture.child(fixture.options('buffers = { exclude_filetypes = { "dosini" }, max_bytes = 1000 }'))
    child:wait_attached()
    local function is_attached_after(command, expected)
      child:request('nvim_command', command)
      if expected then
        child:wait_attached()
      else
        vim.wait(150)
      end
      return child:lua([[return #vim.lsp.get_clients({ bufnr = 0, name = 'foretype' }) > 0]])
    end
    child:write_file('large.py', { ('x'):rep(2000) })
    child:write_file('text.unknown', { 'hello' })
    child:write_file('notes.ini', { '[notes]' })
    equal(is_attached_after('enew', false), false, 'unnamed')
    equal(is_attached_after('enew | setlocal buftype=nofile | file scratch.py', false), false, 'special')
    equal(is_attached_after('edit large.py', false), false, 'large')
    equal(is_attached_after('edit notes.ini', false), false, 'excluded file type')
    equal(is_attached_after('edit text.unknown', true), true, 'a file of no known type')
    equal(is_attached_after('edit new.py', true), true, 'a file that does not exist yet')
    equal(is_attached_after('enew | file named.py', true), true, 'an unnamed buffer that gets a name')
    equal(#child:server_pids(), 1, 'servers')
    child:stop()
  end)

  test('one server for one repository, and files outside share it', function()
    local child = fixture.child(fixture.options())
    child:wait_attached()
    local loose = vim.fn.tempname()
    vim.fn.mkdir(loose, 'p')
    vim.fn.writefile({ 'x = 1' }, loose .. '/loose.py')
    child:request('nvim_command', 'edit ' .. loose .. '/loose.py')
    child:wait_attached()
    equal(#child:server_pids(), 1)
    child:open('src/inner.py', { 'y = 2' })
    equal(#child:server_pids(), 1)
    local other = fixture.directory()
    vim.fn.writefile({ 'z = 3' }, other .. '/other.py')
    child:request('nvim_command', 'edit ' .. other .. '/other.py')
    child:wait_attached()
    equal(#child:server_pids(), 2)
    child:stop()
    vim.fn.delete(loose, 'rf')
  end)

  test('a file type that is set later reaches the server', function()
    local child = fixture.child(fixture.options())
    child:wait_attached()
    child:open('script', { 'x = 1' })
    child:lua([[
      _G.opened = {}
      local client = vim.lsp.get_clients({ bufnr = 0, name = 'foretype' })[1]
      local notify = client.rpc.notify
      client.rpc.notify = function(method, params)
        if method == 'textDocument/didOpen' then table.insert(_G.opened, params.textDocument.languageId) end
        return notify(method, params)
      end
      vim.bo.filetype = 'sh'
    ]])
    wait('the new language', function()
      return vim.deep_equal(child:lua('return _G.opened'), { 'shellscript' })
    end)
    child:stop()
  end)
end
