-- Fills a new store, and returns rows: that of an address, or the first ones by address. A script
-- is atomic, so two processes may start at once, and a server that lost its data is filled again.
local version, longest, most, address = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local columns = {
    'token0', 'symbol0', 'decimals0', 'token1', 'symbol1', 'decimals1', 'fee_millionths'
}

local found = redis.call('GET', 'bandit:version')
if not found then
    for first = 5, #ARGV, #columns + 1 do
        for column, name in ipairs(columns) do
            redis.call('HSETNX', 'bandit:pool:' .. ARGV[first], name, ARGV[first + column])
        end
        redis.call('ZADD', 'bandit:pools', 0, ARGV[first])
    end
    redis.call('SET', 'bandit:version', version)
elseif found ~= version then
    return redis.error_reply('VERSION ' .. string.sub(found, 1, longest))
end

-- Cuts each field: no answer is longer than a row may be. `false` is a field that is missing.
local function row(address)
    local values = redis.pcall('HMGET', 'bandit:pool:' .. address, unpack(columns))
    local texts = {string.sub(address, 1, longest)}
    for column = 1, #columns do
        local text = not values.err and values[column]
        texts[column + 1] = text and string.sub(text, 1, longest)
    end
    return texts
end

local rows = {}
if address == '' then
    for _, address in ipairs(redis.call('ZRANGE', 'bandit:pools', 0, most - 1)) do
        rows[#rows + 1] = row(address)
    end
elseif redis.call('EXISTS', 'bandit:pool:' .. address) == 1 then
    rows[1] = row(address)
end
return rows
