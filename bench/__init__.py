"""How fast flaxnoise and its rivals are: what is measured, how, and what was found.

python -m bench                  measures, prints tables, writes out/bench.jsonl
python -m bench.compare A B      ratios of two results files, with intervals
python -m bench.plot RESULTS     pictures
python -m bench.readme RESULTS   the section on speed of README.md
python -m bench.guard            instructions that the C++ kernel executes, against stored counts
python -m bench.cpu_goals        the C++ kernel against its goals
python bench/device.py           what to run on a GPU or a TPU
python bench/scaling.py          training steps on 1, 2, 4 and 8 simulated devices
"""
