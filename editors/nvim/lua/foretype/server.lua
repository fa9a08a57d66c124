--- Starts, stops and finds the language server `foretype serve`, one for each repository that is open.

local binary = require('foretype.binary')
local buffers = require('foretype.buffers')
local compat = require('foretype.compat')
local config = require('foretype.config')
local log = require('foretype.log')
local status = require('foretype.status')

local M = {}

local NAME = 'foretype'

local wanted = true -- false between :Foretype stop and :Foretype start
local stopping = {} ---@type table<integer, true> clients whose end is no news
local attached_as = {} ---@type table<integer, string> buffer → file type that the server was told

--- Vim's name → LSP language id, where they differ.
local language_ids = {
  bash = 'shellscript',
  cs = 'csharp',
  make = 'makefile',
  objc = 'objective-c',
  objcpp = 'objective-cpp',
  sh = 'shellscript',
  tex = 'latex',
  text = 'plaintext',
  zsh = 'shellscript',
}

---@return vim.lsp.Client[]
function M.clients()
  return vim.lsp.get_clients({ name = NAME })
end

--- The client of a buffer, once it has answered `initialize`.
---@param buf integer
---@return vim.lsp.Client?
function M.client(buf)
  return vim.lsp.get_clients({ bufnr = buf, name = NAME })[1]
end

---@param code integer
---@param signal integer
---@param client_id integer
local function on_exit(code, signal, client_id)
  vim.schedule(function()
    local expected = stopping[client_id] or vim.v.exiting ~= vim.NIL
    stopping[client_id] = nil
    status.set(client_id, nil)
    log.add(('server %d ended: exit code %d, signal %d'):format(client_id, code, signal))
    if not expected then
      log.tell(
        ('the server ended by itself (exit code %d, signal %d); :Foretype restart starts it again, :Foretype log says more'):format(
          code,
          signal
        ),
        vim.log.levels.ERROR
      )
    end
  end)
end

---@param client vim.lsp.Client
local function on_init(client)
  if not config.current.server.completion_menu then
    -- The same suggestions would come a second time through the completion menu, and each would cost a request.
    client.server_capabilities.completionProvider = nil
  end
end

local handlers = {
  ['foretype/status'] = status.on_notification,
  ['window/logMessage'] = function(_, params)
    log.add(params.message)
    return vim.NIL
  end,
  ['workspace/applyEdit'] = function(err, params, context)
    -- Generated code is one undo step of its own, whatever was typed just before.
    local buf = vim.api.nvim_get_current_buf()
    compat.break_undo(buf)
    local answer = vim.lsp.handlers['workspace/applyEdit'](err, params, context)
    if vim.api.nvim_get_mode().mode:sub(1, 1) == 'i' then
      vim.api.nvim_feedkeys(vim.keycode('<C-g>u'), 'n', false)
    else
      compat.break_undo(buf)
    end
    return answer
  end,
}

---@param command string[]
---@param root string
---@return vim.lsp.ClientConfig
local function client_config(command, root)
  local capabilities = vim.lsp.protocol.make_client_capabilities()
  capabilities.textDocument.inlineCompletion = { dynamicRegistration = false }
  local options = config.current.server
  -- An empty Lua table would be sent as a list.
  local settings = next(options.settings) and options.settings or vim.empty_dict()
  return {
    name = NAME,
    cmd = command,
    cmd_env = options.env,
    root_dir = root,
    workspace_folders = { { uri = vim.uri_from_fname(root), name = root } },
    capabilities = capabilities,
    init_options = settings,
    settings = { foretype = settings },
    handlers = handlers,
    on_init = on_init,
    on_exit = on_exit,
    get_language_id = function(_, filetype)
      return language_ids[filetype] or filetype
    end,
  }
end

--- A repository has a server of its own (its settings and its index are its own). Files outside of any repository
--- share a server that is there already, so that loading a model once is enough for them.
---@param root string?
local function may_reuse(root)
  return function(client, wanted_config)
    if client.name ~= NAME or stopping[client.id] or (client.is_stopped and client.is_stopped(client)) then
      return false
    end
    return root == nil or client.config.root_dir == wanted_config.root_dir
  end
end

--- Gives a buffer to its server, starting it if need be. Does nothing where that is done already.
---@param buf integer
function M.attach(buf)
  if not wanted or not buffers.is_eligible(buf) then
    return
  end
  local filetype = vim.bo[buf].filetype
  local client = M.client(buf)
  if client then
    if attached_as[buf] == filetype then
      return
    end
    vim.lsp.buf_detach_client(buf, client.id) -- the language changed: the server learns it by a new didOpen
  end
  local command, problem = binary.command()
  if not command then
    log.tell_once(('%s; %s. :checkhealth foretype says more'):format(problem, binary.hint), vim.log.levels.WARN)
    return
  end
  local root = vim.fs.root(buf, '.git')
  local directory = root or vim.fs.dirname(vim.api.nvim_buf_get_name(buf))
  attached_as[buf] = filetype
  vim.lsp.start(client_config(command, directory), { bufnr = buf, reuse_client = may_reuse(root) })
end

--- Attaches every loaded buffer that is eligible.
function M.attach_all()
  for _, buf in ipairs(vim.api.nvim_list_bufs()) do
    M.attach(buf)
  end
end

--- Starts the servers again after stop().
function M.start()
  wanted = true
  M.attach_all()
end

---@return boolean stopped whether every server has ended
local function stop_all()
  local clients = M.clients()
  for _, client in ipairs(clients) do
    stopping[client.id] = true
    compat.stop(client)
  end
  local function ended()
    for _, client in ipairs(clients) do
      if vim.lsp.get_client_by_id(client.id) then
        return false
      end
    end
    return true
  end
  if vim.wait(3000, ended, 20) then
    return true
  end
  for _, client in ipairs(clients) do
    compat.stop(client, true) -- it did not answer `shutdown` in time
  end
  return vim.wait(1000, ended, 20)
end

--- Stops the servers until start().
function M.stop()
  wanted = false
  return stop_all()
end

--- Ends every server and starts it anew with the current options.
function M.restart()
  wanted = true
  if not stop_all() then
    log.tell('a server did not end; a new one is started beside it', vim.log.levels.WARN)
  end
  M.attach_all()
end

return M
