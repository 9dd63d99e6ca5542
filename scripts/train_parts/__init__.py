"""Parts of train_distributed.py."""
