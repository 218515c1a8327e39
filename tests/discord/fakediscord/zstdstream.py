"""zstd-stream by way of the library itself, which dpkg needs: Debian 12's Python has no module for it."""

import ctypes

FLUSH = 1   # ZSTD_e_flush


class Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer."""

    _fields_ = [("p", ctypes.c_char_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t)]


def library():
    lib = ctypes.CDLL("libzstd.so.1")
    lib.ZSTD_createCCtx.restype = ctypes.c_void_p
    lib.ZSTD_freeCCtx.argtypes = [ctypes.c_void_p]
    for name in ("ZSTD_compressStream2", "ZSTD_compressBound"):
        getattr(lib, name).restype = ctypes.c_size_t
    lib.ZSTD_compressStream2.argtypes = [ctypes.c_void_p, ctypes.POINTER(Buffer), ctypes.POINTER(Buffer), ctypes.c_int]
    lib.ZSTD_compressBound.argtypes = lib.ZSTD_isError.argtypes = [ctypes.c_size_t]
    return lib


class Compressor:
    """One stream; each message is flushed."""

    def __init__(self):
        self.lib = library()
        self.ctx = self.lib.ZSTD_createCCtx()

    def message(self, data):
        room = ctypes.create_string_buffer(self.lib.ZSTD_compressBound(len(data)) + 64)
        out = Buffer(ctypes.cast(room, ctypes.c_char_p), len(room), 0)
        left = self.lib.ZSTD_compressStream2(self.ctx, out, Buffer(data, len(data), 0), FLUSH)
        assert left == 0, "zstd did not take a message whole"
        return room.raw[:out.pos]

    def __del__(self):
        self.lib.ZSTD_freeCCtx(self.ctx)
