#!/usr/bin/env python3
"""Recomputes the vectors beside this file from the specification alone, without Hushkeep.

Needs only the standard library. Two primitives are not in it: with the packages `blake3` and `argon2-cffi`
installed their vectors are checked too, else they are counted as skipped.

    python3 spec/vectors/core/check.py
"""

import hashlib
import hmac
import json
import pathlib
import sys
import unicodedata

try:
    import blake3
except ImportError:
    blake3 = None
try:
    import argon2.low_level as argon2
except ImportError:
    argon2 = None


class Refused(Exception):
    """What a reader must not accept."""


class Skipped(Exception):
    """A primitive that this Python does not have."""


def refuse_unless(condition):
    if not condition:
        raise Refused


# --- primitives ---------------------------------------------------------------------------------------------


def hkdf(ikm, salt, info, length):
    """HKDF-SHA256, RFC 5869."""
    prk = hmac.digest(salt, ikm, "sha256")
    out, block = b"", b""
    for number in range(1, -(-length // 32) + 1):
        block = hmac.digest(prk, block + info + bytes([number]), "sha256")
        out += block
    return out[:length]


def chacha20_block(key, counter, nonce):
    """RFC 8439 section 2.3."""

    def quarter(a, b, c, d):
        for x, y, z, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            work[x] = (work[x] + work[y]) & 0xFFFFFFFF
            mixed = work[z] ^ work[x]
            work[z] = (mixed << turn | mixed >> 32 - turn) & 0xFFFFFFFF

    words = lambda data: [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    state = words(b"expand 32-byte k" + key + counter.to_bytes(4, "little") + nonce)
    work = list(state)
    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for row in range(4):
            quarter(row, 4 + (row + 1) % 4, 8 + (row + 2) % 4, 12 + (row + 3) % 4)
    return b"".join((a + b & 0xFFFFFFFF).to_bytes(4, "little") for a, b in zip(work, state))


def chacha20(key, nonce, data):
    blocks = (chacha20_block(key, 1 + number, nonce) for number in range(-(-len(data) // 64)))
    return bytes(a ^ b for a, b in zip(data, b"".join(blocks)))


def poly1305(key, nonce, aad, ciphertext):
    """RFC 8439 section 2.8."""
    pad = lambda data: data + bytes(-len(data) % 16)
    data = pad(aad) + pad(ciphertext) + len(aad).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
    once = chacha20_block(key, 0, nonce)
    r = int.from_bytes(once[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(data), 16):
        total = (total + int.from_bytes(data[at : at + 16] + b"\1", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(once[16:32], "little") & 2**128 - 1).to_bytes(16, "little")


def aead_seal(key, nonce, aad, plaintext):
    ciphertext = chacha20(key, nonce, plaintext)
    return ciphertext + poly1305(key, nonce, aad, ciphertext)


def aead_open(key, nonce, aad, sealed):
    refuse_unless(len(sealed) >= 16)
    ciphertext, tag = sealed[:-16], sealed[-16:]
    refuse_unless(hmac.compare_digest(tag, poly1305(key, nonce, aad, ciphertext)))
    return chacha20(key, nonce, ciphertext)


# --- section 1: encodings -----------------------------------------------------------------------------------


def varint(value):
    out = b""
    while value >= 0x80:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def signed(value):
    return varint(2 * value if value >= 0 else -2 * value - 1)


def read_varint(data):
    """The value and what follows it."""
    value = 0
    for at in range(10):
        refuse_unless(at < len(data))
        value |= (data[at] & 0x7F) << 7 * at
        if data[at] < 0x80:
            refuse_unless(value < 2**64 and (at == 0 or data[at] != 0))
            return value, data[at + 1 :]
    raise Refused


def read_record(data, last_known):
    """Known and unknown fields."""
    known, unknown, previous = {}, {}, 0
    while data:
        key, data = read_varint(data)
        length, data = read_varint(data)
        field, critical = key >> 1, key & 1
        refuse_unless(length <= len(data) and previous < field < 2**32)
        value, data, previous = data[:length], data[length:], field
        if field <= last_known:
            known[field] = value
        else:
            refuse_unless(not critical)
            unknown[field] = value
    return known, unknown


def record(fields):
    """A record of critical fields."""
    return b"".join(varint(field << 1 | 1) + varint(len(fields[field])) + fields[field] for field in sorted(fields))


# --- sections 2 and 3: objects and keys ---------------------------------------------------------------------

KINDS = {"config": 1, "commit": 2, "index": 3, "pack": 4}


def epoch_secret(v):
    info = b"hushkeep/1 epoch secret" + v["epoch"].to_bytes(4, "little")
    return hkdf(v["backup_key"], v["repository"], info, 32)


def working_key(v, label, length=32):
    return hkdf(epoch_secret(v), v["repository"], b"hushkeep/1 " + label, length)


def header(v):
    return (
        b"HUSHKEEP"
        + (1).to_bytes(2, "little")
        + bytes([KINDS[v["kind"]], 0])
        + v["epoch"].to_bytes(4, "little")
        + v["repository"]
        + v["salt"]
        + len(v["clear"]).to_bytes(4, "little")
        + v["clear"]
    )


def object_key(v, salt, head):
    return hkdf(working_key(v, b"object " + v["kind"].encode()), salt, b"hushkeep/1 object" + head, 32)


def nonce_and_aad(head, number):
    counter = number.to_bytes(8, "little")
    return bytes(4) + counter, head + counter


def padme(length):
    if length < 2:
        return length
    exponent = length.bit_length() - 1
    bits = exponent - exponent.bit_length()
    return -(-length >> bits) << bits if bits > 0 else length


TRAILER = 2**64 - 1


def seal_object(v, segments, table, min_len=0, padding_byte=0, trailer=None):
    """With the last two arguments also what a well-behaved writer never makes."""
    head = header(v)
    key = object_key(v, v["salt"], head)
    seal = lambda number, plaintext: aead_seal(key, *nonce_and_aad(head, number), plaintext)
    out = head + b"".join(seal(number, segment) for number, segment in enumerate(segments))
    trailer_len = 4 + len(table) + 16
    unpadded = len(out) + 16 + trailer_len + 4
    pad_len = padme(max(unpadded, min_len)) - unpadded
    out += seal(len(segments), bytes([padding_byte]) * pad_len)
    sealed = seal(TRAILER, pad_len.to_bytes(4, "little") + table if trailer is None else trailer)
    return out + sealed + len(sealed).to_bytes(4, "little")


def open_single(v, data):
    refuse_unless(len(data) >= 68 and data[:8] == b"HUSHKEEP" and data[8:10] == b"\1\0")
    refuse_unless(data[10] == KINDS[v["kind"]] and data[11] == 0)
    refuse_unless(data[12:16] == v["epoch"].to_bytes(4, "little") and data[16:32] == v["repository"])
    clear_len = int.from_bytes(data[64:68], "little")
    refuse_unless(clear_len <= 65536 and len(data) >= 68 + clear_len + 4)
    head, rest, footer = data[: 68 + clear_len], data[68 + clear_len : -4], data[-4:]
    trailer_len = int.from_bytes(footer, "little")
    refuse_unless(trailer_len <= len(rest))
    segments, trailer = rest[: len(rest) - trailer_len], rest[len(rest) - trailer_len :]
    key = object_key(v, data[32:64], head)
    unseal = lambda number, sealed: aead_open(key, *nonce_and_aad(head, number), sealed)
    trailer = unseal(TRAILER, trailer)
    refuse_unless(len(trailer) == 4)
    body_len = len(segments) - int.from_bytes(trailer, "little") - 16
    refuse_unless(body_len >= 0)
    refuse_unless(not any(unseal(1, segments[body_len:])))
    return unseal(0, segments[:body_len])


# --- section 4: recovery keys -------------------------------------------------------------------------------


def multiply(a, b):
    """In GF(2^16) by x^16 + x^12 + x^3 + x + 1."""
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a = a << 1 ^ (0x1100B if a & 0x8000 else 0)
        b >>= 1
    return product


def power(a, exponent):
    result = 1
    for _ in range(exponent):
        result = multiply(result, a)
    return result


def to_groups(data):
    return [int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2)]


def sums(groups):
    """The polynomial's values at 1 and at alpha."""
    at_one = at_alpha = 0
    for place, group in enumerate(groups):
        at_one ^= group
        at_alpha ^= multiply(group, power(2, 17 - place))
    return at_one, at_alpha


def recovery_groups(key):
    """Solves the two equations for the two check groups: c + d = a and alpha c + d = b."""
    groups = to_groups(key)
    a, b = sums(groups)
    inverse = next(x for x in range(1, 1 << 16) if multiply(x, 3) == 1)
    check = multiply(a ^ b, inverse)
    return groups + [check, a ^ check]


def read_recovery(text):
    dashes = "-,\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufeff"
    digits = "".join(c for c in text if not c.isspace() and c not in dashes)
    digits = digits.translate(str.maketrans("OoIiLl", "001111")).lower()
    refuse_unless(len(digits) == 72 and all(c in "0123456789abcdef" for c in digits))
    groups = to_groups(bytes.fromhex(digits))
    at_one, at_alpha = sums(groups)
    key = lambda: b"".join(group.to_bytes(2, "big") for group in groups[:16]).hex()
    if (at_one, at_alpha) == (0, 0):
        return {"exact": key()}
    for place in range(18):
        if at_one and multiply(at_one, power(2, 17 - place)) == at_alpha:
            groups[place] ^= at_one
            return {"wrong_group": place + 1, "correct_group": f"{groups[place]:04x}", "proposed": key()}
    raise Refused


# --- section 5: passphrase wraps ----------------------------------------------------------------------------


def wrap_keys(v, memory_kib, iterations, lanes, salt):
    """The cipher key, the commitment and the associated data."""
    if argon2 is None:
        raise Skipped
    secret = unicodedata.normalize("NFKC", v["passphrase"]).encode()
    root = argon2.hash_secret_raw(secret, salt, iterations, memory_kib, lanes, 32, argon2.Type.ID)
    numbers = b"".join(number.to_bytes(4, "little") for number in (v["epoch"], memory_kib, iterations, lanes))
    place = v["protector"] + v["epoch"].to_bytes(4, "little")
    return (
        hkdf(root, v["repository"], b"hushkeep/1 passphrase wrap key" + place, 32),
        hkdf(root, v["repository"], b"hushkeep/1 passphrase commitment", 32),
        b"hushkeep/1 passphrase wrap" + v["repository"] + v["protector"] + numbers + salt + bytes(8),
    )


def seal_wrap(v):
    numbers = [v["memory_kib"], v["iterations"], v["lanes"]]
    cipher, commitment, aad = wrap_keys(v, *numbers, v["salt"])
    sealed = aead_seal(cipher, bytes(12), aad, v["backup_key"])
    return record(dict(enumerate([*map(varint, numbers), v["salt"], commitment, sealed], start=1)))


def open_wrap(v):
    fields, _ = read_record(v["wrap"], 6)
    refuse_unless(all(field in fields for field in range(1, 7)))
    numbers = []
    for field, (least, most) in enumerate([(19 << 10, 1 << 20), (2, 16), (1, 4)], start=1):
        number, rest = read_varint(fields[field])
        refuse_unless(not rest and least <= number <= most)
        numbers.append(number)
    refuse_unless([len(fields[field]) for field in (4, 5, 6)] == [16, 32, 48])
    cipher, commitment, aad = wrap_keys(v, *numbers, fields[4])
    refuse_unless(hmac.compare_digest(commitment, fields[5]))
    return aead_open(cipher, bytes(12), aad, fields[6])


# --- one function a file ------------------------------------------------------------------------------------


def integers(v):
    return {"encoding": (signed(int(v["signed"])) if "signed" in v else varint(int(v["unsigned"]))).hex()}


def integers_read(v):
    value, rest = read_varint(v["encoding"])
    refuse_unless(not rest)
    return {"unsigned": str(value)}


def records_read(v):
    unknown = read_record(v["record"], v["last_known"])[1]
    return {"unknown": {str(field): value.hex() for field, value in unknown.items()}}


def keys(v):
    output = {
        "epoch_secret": epoch_secret(v).hex(),
        "key_check": working_key(v, b"key check", 16).hex(),
        "chunker_seed": working_key(v, b"chunker seed", 8).hex(),
    }
    if blake3:
        output["content_name"] = blake3.blake3(v["content"], key=working_key(v, b"content names")).digest(16).hex()
    return output


def objects(v):
    segments = [bytes.fromhex(segment) for segment in v["segments"]]
    return {"object": seal_object(v, segments, v["table"], v["min_len"]).hex()}


def objects_read(v):
    return {"body": open_single(v, v["object"]).hex()}


def recovery_keys(v):
    return {"text": " ".join(f"{group:04x}" for group in recovery_groups(v["backup_key"]))}


def recovery_keys_read(v):
    return read_recovery(v["text"])


def passphrase_wraps(v):
    return {"wrap": seal_wrap(v).hex()}


def passphrase_wraps_read(v):
    return {"backup_key": open_wrap(v).hex()}


HEX = "backup_key repository protector salt clear table content object record encoding wrap".split()


def holds(compute, vector):
    v = {name: bytes.fromhex(value) if name in HEX else value for name, value in vector["input"].items()}
    try:
        output = compute(v)
    except Refused:
        return "refused" in vector["output"]
    return output.items() <= vector["output"].items()


def main():
    failed = False
    for file in sorted(pathlib.Path(__file__).parent.glob("*.json")):
        compute = globals()[file.name.split(".")[0].replace("-", "_")]
        held = skipped = 0
        for vector in json.loads(file.read_text(encoding="utf-8")):
            try:
                if holds(compute, vector):
                    held += 1
                else:
                    failed = True
                    print(f"{file.name}: {vector['about']}: differs")
            except Skipped:
                skipped += 1
        print(f"{file.name}: {held} hold" + (f", {skipped} skipped" if skipped else ""))
    if blake3 is None:
        print("content names skipped: no package blake3")
    sys.exit(failed)


if __name__ == "__main__":
    main()
