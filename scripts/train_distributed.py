"""Trains a digits classifier with noise layers on many devices and in many processes.

One process that simulates eight devices, parameters sharded for FSDP or for tensor parallelism:

    python scripts/train_distributed.py --devices 8 --layout fsdp
    python scripts/train_distributed.py --devices 8 --layout tensor

Two processes on one machine, or on two machines that both reach the first one's address:

    python scripts/train_distributed.py --coordinator 127.0.0.1:9911 --processes 2 --process-id 0 &
    python scripts/train_distributed.py --coordinator 127.0.0.1:9911 --processes 2 --process-id 1

On a cluster whose scheduler jax supports (Slurm, Open MPI, Kubernetes), start it with --detect on
each machine. The noise does not depend on the layout or on the number of devices and processes, so
the losses are the same up to the order of floating-point sums. With --checkpoint FOLDER an
interrupted run resumes from its last checkpoint.
"""

import json

from train_parts import start

arguments = start.parse(__doc__)
start.initialize(arguments)  # before anything else touches jax

import jax  # noqa: E402
import numpy as np  # noqa: E402

from demo_parts import digits_data  # noqa: E402
from train_parts.checkpoints import Checkpoints  # noqa: E402
from train_parts.layout import Layout  # noqa: E402
from train_parts.training import Training  # noqa: E402

IMAGES = 960


def main() -> None:
    data = digits_data.load(seeds=1, images=IMAGES)
    layout = Layout(arguments.layout)
    training = Training(layout, seed=arguments.seed)
    checkpoints = Checkpoints(arguments.checkpoint, every=arguments.save_every)
    first, training.state = checkpoints.latest(training.state)
    say(f"{layout}, {jax.process_count()} processes, {jax.device_count()} devices")
    say(f"from step {first}")

    losses = []
    for step in range(first, arguments.steps):
        chosen = batch(step, arguments.batch)
        images, labels = data.images[0, chosen], data.labels[0, chosen]
        loss = float(training.step(layout.over_data(images), layout.over_data(labels)))
        losses.append(loss)
        checkpoints.save(step + 1, training.state)
        say(f"step {step + 1} loss {loss:.6f}")
    checkpoints.close()

    correct = training.predictions(layout.everywhere(data.test_images)) == data.test_labels
    say(f"test accuracy {correct.mean():.4f}")
    if arguments.losses and jax.process_index() == 0:
        with open(arguments.losses, "w") as file:
            json.dump({"first": first, "losses": losses, "accuracy": float(correct.mean())}, file)


def batch(step: int, size: int) -> np.ndarray:
    """Returns the images of a step, a function of the step so that a resumed run takes the same."""
    return np.random.default_rng(step).choice(IMAGES, size, replace=False)


def say(text: str) -> None:
    if jax.process_index() == 0:
        print(text, flush=True)


if __name__ == "__main__":
    main()
