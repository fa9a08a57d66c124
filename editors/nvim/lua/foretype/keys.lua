--- Insert-mode keys of attached buffers: they act while ghost text is on the screen, else do what they did before.

local config = require('foretype.config')
local ghost = require('foretype.ghost')

local M = {}

--- What each key does; false where there is nothing for it to do.
---@type table<string, fun(): boolean>
local actions = {
  accept = function()
    return ghost.accept('all')
  end,
  accept_word = function()
    return ghost.accept('word')
  end,
  accept_line = function()
    return ghost.accept('line')
  end,
  dismiss = function()
    return ghost.dismiss()
  end,
  next = function()
    return ghost.cycle(1)
  end,
  previous = function()
    return ghost.cycle(-1)
  end,
  trigger = function()
    return ghost.trigger()
  end,
}

local mapped = {} ---@type table<integer, table<string, table>> buffer → key → the buffer's mapping before ours

local function normalized(key)
  return vim.fn.keytrans(vim.keycode(key))
end

--- The mapping that the key had: the buffer's own, else the global one as it is now (plugins map late).
---@param buf integer
---@param key string
---@return table?
local function mapping_before(buf, key)
  local own = mapped[buf] and mapped[buf][key]
  if own and next(own) then
    return own
  end
  local wanted = normalized(key)
  for _, mapping in ipairs(vim.api.nvim_get_keymap('i')) do
    if normalized(mapping.lhs) == wanted then
      return mapping
    end
  end
end

--- Feeds the right-hand side of a mapping as if the key had been typed where that mapping alone existed.
---@param mapping table
---@param keys string
local function feed(mapping, keys)
  -- As Vim does: a right-hand side that starts with the key itself is not mapped again.
  local again = mapping.noremap ~= 1 and not vim.startswith(keys, vim.keycode(mapping.lhs))
  vim.api.nvim_feedkeys(keys, again and 'im' or 'in', false)
end

---@param buf integer
---@param key string
local function do_as_before(buf, key)
  local mapping = mapping_before(buf, key)
  if not mapping then
    vim.api.nvim_feedkeys(vim.keycode(key), 'in', false)
  elseif mapping.expr ~= 1 and mapping.callback then
    mapping.callback()
  elseif mapping.expr ~= 1 then
    local rhs = (mapping.rhs or ''):gsub('<SID>', ('<SNR>%d_'):format(mapping.sid or 0))
    feed(mapping, vim.keycode(rhs))
  elseif mapping.callback then
    local keys = mapping.callback()
    if type(keys) == 'string' then
      feed(mapping, mapping.replace_keycodes == 1 and vim.keycode(keys) or keys)
    end
  else
    feed(mapping, tostring(vim.api.nvim_eval(mapping.rhs)))
  end
end

---@param keys false|string|string[]
---@return string[]
local function list(keys)
  if not keys then
    return {}
  end
  return type(keys) == 'table' and keys or { keys }
end

---@param buf integer
function M.map(buf)
  if mapped[buf] then
    return
  end
  mapped[buf] = {}
  for name, action in pairs(actions) do
    for _, key in ipairs(list(config.current.keys[name])) do
      local before = vim.api.nvim_buf_call(buf, function()
        return vim.fn.maparg(key, 'i', false, true)
      end)
      mapped[buf][key] = before.buffer == 1 and before or {}
      -- Not an expression mapping: those are evaluated while Vim peeks at what follows a typed character, before that
      -- character is in the buffer, and would then decide on outdated text.
      vim.keymap.set('i', key, function()
        if not action() then
          do_as_before(buf, key)
        end
      end, { buffer = buf, desc = 'Foretype: ' .. name:gsub('_', ' ') })
    end
  end
end

---@param buf integer
function M.unmap(buf)
  for key, before in pairs(mapped[buf] or {}) do
    if vim.api.nvim_buf_is_valid(buf) then
      pcall(vim.keymap.del, 'i', key, { buffer = buf })
      if next(before) then
        vim.api.nvim_buf_call(buf, function()
          vim.fn.mapset('i', false, before)
        end)
      end
    end
  end
  mapped[buf] = nil
end

--- Every buffer loses its keys; before the options change.
function M.unmap_all()
  for _, buf in ipairs(vim.tbl_keys(mapped)) do
    M.unmap(buf)
  end
end

return M
