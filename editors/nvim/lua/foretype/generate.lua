--- Commands that the server carries out on a document: code from an instruction, and documentation.

local compat = require('foretype.compat')
local log = require('foretype.log')
local server = require('foretype.server')

local M = {}

local running ---@type { client: vim.lsp.Client, id: integer }?

---@param buf integer
---@param row integer from 0
---@param col integer bytes
---@return table position
local function position(buf, client, row, col)
  local line = vim.api.nvim_buf_get_lines(buf, row, row + 1, false)[1] or ''
  return { line = row, character = compat.character_index(line, client.offset_encoding or 'utf-16', col) }
end

---@param buf integer
---@return vim.lsp.Client?
local function client_or_complaint(buf)
  local client = server.client(buf)
  if not client then
    log.tell('no server for this buffer; :checkhealth foretype says why', vim.log.levels.WARN)
  end
  return client
end

---@param command string
---@param argument table
---@param what string for messages: what is being done
local function execute(client, buf, command, argument, what)
  if running then
    log.tell('something is being written already; :Foretype cancel stops it', vim.log.levels.WARN)
    return
  end
  vim.api.nvim_echo({ { 'Foretype: ' .. what .. ' …' } }, false, {})
  local request = { client = client }
  running = request
  request.id = compat.request(client, 'workspace/executeCommand', {
    command = command,
    arguments = { argument },
  }, function(err)
    if running ~= request then
      return
    end
    running = nil
    if err then
      log.tell(('%s failed: %s'):format(what, err.message or vim.inspect(err)), vim.log.levels.ERROR)
    else
      vim.api.nvim_echo({ { 'Foretype: ' .. what .. ' done' } }, false, {})
    end
  end, buf)
  if not request.id then
    running = nil
    log.tell('the server has stopped; :Foretype restart starts it again', vim.log.levels.ERROR)
  end
end

--- Where code goes without a range: at the cursor; in normal mode the last column means behind the last character.
---@return table range
local function range_at_cursor(buf, client)
  local cursor = vim.api.nvim_win_get_cursor(0)
  local row, col = cursor[1] - 1, cursor[2]
  local line = vim.api.nvim_get_current_line()
  local behind_cursor = col + #vim.fn.matchstr(line:sub(col + 1), '.')
  if vim.api.nvim_get_mode().mode:sub(1, 1) ~= 'i' and behind_cursor >= #line then
    col = #line
  end
  local here = position(buf, client, row, col)
  return { start = here, ['end'] = here }
end

--- The lines from `first` to `last`, or just the selection where that is what these lines came from.
---@param first integer from 1
---@param last integer
---@return table range
local function range_of_lines(buf, client, first, last)
  local start_col, end_col = 0, #(vim.api.nvim_buf_get_lines(buf, last - 1, last, false)[1] or '')
  local from, to = vim.fn.getpos("'<"), vim.fn.getpos("'>")
  if vim.fn.visualmode() == 'v' and from[2] == first and to[2] == last then
    local last_line = vim.api.nvim_buf_get_lines(buf, last - 1, last, false)[1] or ''
    start_col = from[3] - 1
    local before_end = math.min(to[3] - 1, #last_line)
    end_col = math.min(#last_line, before_end + math.max(1, #vim.fn.matchstr(last_line:sub(before_end + 1), '.')))
  end
  return {
    start = position(buf, client, first - 1, start_col),
    ['end'] = position(buf, client, last - 1, end_col),
  }
end

--- Writes code for an instruction at the cursor, or in place of lines.
---@param instruction string asked for where it is empty
---@param lines? { first: integer, last: integer } from 1
function M.generate(instruction, lines)
  local buf = vim.api.nvim_get_current_buf()
  local client = client_or_complaint(buf)
  if not client then
    return
  end
  local range = lines and range_of_lines(buf, client, lines.first, lines.last) or range_at_cursor(buf, client)
  local function run(text)
    if not text or vim.trim(text) == '' then
      return
    end
    local argument = { uri = vim.uri_from_bufnr(buf), instruction = text, range = range }
    execute(client, buf, 'foretype.generate', argument, 'writing code')
  end
  if vim.trim(instruction) ~= '' then
    run(instruction)
  else
    vim.ui.input({ prompt = 'Foretype, what shall be written? ' }, run)
  end
end

--- Writes a documentation comment for the function at the cursor.
function M.document()
  local buf = vim.api.nvim_get_current_buf()
  local client = client_or_complaint(buf)
  if not client then
    return
  end
  local cursor = vim.api.nvim_win_get_cursor(0)
  local argument = { uri = vim.uri_from_bufnr(buf), position = position(buf, client, cursor[1] - 1, cursor[2]) }
  execute(client, buf, 'foretype.document', argument, 'writing documentation')
end

--- Stops what generate() or document() started.
function M.cancel()
  local request = running
  running = nil
  if request and request.id then
    compat.cancel(request.client, request.id)
    log.tell('stopped writing')
  end
end

return M
