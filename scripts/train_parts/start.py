"""Command-line arguments, and how a process joins the others."""

import argparse
import os
from pathlib import Path

import jax


def parse(description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    environment = os.environ.get
    joining = parser.add_argument_group("processes; each may come from the environment")
    joining.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        default=environment("JAX_COORDINATOR_ADDRESS"),
        help="where process 0 listens (JAX_COORDINATOR_ADDRESS)",
    )
    joining.add_argument(
        "--processes", type=int, default=environment("JAX_NUM_PROCESSES"), help="JAX_NUM_PROCESSES"
    )
    joining.add_argument(
        "--process-id", type=int, default=environment("JAX_PROCESS_ID"), help="JAX_PROCESS_ID"
    )
    joining.add_argument("--detect", action="store_true", help="let jax ask the scheduler instead")
    joining.add_argument("--devices", type=int, help="simulate this many CPU devices")
    training = parser.add_argument_group("training")
    training.add_argument("--layout", choices=("data", "fsdp", "tensor"), default="data")
    training.add_argument("--steps", type=int, default=60)
    training.add_argument("--batch", type=int, default=48, help="images a step, over all processes")
    training.add_argument("--seed", type=int, default=0)
    training.add_argument("--losses", type=Path, help="write the losses to this file, as JSON")
    training.add_argument("--checkpoint", type=Path, help="save to this folder, resume from it")
    training.add_argument("--save-every", type=int, default=10, help="steps")
    arguments = parser.parse_args()
    given = (arguments.coordinator, arguments.processes, arguments.process_id)
    if any(value is not None for value in given) and None in given:
        parser.error("--coordinator, --processes and --process-id belong together.")
    return arguments


def initialize(arguments: argparse.Namespace) -> None:
    """Simulates devices and joins the other processes, if there are any."""
    if arguments.devices is not None:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", arguments.devices)
    if arguments.coordinator is None and not arguments.detect:
        return
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    if arguments.detect:
        jax.distributed.initialize()
    else:
        jax.distributed.initialize(arguments.coordinator, arguments.processes, arguments.process_id)
