"""Runs a LiteRT model on demand (see on_demand.py): python litert_model.py MODEL.tflite THREADS."""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from on_demand import serve


def main():
    interpreter = Interpreter(model_path=sys.argv[1], num_threads=int(sys.argv[2]))
    interpreter.allocate_tensors()
    (taken,) = interpreter.get_input_details()
    image = np.random.default_rng(0).random(taken["shape"], np.float32)

    def work(calls):
        for _ in range(calls):
            interpreter.set_tensor(taken["index"], image)
            interpreter.invoke()
            interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    serve(work)


if __name__ == "__main__":
    main()
