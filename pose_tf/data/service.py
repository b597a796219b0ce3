"""Checks whether a tf.data service answers and has workers, which tf.data itself does not check."""

import grpc
import tensorflow as tf

from pose_tf.errors import UserError

ANSWER_SECONDS = 5.0


class NoAnswer(UserError):
    """No server listens at the address yet."""


def count_workers(address: str) -> int:
    """The number of workers that have registered with the dispatcher of a tf.data service.

    Args:
        address: host:port.

    Raises:
        NoAnswer: no server listens there. The message does not contain the address.
        UserError: the address is malformed, or another kind of server listens there. The message does not contain the
            address.
    """
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise UserError("it is not host:port")
    # Without its own pool, a channel would remember for a while that another channel has failed.
    with grpc.insecure_channel(address, [("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            answer = channel.unary_unary("/tensorflow.data.DispatcherService/GetWorkers")(b"", ANSWER_SECONDS)
            return len(tf.train.BytesList.FromString(answer).value)  # the answer, too, has one repeated field
        except grpc.RpcError as error:
            why, is_refused = error.details(), error.code() == grpc.StatusCode.UNAVAILABLE
    if is_refused and "HTTP/2" not in why and "Socket closed" not in why:
        raise NoAnswer(why.rpartition("last error: ")[2])
    raise UserError("another kind of server listens there, not the dispatcher of a tf.data service")
