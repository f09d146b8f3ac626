"""For the scripts beside it: `clattn` on one device of tests/on-device, two threads, and Python environments for what they need."""
import json, os, subprocess, sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DEVICES = ["host", "pocl", "intel"]


def clattn(device, *args, build=os.path.join(ROOT, "build")):
    """BUILD's command, a folder with a `clattn`, run to its end."""
    env = dict(os.environ, CLATTN_PROBE=os.path.join(build, "clattn-probe"))
    return subprocess.run([os.path.join(ROOT, "tests", "on-device"), device, os.path.join(build, "clattn"), *args], env=env, capture_output=True, text=True)


def bench(device, problems, build=os.path.join(ROOT, "build"), seconds=0.4, options=()):
    """A line for each problem: what BUILD's `clattn bench` measured; or why it did not, {"error": text}."""
    done = clattn(device, "bench", "--json", f"--time={seconds}", *options, *problems, build=build)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    if len(lines) == len(problems):
        return lines
    if len(problems) == 1:
        return [{"error": done.stderr.strip() or f"exit {done.returncode}"}]
    return [bench(device, [p], build, seconds, options)[0] for p in problems]


def environment(name, pins):
    """The Python of .deps/NAME, made anew when what is wanted, PINS, changes."""
    folder = os.path.join(ROOT, ".deps", name)
    ready, wanted = os.path.join(folder, "ready"), " ".join(pins)
    if not os.path.exists(ready) or open(ready).read() != wanted:
        print(f"installing {wanted} into .deps/{name} ...", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([os.path.join(folder, "bin", "pip"), "-q", "install", *pins], check=True)
        open(ready, "w").write(wanted)
    return os.path.join(folder, "bin", "python")
