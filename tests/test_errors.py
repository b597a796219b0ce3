"""Tests of error messages: one line, without places in the code, and with the flag at fault."""

import pytest
import tensorflow as tf

from pose_tf.errors import UserError, argument, reason


@tf.function
def fails(x):
    with tf.control_dependencies([tf.debugging.Assert(x > 1, ["too small:", x])]):
        return tf.identity(x)


def test_a_reason_is_one_line_without_places():
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        fails(tf.constant(1))
    assert reason(caught.value) == "assertion failed: [too small:] [1]"
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        tf.io.decode_image(b"")
    assert reason(caught.value) == "Input is empty."


def test_an_error_without_words_is_named_by_its_kind():
    assert reason(tf.errors.DataLossError(None, None, "")) == "DataLossError"


def test_the_command_adds_the_flag():
    class ServerError(UserError):
        pass

    with pytest.raises(UserError, match=r"^--model=a is damaged$"), argument("--model"):
        raise UserError("a is damaged")
    with pytest.raises(UserError, match=r"^--server=a is late$"), argument("--server", ServerError):
        raise ServerError("a is late")
    with pytest.raises(UserError, match=r"^b is no photo$"), argument("--server", ServerError):
        raise UserError("b is no photo")
