"""The program of a worker, which the daemon sends to an interpreter."""
