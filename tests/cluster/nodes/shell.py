"""Running a command that must succeed, and saying what goes on."""
import subprocess
import sys


def say(text):
    print(f"cluster: {text}", file=sys.stderr, flush=True)


def run(*command, **options):
    """The command's standard output; a failure tells its standard error. A command that hangs is a failure, too."""
    options.setdefault("timeout", 300)
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(map(str, command))}` ended with {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
