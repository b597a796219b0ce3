"""An average of the weights over the last steps, which often predicts better than the last weights."""

import contextlib
from collections.abc import Iterator

import tensorflow as tf


class WeightAverage:
    """Exponential moving average of a model's trainable weights (Polyak and Juditsky, 1992): a ← a + (1 − d)·(w − a).

    In the first steps d is (1 + steps) / (10 + steps) where that is smaller, so that the random weights of the
    beginning are soon forgotten. Make it under the strategy's scope, call `update` in each replica.

    Args:
        model: whose weights are averaged.
        decay: d.
    """

    def __init__(self, model: tf.keras.Model, decay: float):
        self._weights = model.trainable_weights
        self._decay = decay
        self.averages = [
            tf.Variable(
                weight,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,  # each replica computes the same by itself
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for weight in self._weights
        ]

    def reset(self) -> None:
        """Starts again from the weights as they are."""
        for average, weight in zip(self.averages, self._weights):
            average.assign(weight)

    def update(self, steps) -> None:
        """Takes the weights in.

        Args:
            steps: how many there were before, a number.
        """
        steps = tf.cast(steps, tf.float32)
        share = 1 - tf.minimum(self._decay, (1 + steps) / (10 + steps))
        for average, weight in zip(self.averages, self._weights):
            average.assign_add(share * (weight - average))

    @contextlib.contextmanager
    def in_force(self) -> Iterator[None]:
        """Lets the model have the averages, and at the end its own weights again."""
        own = [weight.numpy() for weight in self._weights]
        for weight, average in zip(self._weights, self.averages):
            weight.assign(average)
        try:
            yield
        finally:
            for weight, value in zip(self._weights, own):
                weight.assign(value)
