"""Asking a tf.data service what tf.data itself does not ask: whether it is one, and whether it has workers."""

import grpc

from pose_tf.errors import UserError

ANSWER_SECONDS = 5.0


class NoAnswer(UserError):
    """Nobody listens at the address, so far."""


def has_workers(address: str) -> bool:
    """Whether any worker has registered with the dispatcher of a tf.data service.

    Args:
        address: host:port.

    Raises:
        NoAnswer: nobody listens there. The message has no address.
        UserError: it is no address, or another kind of server. The message has no address.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise UserError("it is not host:port")
    # Without a pool of its own, a channel would remember for a while that another one has failed.
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            return bool(channel.unary_unary("/tensorflow.data.DispatcherService/GetWorkers")(b"", ANSWER_SECONDS))
        except grpc.RpcError as error:
            why, is_refused = error.details(), error.code() == grpc.StatusCode.UNAVAILABLE
    if is_refused and "HTTP/2" not in why and "Socket closed" not in why:
        raise NoAnswer(why.rpartition("last error: ")[2])
    raise UserError("another kind of server listens there, not the dispatcher of a tf.data service")
