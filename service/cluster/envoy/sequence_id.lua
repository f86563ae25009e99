-- Which live sequence a unary request belongs to, read out of its body where no header says it: x-sequence-id, by which the router
-- chooses a replica. It is a hint, never a judgement: a body that cannot be read goes on as it is, to any replica.
--
-- inference.GRPCInferenceService/ModelInfer   parameters["sequence_id"] (field 4), an int64 or a string
-- cellserve.v1.Sequences/Open and others      a field that is a string
--
-- Ids are written as in a URL: what is not a letter, a digit or one of -._~ as %XX. The number 5 and the text "5" are one id.

--
-- It is asked of every such request, so it is thrifty: the beginning of a body is read once, a number is a number of Lua as long as
-- that is exact, and only fields that matter are cut out.

local HEADER = "x-sequence-id"
local PREFIX = 5 -- bytes before a message of gRPC: whether it is compressed, and how long it is
local WINDOW = 256 -- bytes of a body that are read at once
local HEAD = 20 -- bytes of a field that are looked at: its number, its length or its value
local LONGEST = 1024 -- bytes of an id, or of an entry of parameters
local MOST_FIELDS = 512 -- looked at in one request
local EXACT = 2 ^ 53

local byte, sub = string.byte, string.sub

-- The varint at `at` in `text`, and where it ends; nil: none. Exact below EXACT.
local function varint(text, at)
  local value, scale = 0, 1
  for place = at, at + 9 do
    local part = byte(text, place)
    if part == nil then
      return nil
    elseif part < 128 then
      return value + part * scale, place + 1
    end
    value, scale = value + (part - 128) * scale, scale * 128
  end
  return nil
end

-- The same as an int64 in decimal.
local function decimal(text, at)
  local value = varint(text, at)
  if value < EXACT then
    return string.format("%.0f", value)
  end
  local exact, scale = 0ULL, 1ULL
  for place = at, at + 9 do
    local part = byte(text, place)
    exact, scale = exact + (part % 128) * scale, scale * 128
    if part < 128 then
      break
    end
  end
  local sign = ""
  if exact > 0x7FFFFFFFFFFFFFFFULL then
    sign, exact = "-", 0ULL - exact
  end
  return sign .. string.gsub(tostring(exact), "ULL$", "")
end

-- Gives each field of a message to whom `wanted` names for its tag (number * 8 + kind), until one answers: a varint as the text
-- and where it is in it, bytes as bytes, if they are not too many. The message has `size` bytes, of which `text` are the first, and
-- more(at, count) gives others.
local function walk(size, text, more, wanted)
  local base, at = 0, 0 -- `text` begins at `base`
  for _ = 1, MOST_FIELDS do
    if at >= size then
      return nil
    end
    local held = base + #text
    if held < size and at + HEAD > held then
      base, text = at, more(at, math.min(WINDOW, size - at))
      held = base + #text
    end
    local tag, place = varint(text, at - base + 1)
    if tag == nil or tag > 0xFFFFFFFF then
      return nil
    end
    local kind, value, from, length = tag % 8, place, nil, nil
    if kind == 2 then
      length, place = varint(text, place)
      if length == nil then
        return nil
      end
      from = base + place - 1
      at = from + length
    elseif kind == 0 then
      _, place = varint(text, place)
      if place == nil then
        return nil
      end
      at = base + place - 1
    elseif kind == 1 then
      at = base + place - 1 + 8
    elseif kind == 5 then
      at = base + place - 1 + 4
    else
      return nil
    end
    if at > size then
      return nil
    end
    local visit = wanted[tag]
    local found = nil
    if visit and kind == 0 then
      found = visit(text, value)
    elseif visit and length <= LONGEST then
      found = visit(at <= held and sub(text, place, place + length - 1) or more(from, length))
    end
    if found ~= nil then
      return found
    end
  end
  return nil
end

local function itself(content)
  return content
end

local PARAMETER = { [2 * 8] = decimal, [3 * 8 + 2] = itself } -- int64_param, string_param

-- An entry of parameters is a key and a value, in either order.
local key, id
local ENTRY = {
  [1 * 8 + 2] = function(content)
    key = content
  end,
  [2 * 8 + 2] = function(content)
    id = walk(#content, content, nil, PARAMETER)
  end,
}

-- Its id, if it is that of sequence_id.
local function entry(content)
  key, id = nil, nil
  walk(#content, content, nil, ENTRY)
  return key == "sequence_id" and id or nil
end

local WANTED = {
  ["/inference.GRPCInferenceService/ModelInfer"] = { [4 * 8 + 2] = entry },
  ["/cellserve.v1.Sequences/Open"] = { [3 * 8 + 2] = itself },
  ["/cellserve.v1.Sequences/Feed"] = { [2 * 8 + 2] = itself },
  ["/cellserve.v1.Sequences/Get"] = { [2 * 8 + 2] = itself },
  ["/cellserve.v1.Sequences/Snapshot"] = { [2 * 8 + 2] = itself },
  ["/cellserve.v1.Sequences/Restore"] = { [3 * 8 + 2] = itself },
  ["/cellserve.v1.Sequences/Fork"] = { [2 * 8 + 2] = itself },
  ["/cellserve.v1.Sequences/Close"] = { [2 * 8 + 2] = itself },
}

local function escaped(text)
  return (string.gsub(text, "[^%w%-%._~]", function(one)
    return string.format("%%%02X", byte(one))
  end))
end

local function sequence_id(body, wanted)
  local size = body:length()
  if size <= PREFIX then
    return nil
  end
  local text = body:getBytes(0, math.min(PREFIX + WINDOW, size))
  if byte(text) ~= 0 then
    return nil
  end
  return walk(size - PREFIX, sub(text, PREFIX + 1), function(from, count)
    return count > 0 and body:getBytes(PREFIX + from, count) or ""
  end, wanted)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  local wanted = WANTED[headers:get(":path")]
  if not wanted or headers:get(HEADER) ~= nil then
    return
  end
  local body = handle:body()
  local found = body and sequence_id(body, wanted)
  if found ~= nil and found ~= "" and found ~= "0" then
    handle:headers():add(HEADER, escaped(found)) -- those from before the body came are out of reach
    handle:clearRouteCache()
  end
end
