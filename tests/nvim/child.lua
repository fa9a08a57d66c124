-- A Neovim under test: a child process driven over RPC, whose screen is read cell by cell.

local harness = require('harness')

local M = {}
M.__index = M

local END_OF_BUFFER = '▒'

---@param options { nvim: string, init: string, directory: string, file: string, env?: table<string, string> }
function M.start(options)
  local self = setmetatable({ directory = options.directory, errors = {} }, M)
  local function private(name)
    local path = vim.fs.joinpath(options.directory, '.private', name)
    vim.fn.mkdir(path, 'p')
    return path
  end
  local env = vim.tbl_extend('force', {
    XDG_CONFIG_HOME = private('config'),
    XDG_DATA_HOME = private('data'),
    XDG_STATE_HOME = private('state'),
    NVIM_APPNAME = 'nvim',
  }, options.env or {})
  self.job = vim.fn.jobstart(
    { options.nvim, '--embed', '--headless', '-n', '-i', 'NONE', '-u', options.init, options.file },
    {
      rpc = true,
      cwd = options.directory,
      env = env,
      on_stderr = function(_, data)
        vim.list_extend(self.errors, data)
      end,
    }
  )
  assert(self.job > 0, 'cannot start ' .. options.nvim)
  self.pid = vim.fn.jobpid(self.job)
  self:lua(
    [[
    vim.o.columns, vim.o.lines = 200, 50
    vim.o.laststatus, vim.o.showmode, vim.o.ruler, vim.o.wrap, vim.o.swapfile = 0, false, false, false, false
    vim.opt.fillchars = { eob = ... }
    vim.opt.shortmess:append('I')
    _G.requests = { sent = 0, cancelled = 0, waiting = 0, commands = 0 }
    vim.api.nvim_create_autocmd('LspRequest', { callback = function(event)
      local request = event.data.request
      if request.method == 'workspace/executeCommand' and request.type == 'pending' then
        _G.requests.commands = _G.requests.commands + 1
      end
      if request.method ~= 'textDocument/inlineCompletion' then return end
      local count = _G.requests
      if request.type == 'pending' then count.sent, count.waiting = count.sent + 1, count.waiting + 1 end
      if request.type == 'cancel' then count.cancelled = count.cancelled + 1 end
      if request.type == 'complete' then count.waiting = count.waiting - 1 end
    end })
    _G.notifications = {}
    vim.notify = function(text) table.insert(_G.notifications, text) end
    ]],
    END_OF_BUFFER
  )
  return self
end

function M:request(...)
  return vim.rpcrequest(self.job, ...)
end

---@param code string
function M:lua(code, ...)
  return self:request('nvim_exec_lua', code, { ... })
end

---@param keys string
function M:input(keys)
  self:request('nvim_input', keys)
end

--- Keys one by one, each with a pause, as a person types.
---@param keys string
---@param pause_ms integer
function M:type(keys, pause_ms)
  for _, key in ipairs(vim.fn.split(keys, '\\zs')) do
    self:input(key == '<' and '<lt>' or key)
    vim.wait(pause_ms)
  end
end

---@return string[]
function M:lines()
  return self:request('nvim_buf_get_lines', 0, 0, -1, false)
end

---@return string
function M:mode()
  return self:request('nvim_get_mode').mode
end

--- The text rows of the screen as a person sees them, ghost text and all, without blanks at the ends.
---@return string[]
function M:view()
  return self:lua(
    [[
    vim.cmd.redraw()
    local rows = {}
    for row = 1, vim.o.lines - vim.o.cmdheight do
      local cells = {}
      for column = 1, vim.o.columns do
        cells[column] = vim.fn.screenstring(row, column)
      end
      local text = table.concat(cells):gsub('%s+$', '')
      if text == ... then break end
      rows[row] = text
    end
    return rows
    ]],
    END_OF_BUFFER
  )
end

--- The lines of the buffer as the screen would show them without ghost text.
---@return string[]
function M:plain_view()
  return vim.tbl_map(function(line)
    return (line:gsub('\t', '        '):gsub('%s+$', ''))
  end, self:lines())
end

---@return boolean
function M:has_ghost()
  return not vim.deep_equal(self:view(), self:plain_view())
end

--- Waits until ghost text is on the screen and gives the screen's text rows.
---@return string[]
function M:wait_ghost()
  harness.wait('ghost text', function()
    return self:has_ghost()
  end)
  return self:view()
end

--- Waits until nothing is asked any more.
function M:wait_quiet()
  local since
  harness.wait('no request in flight', function()
    if self:lua('return _G.requests.waiting') > 0 then
      since = nil
      return false
    end
    since = since or vim.uv.now()
    return vim.uv.now() - since > 150
  end)
end

--- No further requests by themselves; what is on the screen stays. Makes what follows independent of timing.
function M:freeze()
  self:lua('vim.b.foretype = false')
end

---@param name string
---@param lines string[]
---@return string path
function M:write_file(name, lines)
  local path = vim.fs.joinpath(self.directory, name)
  vim.fn.mkdir(vim.fs.dirname(path), 'p')
  vim.fn.writefile(lines, path)
  return path
end

--- Waits until the server has taken the current buffer.
function M:wait_attached()
  harness.wait('the server', function()
    return self:lua([[return #vim.lsp.get_clients({ bufnr = 0, name = 'foretype' }) > 0]])
  end)
end

--- Opens a fresh file in normal mode with the cursor at the end of its last line.
---@param name string
---@param lines string[]
---@return string path
function M:open(name, lines)
  local path = self:write_file(name, lines)
  self:request('nvim_command', 'stopinsert')
  self:request('nvim_command', 'edit! ' .. path)
  self:wait_attached()
  self:input('G$')
  return path
end

---@return integer[]
function M:server_pids()
  return self:lua('return vim.api.nvim_get_proc_children(vim.fn.getpid())')
end

function M:stop()
  vim.fn.jobstop(self.job)
  vim.fn.jobwait({ self.job }, 5000)
end

---@param pid integer
---@return boolean
function M.is_alive(pid)
  local file = io.open(('/proc/%d/stat'):format(pid))
  if not file then
    return false
  end
  local state = file:read('*a'):match('%) (%a)')
  file:close()
  return state ~= 'Z'
end

return M
