-- A minimal test runner: each test prints one line; finish() prints the counts for the shell script and sets the exit code.

local M = {}

local passed, failed = 0, 0
local label = ''
local only = vim.env.FORETYPE_TEST_ONLY -- part of a name, to run single tests by hand

---@param text string
function M.set_label(text)
  label = text
end

---@param name string
---@param body fun()
function M.test(name, body)
  if only and not name:find(only, 1, true) then
    return
  end
  local started = vim.uv.hrtime()
  local ok, message = xpcall(body, function(err)
    return debug.traceback(tostring(err), 2)
  end)
  local seconds = (vim.uv.hrtime() - started) / 1e9
  if ok then
    passed = passed + 1
    io.stdout:write(('ok    %s: %s (%.1f s)\n'):format(label, name, seconds))
  else
    failed = failed + 1
    io.stdout:write(('FAIL  %s: %s (%.1f s)\n      %s\n'):format(label, name, seconds, (message:gsub('\n', '\n      '))))
  end
  io.stdout:flush()
end

---@param actual any
---@param expected any
---@param what? string
function M.equal(actual, expected, what)
  if not vim.deep_equal(actual, expected) then
    error(('%s: expected\n%s\ngot\n%s'):format(what or 'values differ', vim.inspect(expected), vim.inspect(actual)), 2)
  end
end

---@param condition any
---@param what string
function M.truthy(condition, what)
  if not condition then
    error(what, 2)
  end
end

--- Waits until `condition` gives something true and returns that.
---@param what string
---@param condition fun(): any
---@param timeout_ms? integer
---@return any
function M.wait(what, condition, timeout_ms)
  local value
  local done = vim.wait(timeout_ms or tonumber(vim.env.FORETYPE_TEST_TIMEOUT_MS) or 60000, function()
    value = condition()
    return value and true or false
  end, 20)
  if not done then
    error('timed out waiting for ' .. what, 2)
  end
  return value
end

function M.finish()
  io.stdout:write(('counts %d %d\n'):format(passed, failed))
  os.exit(failed == 0 and 0 or 1)
end

return M
