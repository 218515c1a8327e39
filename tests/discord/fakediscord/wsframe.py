"""RFC 6455 frames of a server, and the TCP reset.  Written by hand because a fault may need half a frame."""

import socket
import struct

CONT, TEXT, BINARY, CLOSE, PING = 0, 1, 2, 8, 9


def frame(opcode, payload, fin=True):
    n = len(payload)
    first = (0x80 if fin else 0) | opcode
    if n < 126:
        return struct.pack("!BB", first, n) + payload
    if n < 1 << 16:
        return struct.pack("!BBH", first, 126, n) + payload
    return struct.pack("!BBQ", first, 127, n) + payload


def message(opcode, payload, above=0):
    """One message; longer ones than above (0: never) in fragments with a PING between the first two."""
    if not above or len(payload) <= above:
        return frame(opcode, payload)
    step = max(1, above // 4)
    out = []
    for at in range(0, len(payload), step):
        out.append(frame(CONT if at else opcode, payload[at:at + step], at + step >= len(payload)))
        if not at:
            out.append(frame(PING, b"between"))
    return b"".join(out)


def close(code, reason=""):
    return frame(CLOSE, struct.pack("!H", code) + reason.encode()[:123])


def reset(transport):
    """Ends a TCP connection with RST."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
