import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from fakediscord.loopthread import LoopThread  # noqa: E402

LoopThread.patience = 5
