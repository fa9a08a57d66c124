--- The plugin's own ghost text: asks while typing, draws, keeps what the user types along, inserts.
--- At most one request is of interest at any time; whatever it brings is tested against the buffer as it is by then.

local buffers = require('foretype.buffers')
local compat = require('foretype.compat')
local config = require('foretype.config')
local server = require('foretype.server')
local suggestion = require('foretype.ghost.suggestion')
local view = require('foretype.ghost.view')

local M = {}

local INVOKED, AUTOMATIC = 1, 2

local suggestions = {} ---@type foretype.Suggestion[] alternatives, all for one anchor
local index = 1
local request_in_flight ---@type { client: vim.lsp.Client, id: integer }?
local latest = 0 -- number of the newest request; answers to others are dropped
local timer = assert(vim.uv.new_timer())
local dismissed ---@type { buf: integer, tick: integer }? the text for which the user wants to see nothing

---@return integer buf, integer row, integer col
local function cursor()
  local position = vim.api.nvim_win_get_cursor(0)
  return vim.api.nvim_get_current_buf(), position[1] - 1, position[2]
end

---@param candidate foretype.Suggestion
---@return string?
local function remaining(candidate)
  local buf, row, col = cursor()
  if row < candidate.anchor.row then
    return nil
  end
  local lines = vim.api.nvim_buf_get_lines(buf, candidate.anchor.row, row + 1, false)
  return suggestion.remaining(candidate, buf, row, col, lines, vim.api.nvim_buf_line_count(buf))
end

---@return boolean
local function in_insert_mode()
  return vim.api.nvim_get_mode().mode:sub(1, 1) == 'i'
end

--- Something else is on the screen where ghost text would be.
---@param buf integer
---@return boolean
local function is_suppressed(buf)
  local options = config.current.ghost_text
  if options.hide_with_menu and vim.fn.pumvisible() == 1 then
    return true
  end
  return options.suppress and options.suppress(buf) == true or false
end

local function cancel_request()
  local request = request_in_flight
  request_in_flight = nil
  latest = latest + 1
  if request then
    compat.cancel(request.client, request.id)
  end
end

local function forget()
  view.clear()
  suggestions, index = {}, 1
end

--- Forgets everything, on the screen, in flight and planned.
function M.reset()
  timer:stop()
  cancel_request()
  forget()
end

--- Draws the current suggestion if it still fits.
---@return boolean drawn
local function draw()
  local current = suggestions[index]
  local rest = current and remaining(current)
  if not rest then
    view.clear()
    return false
  end
  local buf, row, col = cursor()
  view.draw(buf, row, col, rest, current.replaced, current.after)
  if not current.shown then
    current.shown = true
    local client = server.client(buf)
    if client then
      compat.notify(client, 'textDocument/didShowCompletion', { item = current.item })
    end
  end
  return true
end

