"""Boxes without a container are held to their limits by scopes of a real systemd.

Whether the kernel then holds them is the machine's: one whose control groups lack the controllers
takes every property and sets none, and is not to be relied upon.
"""

import json
from typing import Any, Final

import pytest

from tests.systemd import contract
from tests.systemd.hives import Host

pytestmark = pytest.mark.xdist_group("systemd-bare")

_USER: Final = 65534
_IN_A_SCOPE: Final = f"""
import os, sys
from hyperhive.domain.confinement import Limits
from hyperhive.runtimes.limits import SystemdHolder
from hyperhive.runtimes.users import User

user = User("nobody", {_USER}, {_USER}, "nogroup", dropped_to=True)
limits = Limits(memory_bytes=64 << 20, cores=0.5, tasks=20)
command = [*SystemdHolder().prefix(limits, user), "python3", "-c", sys.argv[1]]
os.execvp(command[0], command)
"""
_LOOK: Final = """
import json, os, re, subprocess
scope = re.search(r"run-\\w+\\.scope", open("/proc/self/cgroup").read())[0]
keys = ["MemoryMax", "MemorySwapMax", "CPUQuotaPerSecUSec", "TasksMax"]
show = ["systemctl", "show", scope, *(f"--property={key}" for key in keys)]
said = subprocess.run(show, capture_output=True, text=True, check=True).stdout
found = dict(line.split("=") for line in said.splitlines())
print(json.dumps(found | {"uid": os.getuid(), "gid": os.getgid(), "groups": os.getgroups()}))
"""
_WHICH: Final = f"""
from hyperhive.runtimes.limits import best_holder
from hyperhive.runtimes.users import User
print(best_holder(User("nobody", {_USER}, {_USER}, "nogroup", dropped_to=True)).kind)
"""


def python(host: Host, *program: str) -> str:
    path = f"PYTHONPATH={contract.PACKAGES}:{contract.TREE}/python/src"
    return host.machine.run("env", path, "python3", "-B", "-c", *program)


def test_a_scope_has_each_limit_and_drops_to_the_user_of_the_boxes(bare: Host) -> None:
    found: dict[str, Any] = json.loads(python(bare, _IN_A_SCOPE, _LOOK))
    assert found == {
        "MemoryMax": str(64 << 20),
        "MemorySwapMax": "0",
        "CPUQuotaPerSecUSec": "500ms",
        "TasksMax": "21",
        "uid": _USER,
        "gid": _USER,
        "groups": [],
    }


def test_scopes_are_relied_upon_where_the_kernel_can_hold_them_and_nowhere_else(
    bare: Host,
) -> None:
    controllers = bare.machine.try_to("cat", "/sys/fs/cgroup/cgroup.controllers").said.split()
    expected = "systemd" if "memory" in controllers else "watcher"
    assert python(bare, _WHICH).strip() == expected
