import pathlib
import sys

# The package is tested from its sources; workers get them through their control socket.
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
sys.path.insert(0, str(pathlib.Path(__file__).parent))
