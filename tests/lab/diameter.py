"""Diameter messages (RFC 6733) for the lab's stubs: AVP coding and a small TCP server.  Standard library only."""
import asyncio
import struct

TGPP = 10415
CER, ACR, DWR, DPR = 257, 271, 280, 282
SUCCESS, COMMAND_UNSUPPORTED = 2001, 3001
NAMES = {CER: "CER", ACR: "ACR", DWR: "DWR", DPR: "DPR"}


def avp(code, value, vendor=0, mandatory=True):
    """One encoded AVP: int is Unsigned32, str is UTF8String, a list is Grouped, bytes stay as they are."""
    if isinstance(value, int):
        data = struct.pack("!I", value)
    elif isinstance(value, str):
        data = value.encode()
    elif isinstance(value, (list, tuple)):
        data = b"".join(value)
    else:
        data = value
    flags = (0x80 if vendor else 0) | (0x40 if mandatory else 0)
    head = struct.pack("!I", vendor) if vendor else b""
    size = 8 + len(head) + len(data)
    return struct.pack("!IB", code, flags) + size.to_bytes(3, "big") + head + data + b"\0" * (-len(data) % 4)


def avps(data):
    """A run of AVPs as {(vendor, code): [bytes, ...]}."""
    found, at = {}, 0
    while at + 8 <= len(data):
        code, flags = struct.unpack_from("!IB", data, at)
        size = int.from_bytes(data[at + 5:at + 8], "big")
        head, vendor = 8, 0
        if flags & 0x80:
            vendor, = struct.unpack_from("!I", data, at + 8)
            head = 12
        if size < head or at + size > len(data):
            raise ValueError(f"AVP {code} has a bad length")
        found.setdefault((vendor, code), []).append(data[at + head:at + size])
        at += size + (-size % 4)
    return found


def text(found, code, vendor=0):
    values = found.get((vendor, code))
    return values[0].decode("utf-8", "replace") if values else None


def number(found, code, vendor=0):
    values = found.get((vendor, code))
    return struct.unpack("!I", values[0])[0] if values and len(values[0]) == 4 else None


def group(found, code, vendor=0):
    values = found.get((vendor, code))
    return avps(values[0]) if values else {}


def origin(host, realm):
    return [avp(264, host), avp(296, realm)]


async def serve(listen, handle):
    """Listens until cancelled; `handle(command, flags, avps)` gives the AVPs of the answer, or None for silence."""
    async def connection(reader, writer):
        try:
            while True:
                head = await reader.readexactly(20)
                body = await reader.readexactly(int.from_bytes(head[1:4], "big") - 20)
                flags, command = head[4], int.from_bytes(head[5:8], "big")
                if not flags & 0x80:
                    continue  # an answer: the stubs never ask
                answer = handle(command, flags, avps(body))
                if answer is None:
                    continue
                answer = b"".join(answer)
                # the answer keeps the P bit, the command, the application and both identifiers
                writer.write(b"\x01" + (20 + len(answer)).to_bytes(3, "big")
                             + struct.pack("!B", flags & 0x40) + head[5:20] + answer)
                await writer.drain()
                if command == DPR:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    host, port = listen.rsplit(":", 1)
    return await asyncio.start_server(connection, host, int(port))
