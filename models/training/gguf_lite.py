"""GGUF files with numpy alone: metadata, tensors, and the formats F32, F16, BF16, Q8_0, Q5_0, Q4_0 and Q4_1."""
import struct
import numpy as np

SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
UINT32, STRING, ARRAY = 4, 8, 9
# type id -> (name, values per block, bytes per block)
TYPES = {0: ("F32", 1, 4), 1: ("F16", 1, 2), 30: ("BF16", 1, 2), 8: ("Q8_0", 32, 34), 6: ("Q5_0", 32, 22), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20)}
IDS = {name: number for number, (name, _, _) in TYPES.items()}
ALIGNMENT = 32


class Gguf:
    """`meta` is the dictionary of metadata; `tensor(name)` gives a float32 array in row-major (torch) shape."""

    def __init__(self, path):
        self.buf = np.memmap(path, np.uint8, "r")
        self.raw, self.pos = memoryview(self.buf), 0
        assert bytes(self.raw[:4]) == b"GGUF", "not a GGUF file"
        self.pos = 4
        _, n_tensors, n_kv = self._read("I"), self._read("Q"), self._read("Q")
        self.meta, self.entries = {}, {}  # an entry: the very bytes of a key with its value
        for _ in range(n_kv):
            begin = self.pos
            key = self._string()
            self.meta[key] = self._value(self._read("I"))
            self.entries[key] = bytes(self.raw[begin:self.pos])
        self.info = {}
        for _ in range(n_tensors):
            name = self._string()
            dims = [self._read("Q") for _ in range(self._read("I"))]
            self.info[name] = (dims[::-1], self._read("I"), self._read("Q"))  # shape, type, offset
        align = self.meta.get("general.alignment", ALIGNMENT)
        self.start = (self.pos + align - 1) // align * align

    def _read(self, fmt):
        value = struct.unpack_from("<" + fmt, self.raw, self.pos)[0]
        self.pos += struct.calcsize("<" + fmt)
        return value

    def _string(self):
        n = self._read("Q")
        self.pos += n
        return bytes(self.raw[self.pos - n:self.pos]).decode("utf-8")

    def _value(self, kind):
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            item, n = self._read("I"), self._read("Q")
            return [self._value(item) for _ in range(n)]
        return self._read(SCALARS[kind])

    def tensor(self, name):
        shape, kind, offset = self.info[name]
        kind, per_block, block_bytes = TYPES[kind]
        n = int(np.prod(shape))
        begin = self.start + offset
        return dequantise(self.buf[begin:begin + n // per_block * block_bytes], kind).reshape(shape)


def text(value):
    raw = value.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def entry_u32(key, value):
    return text(key) + struct.pack("<II", UINT32, value)


def entry_text(key, value):
    return text(key) + struct.pack("<I", STRING) + text(value)


def entry_texts(key, values):
    return text(key) + struct.pack("<IIQ", ARRAY, STRING, len(values)) + b"".join(map(text, values))


def write(path, entries, tensors):
    """`entries`: bytes of keys with values; `tensors`: (name, shape, name of the format, flat uint8 array)."""
    padded = lambda size: (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
    with open(path, "wb") as f:
        f.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries))
        offset = 0
        for name, shape, kind, raw in tensors:
            f.write(text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1]))
            f.write(struct.pack("<IQ", IDS[kind], offset))
            offset += padded(raw.nbytes)
        f.write(b"\0" * (padded(f.tell()) - f.tell()))
        for _, _, _, raw in tensors:
            f.write(raw.tobytes() + b"\0" * (padded(raw.nbytes) - raw.nbytes))


def dequantise(raw, kind):
    if kind == "F32":
        return raw.view(np.float32).copy()
    if kind == "F16":
        return raw.view(np.float16).astype(np.float32)
    if kind == "BF16":
        return (raw.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    blocks = raw.reshape(-1, {"Q8_0": 34, "Q5_0": 22, "Q4_0": 18, "Q4_1": 20}[kind])
    half = lambda a, b: blocks[:, a:b].copy().view(np.float16).astype(np.float32)
    if kind == "Q8_0":
        return half(0, 2) * blocks[:, 2:].copy().view(np.int8).astype(np.float32)
    low_high = lambda q: np.concatenate([q & 15, q >> 4], axis=1).astype(np.float32)
    if kind == "Q4_0":
        return half(0, 2) * (low_high(blocks[:, 2:]) - 8)
    if kind == "Q5_0":
        fifth = np.unpackbits(blocks[:, 2:6], axis=1, bitorder="little").astype(np.float32)
        return half(0, 2) * (low_high(blocks[:, 6:]) + 16 * fifth - 16)
    return half(0, 2) * low_high(blocks[:, 4:]) + half(2, 4)  # Q4_1


def inverse(d):
    return np.divide(np.float32(1), d, out=np.zeros_like(d), where=d != 0)


def quantise_q8(x):
    """Q8_0: blocks of 32, an fp16 scale then 32 int8. Returns a flat uint8 array, bit for bit what ggml makes of x."""
    blocks = np.ascontiguousarray(x, np.float32).reshape(-1, 32)
    d = np.abs(blocks).max(axis=1, keepdims=True) / np.float32(127)
    scaled = (blocks * inverse(d)).astype(np.float64)
    q = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled).astype(np.int8)  # halves go away from zero, as in C's roundf
    return np.concatenate([d.astype(np.float16).view(np.uint8), q.view(np.uint8)], axis=1).reshape(-1)


def quantise_q4(x):
    """Q4_0: blocks of 32, an fp16 scale then 16 bytes with values j (low half) and j + 16 (high). The value of greatest
    magnitude becomes -8 exactly. Returns a flat uint8 array, bit for bit what ggml makes of x."""
    blocks = np.ascontiguousarray(x, np.float32).reshape(-1, 32)
    greatest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    d = greatest / np.float32(-8)
    q = np.minimum((blocks * inverse(d) + np.float32(8.5)).astype(np.int8), 15).astype(np.uint8)
    return np.concatenate([d.astype(np.float16).view(np.uint8), q[:, :16] | q[:, 16:] << 4], axis=1).reshape(-1)


def quantise_q5(x):
    """Q5_0: blocks of 32, an fp16 scale, the fifth bits as 4 bytes, then 16 bytes of low bits as in Q4_0. The value of
    greatest magnitude becomes -16 exactly. Returns a flat uint8 array, bit for bit what ggml makes of x."""
    blocks = np.ascontiguousarray(x, np.float32).reshape(-1, 32)
    greatest = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=1, keepdims=True), axis=1)
    d = greatest / np.float32(-16)
    return pack_q5(d, np.minimum((blocks * inverse(d) + np.float32(16.5)).astype(np.int8), 31).astype(np.uint8))


def pack_q5(d, q):
    """The bytes of Q5_0 for scales (blocks, 1) and levels 0 to 31 (blocks, 32)."""
    fifth = np.packbits(q >> 4, axis=1, bitorder="little")
    return np.concatenate([d.astype(np.float16).view(np.uint8), fifth, q[:, :16] & 15 | (q[:, 16:] & 15) << 4], axis=1).reshape(-1)


def encode(x, kind):
    """An array as the bytes of a format."""
    if kind == "Q8_0":
        return quantise_q8(x)
    if kind == "Q5_0":
        return quantise_q5(x)
    if kind == "Q4_0":
        return quantise_q4(x)
    x = np.ascontiguousarray(x, np.float32).reshape(-1)
    if kind == "BF16":  # rounded to nearest, ties to even
        bits = x.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).view(np.uint8)
    return x.astype({"F32": np.float32, "F16": np.float16}[kind]).view(np.uint8)
