--- Options `buffers`: which buffers Foretype attaches to.

---@class foretype.BufferOptions
---@field exclude_filetypes string[]
---@field max_bytes integer larger files are left alone
---@field filter false|fun(buf: integer): boolean the user's own last word; true attaches

return {
  exclude_filetypes = { default = { 'gitrebase', 'netrw' }, check = 'table' },
  max_bytes = {
    default = 1024 * 1024,
    says = 'a positive number of bytes',
    check = function(value)
      return type(value) == 'number' and value > 0
    end,
  },
  filter = {
    default = false,
    says = 'false or a function',
    check = function(value)
      return value == false or type(value) == 'function'
    end,
  },
}
