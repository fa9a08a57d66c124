--- What differs between Neovim 0.10, 0.11 and 0.12, in one place.

local M = {}

local has_0_11 = vim.fn.has('nvim-0.11') == 1

M.has_native_inline_completion = vim.fn.has('nvim-0.12') == 1

--- Client functions became methods in 0.11.
---@param client vim.lsp.Client
---@param method string
local function call(client, method, ...)
  if has_0_11 then
    return client[method](client, ...)
  end
  return client[method](...)
end

---@param client vim.lsp.Client
---@param method string
---@param params any
---@param handler fun(err: table?, result: any)
---@param buf integer
---@return integer? id nil if the client has stopped
function M.request(client, method, params, handler, buf)
  local sent, id = call(client, 'request', method, params, handler, buf)
  return sent and id or nil
end

---@param client vim.lsp.Client
function M.notify(client, method, params)
  call(client, 'notify', method, params)
end

---@param client vim.lsp.Client
---@param id integer
function M.cancel(client, id)
  if not client.is_stopped or not call(client, 'is_stopped') then
    call(client, 'cancel_request', id)
  end
end

---@param client vim.lsp.Client
---@param force? boolean
function M.stop(client, force)
  call(client, 'stop', force)
end

--- Byte index (from 0) of an LSP character index within a line; past its end gives the end.
---@param line string
---@param encoding string the client's position encoding
---@param index integer
---@return integer
function M.byte_index(line, encoding, index)
  if encoding == 'utf-8' then
    return math.min(index, #line)
  end
  if has_0_11 then
    return vim.str_byteindex(line, encoding, index, false)
  end
  local ok, byte = pcall(vim.str_byteindex, line, index, encoding == 'utf-16')
  return ok and byte or #line
end

--- LSP character index of a byte index (from 0) within a line.
---@param line string
---@param encoding string
---@param byte integer
---@return integer
function M.character_index(line, encoding, byte)
  byte = math.min(byte, #line)
  if encoding == 'utf-8' then
    return byte
  end
  if has_0_11 then
    return vim.str_utfindex(line, encoding, byte, false)
  end
  local utf32, utf16 = vim.str_utfindex(line, byte)
  return encoding == 'utf-16' and utf16 or utf32
end

--- Length of a text in UTF-16 code units.
---@param text string
---@return integer
function M.utf16_length(text)
  return M.character_index(text, 'utf-16', #text)
end

--- Ends the current undo block of a buffer, so that what follows is undone on its own.
---@param buf integer
function M.break_undo(buf)
  vim.api.nvim_buf_call(buf, function()
    vim.cmd('let &g:undolevels = &g:undolevels')
  end)
end

return M