--- Keeps those alternatives that still fit, the current one first of all.
---@return boolean any
local function keep_fitting()
  local current, fitting, new_index = suggestions[index], {}, 1
  for _, candidate in ipairs(suggestions) do
    if remaining(candidate) then
      fitting[#fitting + 1] = candidate
      if candidate == current then
        new_index = #fitting
      end
    end
  end
  suggestions, index = fitting, new_index
  return #fitting > 0
end

---@param found foretype.Suggestion[]
---@param text string
---@return boolean
local function has_text(found, text)
  for _, candidate in ipairs(found) do
    if candidate.text == text then
      return true
    end
  end
  return false
end

--- Asks the server. `on_answer` gets the suggestions that fit the buffer at the time of the answer.
---@param kind integer
---@param on_answer fun(found: foretype.Suggestion[])
local function ask(kind, on_answer)
  local buf, row, col = cursor()
  local client = server.client(buf)
  if not client then
    return
  end
  local line = vim.api.nvim_get_current_line()
  ---@type foretype.Anchor
  local anchor = { buf = buf, row = row, col = col, line = line, line_count = vim.api.nvim_buf_line_count(buf) }
  local encoding = client.offset_encoding or 'utf-16'
  local superseded = request_in_flight
  latest = latest + 1
  local number = latest
  local params = {
    textDocument = { uri = vim.uri_from_bufnr(buf) },
    position = { line = row, character = compat.character_index(line, encoding, col) },
    context = { triggerKind = kind },
  }
  local id = compat.request(client, 'textDocument/inlineCompletion', params, function(err, result)
    if number ~= latest then
      return
    end
    request_in_flight = nil
    if err or type(result) ~= 'table' or not in_insert_mode() or is_suppressed(buf) then
      return
    end
    local found = {}
    for _, item in ipairs(result.items or result) do
      local candidate = suggestion.new(item, anchor, encoding)
      if candidate and remaining(candidate) and not has_text(found, candidate.text) then
        found[#found + 1] = candidate
      end
    end
    on_answer(found)
  end, buf)
  request_in_flight = id and { client = client, id = id } or nil
  -- Cancelled only now: a server that is writing what the user types can carry its work over to the new request.
  if superseded then
    compat.cancel(superseded.client, superseded.id)
  end
end

local function ask_and_show(kind)
  ask(kind, function(found)
    suggestions, index = found, 1
    draw()
  end)
end

---@return boolean
local function may_ask_by_itself(buf)
  if not config.current.ghost_text.automatic or not buffers.is_enabled(buf) or not vim.bo[buf].modifiable then
    return false
  end
  if vim.fn.reg_executing() ~= '' then
    return false
  end
  return not dismissed or dismissed.buf ~= buf or dismissed.tick ~= vim.api.nvim_buf_get_changedtick(buf)
end

--- After every change of text or cursor in insert mode.
function M.update()
  if not in_insert_mode() then
    return
  end
  local buf = vim.api.nvim_get_current_buf()
  if is_suppressed(buf) then
    timer:stop()
    cancel_request()
    view.clear()
    return
  end
  if keep_fitting() then
    timer:stop()
    draw()
    return
  end
  forget()
  if not may_ask_by_itself(buf) or not server.client(buf) then
    timer:stop()
    cancel_request()
    return
  end
  timer:start(
    config.current.ghost_text.debounce_ms,
    0,
    vim.schedule_wrap(function()
      -- An answer that came in the meantime may fit what has been typed since it was asked for.
      if in_insert_mode() and vim.api.nvim_get_current_buf() == buf and not keep_fitting() then
        ask_and_show(AUTOMATIC)
      end
    end)
  )
end

---@return boolean
function M.is_visible()
  return suggestions[index] ~= nil and in_insert_mode() and not is_suppressed(0) and remaining(suggestions[index]) ~= nil
end

---@param current foretype.Suggestion
---@param buf integer
local function accepted_in_full(current, buf)
  M.reset()
  local client, command = server.client(buf), current.item.command
  if client and type(command) == 'table' then
    local params = { command = command.command, arguments = command.arguments }
    compat.request(client, 'workspace/executeCommand', params, function() end, buf)
  end
end

--- Inserts the suggestion, or its first word or line.
---@param part 'all'|'word'|'line'
function M.accept(part)
  local current = suggestions[index]
  local rest = current and remaining(current)
  if not rest then
    M.reset()
    return
  end
  local piece = rest
  if part == 'word' then
    piece = suggestion.first_word(rest)
  elseif part == 'line' then
    piece = suggestion.first_line(rest)
  end
  local buf, row, col = cursor()
  local in_full = #piece == #rest
  local lines = vim.split(piece, '\n', { plain = true })
  local end_col = in_full and col + #current.replaced or col
  vim.api.nvim_buf_set_text(buf, row, col, row, end_col, lines)
  vim.api.nvim_win_set_cursor(0, { row + #lines, (#lines == 1 and col or 0) + #lines[#lines] })
  if in_full then
    accepted_in_full(current, buf)
    return
  end
  local client = server.client(buf)
  if client then
    compat.notify(client, 'textDocument/didPartiallyAcceptCompletion', {
      item = current.item,
      acceptedLength = suggestion.accepted_length(current, rest:sub(#piece + 1)),
    })
  end
  draw()
end

--- Hides the suggestion until the text changes.
function M.dismiss()
  dismissed = { buf = vim.api.nvim_get_current_buf(), tick = vim.api.nvim_buf_get_changedtick(0) }
  M.reset()
end

--- Shows the suggestion `step` further. A server answers with one while the user types; the first time that another
--- is wanted it is asked for all it has.
---@param step 1|-1
function M.cycle(step)
  local function rotate()
    index = (index - 1 + step) % #suggestions + 1
    draw()
  end
  if #suggestions > 1 then
    rotate()
    return
  end
  ask(INVOKED, function(found)
    local current = suggestions[index]
    for _, candidate in ipairs(found) do
      if not (current and remaining(current) == remaining(candidate)) then
        suggestions[#suggestions + 1] = candidate
      end
    end
    if #suggestions > 0 then
      rotate()
    end
  end)
end

--- Asks now, whatever was dismissed or switched off.
function M.trigger()
  dismissed = nil
  timer:stop()
  forget()
  ask_and_show(INVOKED)
end

--- Installs the events.
---@param group integer
function M.enable(group)
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  -- At once, before the screen is drawn: otherwise old ghost text would be seen behind a new character.
  on({ 'TextChangedI', 'TextChangedP', 'CursorMovedI' }, M.update)
  -- Later: insert mode has not begun yet, and within CompleteChanged the text is locked.
  on({ 'InsertEnter', 'CompleteChanged', 'CompleteDone' }, vim.schedule_wrap(M.update))
  on({ 'InsertLeave', 'BufLeave', 'WinLeave' }, M.reset)
end

return M
