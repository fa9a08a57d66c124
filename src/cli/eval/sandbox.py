"""Runs the program in the file argv[1] with limits and without network, files to write, or other processes.

Exit status 7: it ran to its end. Anything else: it failed.
"""
import os
import sys

PASSED, FAILED = 7, 1
SECONDS, MEMORY = int(sys.argv[2]), 1 << 30
REFUSED = (
    "socket.", "subprocess.", "shutil.", "ctypes.", "winreg.", "ftplib.", "http.", "smtplib.", "urllib.", "webbrowser.",
    "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "os.kill", "os.putenv", "os.chmod",
    "os.chown", "os.link", "os.symlink", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.truncate", "os.utime",
    "pty.", "signal.pthread_kill", "sys.addaudithook", "tempfile.",
)
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def refuse(event, arguments):
    if event.startswith(REFUSED) or (event == "open" and len(arguments) > 2 and (arguments[2] or 0) & WRITING):
        raise PermissionError(event)


def limit():
    try:
        import resource
    except ImportError:  # not on Windows; the time limit of the caller holds all the same
        return
    for what, most in (("CPU", SECONDS), ("AS", MEMORY), ("FSIZE", 0), ("CORE", 0), ("NOFILE", 32)):
        resource.setrlimit(getattr(resource, "RLIMIT_" + what), (most, most))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        source = file.read()
    leave, os._exit = os._exit, None
    limit()
    sys.addaudithook(refuse)
    try:
        exec(compile(source, "program", "exec"), {"__name__": "__main__"})
    except BaseException:
        leave(FAILED)
    leave(PASSED)


main()
