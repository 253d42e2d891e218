"""Pickles written instruction by instruction, to ask for what ``pickle.dumps`` never would."""

import pickle


def lit(value) -> bytes:
    """The instructions for a plain value."""
    return pickle.dumps(value, protocol=3)[2:-1]


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(function: bytes, *arguments: bytes, state: bytes | None = None) -> bytes:
    return function + b"(" + b"".join(arguments) + b"tR" + (b"" if state is None else state + b"b")


def tup(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"t"


def program(*parts: bytes) -> bytes:
    return b"\x80\x04" + b"".join(parts) + b"."


def put(index: int) -> bytes:  # out of the way of what lit() puts
    return b"r" + (10**6 + index).to_bytes(4, "little")


def get(index: int) -> bytes:
    return b"j" + (10**6 + index).to_bytes(4, "little")


NDARRAY = name("numpy", "ndarray")
RECONSTRUCT = name("numpy.core.multiarray", "_reconstruct")
SCALAR = name("numpy.core.multiarray", "scalar")
DTYPE = name("numpy", "dtype")


def dtype(code: str = "f8", state: bytes | None = None, arguments: bytes = b"\x89\x88") -> bytes:
    plain_state = tup(lit(3), lit("<"), b"NNN", lit(-1), lit(-1), lit(0))
    return call(DTYPE, lit(code), arguments, state=plain_state if state is None else state)


def array(shape: bytes, kind: bytes, payload: bytes, of: bytes = NDARRAY) -> bytes:
    return call(
        RECONSTRUCT, of, lit((0,)), lit(b"b"), state=tup(lit(1), shape, kind, b"\x89", payload)
    )


MANAGER = name("pandas.core.internals.managers", "BlockManager")
FRAME = name("pandas.core.frame", "DataFrame") + b")\x81"


def stash(*parts: bytes) -> bytes:
    """A program for a tuple of everything, so that parts may be made first and fetched with get()
    later.
    """
    return program(tup(*parts))


def doubled(n: int) -> bytes:
    """A tuple that holds the one before it twice, ``n`` times over: 2**n things to hash, print or
    compare.
    """
    return b")" + put(0) + b"".join(get(i) + get(i) + b"\x86" + put(i + 1) for i in range(n))


def rows(n: int) -> bytes:
    bounds = lit({"name": None, "start": 0, "stop": n, "step": 1})
    return call(
        name("pandas.core.indexes.base", "_new_Index"),
        name("pandas.core.indexes.range", "RangeIndex"),
        bounds,
    )


def block_manager(n_rows: int) -> bytes:
    values = array(lit((1, n_rows)), dtype("u1"), lit(bytes(n_rows)))
    place = call(name("builtins", "slice"), lit(0), lit(1), lit(1))
    block = call(name("pandas._libs.internals", "_unpickle_block"), values, place, lit(2))
    return call(MANAGER, tup(block), b"](" + rows(1) + rows(n_rows) + b"e")
