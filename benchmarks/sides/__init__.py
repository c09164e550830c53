"""What a user could take to label a video frame by frame; measured by ``benchmarks/peers.py``."""
