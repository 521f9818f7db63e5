"""The LZ-string encoding of older browser clients."""

from collections.abc import Callable

from flagstream.errors import BodyTooLargeError, InvalidRequestError

_MAX_INPUT_BYTES = 262_144
_NEW_BYTE, _NEW_CHARACTER, _END = 0, 1, 2


def decompress(packed: bytes, max_bytes: int) -> bytes:
    """
    Undo ``LZString.compressToBase64``, without its base64.

    Not the ``lzstring`` package: its output cannot be bounded, and grows with the square of its
    input.

    Args:
        packed: At most 256 KiB, as every code costs a step of Python on the event loop.

    Raises:
        BodyTooLargeError: More went in, or more than *max_bytes* came out.
        InvalidRequestError: This is not LZ-string.

    Source:
        github.com/pieroxy/lz-string 1.5; codes are written with the lowest bit first, and are
        one bit wider whenever the dictionary has filled the present width.
    """
    if len(packed) > _MAX_INPUT_BYTES:
        raise BodyTooLargeError(f"body: expected at most {_MAX_INPUT_BYTES} bytes of lz64")
    try:
        units = _units(_bit_reader(packed), max_bytes)
    except (ValueError, IndexError):
        raise InvalidRequestError("body: expected LZ-string, got a damaged one") from None
    # The characters are UTF-16 code units, as in JavaScript.
    text = units.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    inflated = text.encode()
    if len(inflated) > max_bytes:
        raise BodyTooLargeError(f"body: expected at most {max_bytes} bytes once inflated")
    return inflated


def _units(read: Callable[[int], int], max_units: int) -> str:
    dictionary = ["", "", ""]  # the three codes that are no entries
    entries: list[str] = []
    width, size = 2, 0
    previous = ""
    while (code := read(width)) != _END:
        if code in (_NEW_BYTE, _NEW_CHARACTER):
            dictionary.append(chr(read(16 if code else 8)))
            code = len(dictionary) - 1
        if not previous:
            entry = dictionary[code]
        else:
            dictionary.append("")
            entry = dictionary[code] or previous + previous[0]
            dictionary[-1] = previous + entry[0]
        entries.append(entry)
        size += len(entry)
        if size > max_units:
            raise BodyTooLargeError(f"body: expected at most {max_units} bytes once inflated")
        previous = entry
        width = len(dictionary).bit_length()
    return "".join(entries)


def _bit_reader(packed: bytes) -> Callable[[int], int]:
    bits = f"{int.from_bytes(packed):0{len(packed) * 8}b}" if packed else ""
    position = 0

    def read(width: int) -> int:
        nonlocal position
        position += width
        if position > len(bits):
            raise ValueError(width)
        return int(bits[position - width : position][::-1], 2)

    return read
