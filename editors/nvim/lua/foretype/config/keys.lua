--- Options `keys`: insert-mode keys, each a key, a list of keys, or false for none.

---@class foretype.KeyOptions
---@field accept false|string|string[] take the whole suggestion
---@field accept_word false|string|string[] take its next word
---@field accept_line false|string|string[] take its next line
---@field dismiss false|string|string[] hide it until the text changes
---@field next false|string|string[] show another suggestion
---@field previous false|string|string[] show the one before
---@field trigger false|string|string[] ask now

local function is_key(value)
  if value == false or type(value) == 'string' then
    return true
  end
  if type(value) ~= 'table' then
    return false
  end
  for _, key in ipairs(value) do
    if type(key) ~= 'string' then
      return false
    end
  end
  return true
end

---@param default string|string[]
---@return foretype.Field
local function key(default)
  return { default = default, check = is_key, says = 'a key such as "<Tab>", a list of keys, or false' }
end

return {
  accept = key('<Tab>'),
  accept_word = key({ '<M-Right>', '<C-Right>' }),
  accept_line = key('<M-l>'),
  dismiss = key('<C-]>'),
  next = key('<M-]>'),
  previous = key('<M-[>'),
  trigger = key('<M-Bslash>'),
}
