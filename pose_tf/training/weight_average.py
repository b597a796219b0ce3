"""A moving average of the weights, which often predicts better than the last weights."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


class WeightAverage:
    """Exponential moving average of a model's weights (Polyak and Juditsky, 1992): a ← a + (1 − d)·(w − a).

    In the first steps d is at most (1 + steps) / (10 + steps), so that the average soon forgets the random initial
    weights. Make it under the strategy's scope, and call `update` on each replica.

    The moving means and variances of batch normalization are averaged in the same way, because the statistics of the
    last weights do not fit averaged weights. A feed-forward lifter's error after 3000 steps (motion capture, learning
    rate 1e-3, d = 0.999) is 55.7 mm with the last weights, 56.3 mm with averaged weights and the last statistics,
    52.7 mm with averaged statistics, and 52.9 mm with statistics computed from 50 batches for the averaged weights.

    Args:
        model: the model whose weights are averaged.
        decay: d.

    Attributes:
        state: the averages by the names that they have in a checkpoint.
    """

    def __init__(self, model: tf.keras.Model, decay: float):
        statistics = [weight for weight in model.non_trainable_weights if weight.dtype.is_floating]
        self._weights = [*model.trainable_weights, *statistics]
        self._decay = decay
        self._averages = [
            tf.Variable(
                tf.fill(weight.shape, float("nan")),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,  # each replica computes the same values
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for weight in self._weights
        ]
        count = len(model.trainable_weights)
        self.state = {"average": self._averages[:count], "average_statistics": self._averages[count:]}

    def start(self) -> None:
        """Sets averages that no checkpoint has restored to the current weights."""
        for average, weight in zip(self._averages, self._weights):
            if tf.reduce_any(tf.math.is_nan(average)):
                average.assign(weight)

    def update(self, steps) -> None:
        """Updates the averages with the current weights.

        Args:
            steps: scalar, number of earlier steps.
        """
        steps = tf.cast(steps, tf.float32)
        share = 1 - tf.minimum(self._decay, (1 + steps) / (10 + steps))
        for average, weight in zip(self._averages, self._weights):
            average.assign_add(share * (weight - average))

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Temporarily replaces the model's weights by their averages."""
        own = [weight.numpy() for weight in self._weights]
        for weight, average in zip(self._weights, self._averages):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(self._weights, own):
                weight.assign(value)
