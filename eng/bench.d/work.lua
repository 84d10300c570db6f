-- What eng/bench recorder has Lua do: allocation and collection, strings, tables, closures, numbers, each in rounds of its own.
local rounds = tonumber(arg[1])

local function tree(depth) return depth == 0 and {} or {tree(depth - 1), tree(depth - 1)} end
local function count(node) return node[1] and 1 + count(node[1]) + count(node[2]) or 1 end

local function queens(n)
  local rows, up, down, found = {}, {}, {}, 0
  local function place(column)
    if column > n then found = found + 1 return end
    for row = 1, n do
      if not rows[row] and not up[row + column] and not down[row - column] then
        rows[row], up[row + column], down[row - column] = true, true, true
        place(column + 1)
        rows[row], up[row + column], down[row - column] = nil, nil, nil
      end
    end
  end
  place(1)
  return found
end

local function words(n)
  local seen, order = {}, {}
  for i = 1, n do
    local word = ("w%x"):format(i * 2654435761 % 4099)
    if not seen[word] then order[#order + 1] = word end
    seen[word] = (seen[word] or 0) + 1
  end
  table.sort(order, function(a, b) return seen[a] > seen[b] or seen[a] == seen[b] and a < b end)
  return table.concat(order, " "):gsub("w(%x)(%x*)", "%2%1"):upper():len()
end

local function life(size, steps)
  local cells = {}
  for i = 0, size * size - 1 do cells[i] = (i * 7919) % 3 == 0 and 1 or 0 end
  for _ = 1, steps do
    local after = {}
    for i = 0, size * size - 1 do
      local around = 0
      for _, step in ipairs {-size - 1, -size, -size + 1, -1, 1, size - 1, size, size + 1} do around = around + (cells[(i + step) % (size * size)]) end
      after[i] = (around == 3 or around == 2 and cells[i] == 1) and 1 or 0
    end
    cells = after
  end
  return cells[0]
end

local sum = 0
for round = 1, rounds do
  sum = sum + count(tree(15)) + queens(8) + words(60000) + life(64, 12)
  local accounts = {}
  for i = 1, 2000 do
    local balance = i
    accounts[i] = setmetatable({}, {__index = function(_, key) return key == "balance" and balance or nil end, __call = function(_, by) balance = balance + by end})
  end
  for step = 1, 20 do for i = 1, #accounts do accounts[i](step) sum = sum + accounts[i].balance % 7 end end
  sum = sum + math.floor(1000 * math.sin(round))
end
print(sum)
