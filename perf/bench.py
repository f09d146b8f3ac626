"""A run of `clattn bench --json` on one device of tests/on-device, two threads, for the scripts beside it."""
import json, os, subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEVICES = ["host", "pocl", "intel"]


def bench(device, problems, build=os.path.join(ROOT, "build"), seconds=0.4):
    """A line for each problem: what BUILD, a folder with a `clattn`, measured; or why it did not, {"error": text}."""
    env = dict(os.environ, CLATTN_PROBE=os.path.join(build, "clattn-probe"))
    args = [os.path.join(ROOT, "tests", "on-device"), device, os.path.join(build, "clattn"), "bench", "--json", f"--time={seconds}"]
    done = subprocess.run(args + problems, env=env, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if len(lines) == len(problems):
        return lines
    if len(problems) == 1:
        return [{"error": done.stderr.strip() or f"exit {done.returncode}"}]
    return [bench(device, [p], build, seconds)[0] for p in problems]
