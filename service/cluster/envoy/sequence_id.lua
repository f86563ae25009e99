-- Which live sequence a unary request belongs to, read out of its body where no header says it: x-sequence-id, by which the router
-- chooses a replica. It is a hint, never a judgement: a body that cannot be read goes on as it is, to any replica.
--
-- inference.GRPCInferenceService/ModelInfer   parameters["sequence_id"] (field 4), an int64 or a string
-- cellserve.v1.Sequences/Open and others      a field that is a string
--
-- Ids are written as in a URL: what is not a letter, a digit or one of -._~ as %XX. The number 5 and the text "5" are one id.

local HEADER = "x-sequence-id"
local INFER = "/inference.GRPCInferenceService/ModelInfer"
local FIELDS = {
  ["/cellserve.v1.Sequences/Open"] = 3,
  ["/cellserve.v1.Sequences/Feed"] = 2,
  ["/cellserve.v1.Sequences/Get"] = 2,
  ["/cellserve.v1.Sequences/Snapshot"] = 2,
  ["/cellserve.v1.Sequences/Restore"] = 3,
  ["/cellserve.v1.Sequences/Fork"] = 2,
  ["/cellserve.v1.Sequences/Close"] = 2,
}
local PREFIX = 5 -- bytes before a message of gRPC: whether it is compressed, and how long it is
local HEAD = 64 -- bytes of a field that are looked at: its number, its length, a varint
local LONGEST = 1024 -- bytes of an id, or of an entry of parameters
local MOST_FIELDS = 512 -- looked at in one request

-- The varint at `at` in `text`, and where it ends; nil: none. Exact to 64 bits.
local function varint(text, at)
  local value, scale = 0ULL, 1ULL
  for place = at, at + 9 do
    local byte = string.byte(text, place)
    if byte == nil then
      return nil
    end
    value = value + (byte % 128) * scale
    if byte < 128 then
      return value, place + 1
    end
    scale = scale * 128
  end
  return nil
end

-- One field at the beginning of `text`: number, kind, bytes before its content, bytes of its content, its value if it is a varint.
local function field(text)
  local tag, at = varint(text, 1)
  if tag == nil or tag > 0xFFFFFFFFULL then
    return nil
  end
  tag = tonumber(tag)
  local number, kind = math.floor(tag / 8), tag % 8
  if kind == 0 then
    local value, after = varint(text, at)
    if value == nil then
      return nil
    end
    return number, kind, at - 1, after - at, value
  elseif kind == 1 then
    return number, kind, at - 1, 8
  elseif kind == 2 then
    local length, after = varint(text, at)
    if length == nil or length > 0x7FFFFFFFULL then
      return nil
    end
    return number, kind, after - 1, tonumber(length)
  elseif kind == 5 then
    return number, kind, at - 1, 4
  end
  return nil
end

-- Calls visit(number, kind, content, value) for each field of the `size` bytes that read(from, count) gives, until it answers.
-- content() is the bytes of a field; nil: there are too many.
local function walk(read, size, visit)
  local at = 0
  for _ = 1, MOST_FIELDS do
    if at >= size then
      return nil
    end
    local number, kind, before, length, value = field(read(at, math.min(HEAD, size - at)))
    if number == nil or at + before + length > size then
      return nil
    end
    local from = at + before
    local found = visit(number, kind, function()
      return length <= LONGEST and read(from, length) or nil
    end, value)
    if found ~= nil then
      return found
    end
    at = from + length
  end
  return nil
end

local function walk_text(text, visit)
  return walk(function(from, count)
    return string.sub(text, from + 1, from + count)
  end, #text, visit)
end

local function decimal(value)
  local sign = ""
  if value > 0x7FFFFFFFFFFFFFFFULL then
    sign, value = "-", 0ULL - value
  end
  return sign .. string.gsub(tostring(value), "ULL$", "")
end

-- An InferParameter as an id: int64_param (2) or string_param (3).
local function parameter(text)
  return walk_text(text, function(number, kind, content, value)
    if number == 2 and kind == 0 then
      return decimal(value)
    elseif number == 3 and kind == 2 then
      return content()
    end
  end)
end

-- One entry of parameters: its id if it is that of sequence_id. The key may come after the value.
local function entry(text)
  local key, id
  walk_text(text, function(number, kind, content)
    if kind == 2 and number == 1 then
      key = content()
    elseif kind == 2 and number == 2 then
      id = parameter(content() or "")
    end
  end)
  return key == "sequence_id" and id or nil
end

local function in_infer(number, kind, content)
  if number == 4 and kind == 2 then
    return entry(content() or "")
  end
end

local function in_field(wanted)
  return function(number, kind, content)
    if number == wanted and kind == 2 then
      return content()
    end
  end
end

local function escaped(id)
  return (string.gsub(id, "[^%w%-%._~]", function(byte)
    return string.format("%%%02X", string.byte(byte))
  end))
end

local function sequence_id(body, visit)
  local size = body:length()
  if size < PREFIX or string.byte(body:getBytes(0, 1)) ~= 0 then
    return nil
  end
  return walk(function(from, count)
    return count > 0 and body:getBytes(PREFIX + from, count) or ""
  end, size - PREFIX, visit)
end

function envoy_on_request(handle)
  local headers = handle:headers()
  if headers:get(HEADER) ~= nil then
    return
  end
  local path = headers:get(":path")
  local visit = path == INFER and in_infer or FIELDS[path] and in_field(FIELDS[path])
  if not visit then
    return
  end
  local body = handle:body()
  local id = body and sequence_id(body, visit)
  if id ~= nil and id ~= "" and id ~= "0" then
    handle:headers():add(HEADER, escaped(id)) -- those from before the body came are out of reach
    handle:clearRouteCache()
  end
end
