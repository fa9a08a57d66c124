--- Ghost text by Neovim's own vim.lsp.inline_completion (0.12), with its accept of outdated items repaired.
--- See the help text for what it cannot do, and why it is not the default.

local compat = require('foretype.compat')
local server = require('foretype.server')
local suggestion = require('foretype.ghost.suggestion')

local M = {}

local namespace -- of the editor's own extmarks

---@return boolean
function M.is_visible()
  namespace = namespace or vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  if not namespace or vim.api.nvim_get_mode().mode:sub(1, 1) ~= 'i' then
    return false
  end
  return #vim.api.nvim_buf_get_extmarks(0, namespace, 0, -1, { limit = 1 }) > 0
end

--- Neovim keeps an item while the user types on and would replace only the item's old range by it, so that what was
--- typed since stays behind the inserted text. What was typed becomes part of the range here, or the item is refused.
---@param item table vim.lsp.inline_completion.Item
---@param part 'all'|'word'|'line'
---@return table? item to insert
local function repaired(item, part)
  local text = item.insert_text
  if type(text) ~= 'string' or not item.range then
    return part == 'all' and item or nil
  end
  local start_row, start_col, end_row, end_col = item.range:to_extmark()
  local position = vim.api.nvim_win_get_cursor(0)
  local row, col = position[1] - 1, position[2]
  if row ~= start_row or row ~= end_row or col < start_col then
    return nil
  end
  local line = vim.api.nvim_get_current_line()
  local typed = line:sub(start_col + 1, col)
  if #typed >= #text or not vim.startswith(text, typed) then
    return nil
  end
  local rest = text:sub(#typed + 1)
  local piece = part == 'word' and suggestion.first_word(rest) or part == 'line' and suggestion.first_line(rest) or rest
  item.range = vim.range.extmark(item.range.buf, start_row, start_col, row, math.max(col, end_col))
  if piece == rest then
    return item
  end
  local client = vim.lsp.get_client_by_id(item.client_id)
  if client and client.name == 'foretype' then
    local whole = { insertText = text, command = item.command }
    compat.notify(client, 'textDocument/didPartiallyAcceptCompletion', {
      item = whole,
      acceptedLength = compat.utf16_length(typed .. piece),
    })
  end
  item.insert_text = typed .. piece
  item.command = nil
  return item
end

---@param part 'all'|'word'|'line'
function M.accept(part)
  vim.lsp.inline_completion.get({
    on_accept = function(item)
      return repaired(item, part)
    end,
  })
end

--- Neovim has no dismiss; switching the feature off and on for the buffer forgets the item.
function M.dismiss()
  local buf = vim.api.nvim_get_current_buf()
  vim.lsp.inline_completion.enable(false, { bufnr = buf })
  vim.api.nvim_create_autocmd({ 'TextChangedI', 'InsertLeave' }, {
    buffer = buf,
    once = true,
    callback = function()
      vim.lsp.inline_completion.enable(true, { bufnr = buf })
    end,
  })
end

---@param step 1|-1
function M.cycle(step)
  vim.lsp.inline_completion.select({ count = step })
end

--- Neovim asks by itself 200 ms after a change; there is no call that asks at once.
function M.trigger()
  vim.api.nvim_exec_autocmds('CursorMovedI', { buffer = vim.api.nvim_get_current_buf(), modeline = false })
end

--- Follows a change of what is switched on.
function M.update()
  local buf = vim.api.nvim_get_current_buf()
  if server.client(buf) then
    vim.lsp.inline_completion.enable(require('foretype.buffers').is_enabled(buf), { bufnr = buf })
  end
end

function M.reset()
  M.update()
end

---@param group integer
function M.enable(group)
  vim.api.nvim_create_autocmd({ 'LspAttach', 'BufEnter' }, { group = group, callback = vim.schedule_wrap(M.update) })
end

return M
