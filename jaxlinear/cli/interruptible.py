"""Work that Ctrl-C can end."""

import concurrent.futures


def interruptible(function):
    """Run in another thread and wait here, since Ctrl-C does not interrupt compiled code."""
    future = concurrent.futures.ThreadPoolExecutor(1).submit(function)
    while not future.done():
        concurrent.futures.wait([future], timeout=0.1)
    return future.result()
