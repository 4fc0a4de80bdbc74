"""Runs a command under a seccomp profile in the format of container runtimes, as they would.

Usage: under_seccomp.py PROFILE [--without SYSCALL,..] COMMAND... ; needs Debian's python3-seccomp.
"""

import json
import os
import platform
import sys

import seccomp

COMPARE = {"SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ, "SCMP_CMP_EQ": seccomp.EQ}


def action(name, error):
    return {"SCMP_ACT_ALLOW": seccomp.ALLOW, "SCMP_ACT_ERRNO": seccomp.ERRNO(error)}[name]


def main():
    path, command, without = sys.argv[1], sys.argv[2:], set()
    if command[0] == "--without":
        without, command = set(command[1].split(",")), command[2:]
    with open(path, encoding="utf-8") as file:
        profile = json.load(file)
    assert any(platform.machine() in it["architecture"].lower() for it in profile["archMap"]), "this machine's"
    rules = seccomp.SyscallFilter(action(profile["defaultAction"], profile["defaultErrnoRet"]))
    for group in profile["syscalls"]:
        for name in group["names"]:
            if name in without:
                continue
            compared = [
                seccomp.Arg(it["index"], COMPARE[it["op"]], it["value"], it.get("valueTwo", 0))
                for it in group.get("args", [])
            ]
            try:
                rules.add_rule(action(group["action"], group.get("errnoRet", 1)), name, *compared)
            except (RuntimeError, OSError):
                # A call that this architecture or this version of the library does not know.
                print(f"not known here: {name}", file=sys.stderr)
    rules.load()
    os.execv(command[0], command)


main()
