"""Puts what `modules/` evaluates to into a machine, under the paths that it names.

NixOS does more: what nixos-containers makes of ``containers.<name>`` (the template of the unit, the
file of settings, what runs before and in the guest) is written here by hand, because it is in
nixpkgs and not in its `lib`. Programs of the store are those of Debian.
"""

import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import hyperhive
from pytest_nixos import Evaluated, Evaluator
from tests import nixpkgs
from tests.systemd import installing
from tests.systemd.machines import Machine, make_root

TREE: Final = Path(__file__).parents[2]
MODULE: Final = TREE / "modules/default.nix"
STUBS: Final = TREE / "tests/nix/stubs.nix"

# The package is this tree's own, as `_stand_in` makes it.
_CONFIGURATION: Final = """{{ pytestNixos, ... }}: {{
  services.hyperhive = {{
    enable = true;
    package = pytestNixos.derivation "hyperhive-tree" {{ meta.mainProgram = "hyperhive"; }};
  }} // ({});
}}"""

SYSTEMD: Final = "etc/systemd/system"
CONTAINERS: Final = "var/lib/nixos-containers"
CONFIGURED: Final = "etc/nixos-containers"
_START: Final = "nix/store/00000000000000000000000000000000-container-start"
_INIT: Final = "nix/store/00000000000000000000000000000000-container-init"
_PYTHON: Final = "nix/store/00000000000000000000000000000000-python3-env"

NIXPKGS: Final = "nix/store/00000000000000000000000000000000-nixpkgs"
"""What the module takes for the host's nixpkgs here."""

# What makes a system of what it is given: the guest that was rendered, with its marker and commit.
_SYSTEM: Final = """
  /bin/cp -r $rendered $out
  /bin/chmod -R u+w $out
  /bin/mkdir -p $out/etc/hyperhive
  echo "$marker" >$out/etc/hyperhive/agent
  /bin/cp -r $configuration $out/etc/hyperhive/configuration
  echo "$packages" >$out/packages
"""

# Its builds need no walls and no network here.
_NIX_CONF: Final = """
build-users-group =
sandbox = false
substitute = false
"""
_NIX_DAEMON: Final = """[Service]
ExecStart=/usr/bin/nix-daemon
"""

# What nixos-containers' template says, as far as it concerns how a container lives.
_TEMPLATE: Final = f"""[Unit]
Description=Container '%i'
RequiresMountsFor=/{CONTAINERS}/%i

[Service]
Type=notify
Environment=INSTANCE=%i
EnvironmentFile=-/{CONFIGURED}/%i.conf
SyslogIdentifier=container %i
ExecStart=/{_START}
ExecStartPost=/{_START} network
RestartForceExitStatus=133
SuccessExitStatus=133
TimeoutStartSec=60
Restart=on-failure
Slice=machine.slice
Delegate=yes
KillMode=mixed
KillSignal=TERM
DevicePolicy=closed
"""

_START_SCRIPT: Final = f"""#!/bin/bash
set -eu
if [ "${{1-}}" = network ]; then
  [ -n "${{HOST_ADDRESS-}}" ] || exit 0
  ip link set dev "ve-$INSTANCE" up
  ip addr add "$HOST_ADDRESS" dev "ve-$INSTANCE"
  ip route add "$LOCAL_ADDRESS" dev "ve-$INSTANCE"
  exit
fi
flags=(--private-users="$PRIVATE_USERS")
[ "${{PRIVATE_NETWORK-}}" != 1 ] || flags+=(--private-network)
[ -z "${{HOST_ADDRESS-}}" ] || flags+=(--network-veth)
exec systemd-nspawn --keep-unit --machine="$INSTANCE" --directory="/{CONTAINERS}/$INSTANCE" \\
  "${{flags[@]}}" --notify-ready=yes --kill-signal=SIGRTMIN+3 --link-journal=try-guest \\
  --bind-ro=/usr --bind-ro=/nix/store:/nix/store:idmap \\
  --bind-ro=/nix/var/nix/daemon-socket:/nix/var/nix/daemon-socket:idmap \\
  --setenv=HOST_ADDRESS="${{HOST_ADDRESS-}}" --setenv=LOCAL_ADDRESS="${{LOCAL_ADDRESS-}}" \\
  ${{EXTRA_NSPAWN_FLAGS-}} /{_INIT} "$SYSTEM_PATH/init"
"""

_INIT_SCRIPT: Final = """#!/bin/bash
trap "exit 0" SIGRTMIN+3
if [ -n "${HOST_ADDRESS-}" ]; then
  ip link set dev host0 name eth0 up
  ip addr add "$LOCAL_ADDRESS" dev eth0
  ip route add "$HOST_ADDRESS" dev eth0
  ip route add default via "$HOST_ADDRESS"
fi
exec "$1"
"""

# Stage 2 of a guest: its files become those of the system, then systemd starts.
_STAGE_2: Final = """#!/bin/bash
"$(dirname "$0")/bin/activate"
exec /usr/lib/systemd/systemd systemd.show_status=no
"""

_ACTIVATE: Final = """#!/bin/bash
set -eu
system=$(dirname "$(dirname "$0")")
rm -rf /etc/systemd/system/hyperhive-agent*
cp -r "$system/units/." /etc/systemd/system
ln -sfn "$system" /run/current-system
"""

# What `switch-to-configuration test` does here: the unit that changed is restarted, the box stays.
_SWITCH: Final = """#!/bin/bash
set -eu
"$(dirname "$0")/activate"
systemctl daemon-reload
systemctl restart hyperhive-agent.service
"""


def evaluate(nixos_eval: Evaluator, configuration: str) -> Evaluated:
    """Evaluate a hive: ``configuration`` is what ``services.hyperhive`` is, as Nix text."""
    text = _CONFIGURATION.format(configuration)
    found = nixos_eval([MODULE], text, stubs=STUBS)
    assert found.failed == []
    return found


def furnish(root: Path, debian: Path, found: Evaluated) -> None:
    """Put a host with this hive into a root that is not booted yet; its server starts with it."""
    store = root / "nix/store"
    store.mkdir(parents=True)
    (root / "nix/var/nix/daemon-socket").mkdir(parents=True)
    (root / CONTAINERS).mkdir(parents=True, mode=0o700)
    _install_python(root)
    for unit in found.units.values():
        for path in _store_paths(unit.text):
            _stand_in(root, path)
    _write(root / "etc/nix/nix.conf", _NIX_CONF)
    _write(root / SYSTEMD / "nix-daemon.service", _NIX_DAEMON)
    _link(root / SYSTEMD / "multi-user.target.wants/nix-daemon.service", "../nix-daemon.service")
    _executable(root / _START, _START_SCRIPT)
    _executable(root / _INIT, _INIT_SCRIPT)
    _write(root / SYSTEMD / "container@.service", _TEMPLATE)
    install(root, found)
    _write(root / "etc/polkit-1/rules.d/10-nixos.rules", found.value("security.polkit.extraConfig"))
    _write(root / "etc/tmpfiles.d/10-hyperhive.conf", _tmpfiles(found))
    _add_accounts(root, found, {"operator": ["hyperhive"], "stranger": []})
    for name in found.value("containers"):
        _make_guest(root / CONTAINERS / name, debian, found.inside(f"containers.{name}.config"))


def install(root: Path, found: Evaluated) -> None:
    """Put all into place that a switch puts into place: units, files, the systems of guests."""
    for unit in found.units.values():
        name, _, _ = unit.name.partition("@")
        is_drop_in = name == "container"
        place = f"{unit.name}.d/10-evaluated.conf" if is_drop_in else unit.name
        _write(root / SYSTEMD / place, unit.text)
        for target in unit.wanted_by:
            _link(root / SYSTEMD / f"{target}.wants" / unit.name, f"/{SYSTEMD}/{unit.name}")
        if name.startswith("hyperhive"):
            path = "[Service]\nEnvironment=PATH=/usr/sbin:/usr/bin\n"
            _write(root / SYSTEMD / f"{unit.name}.d/path.conf", path)
    for mount in found.value("systemd.mounts"):
        name = mount["where"].strip("/").replace("/", "-") + ".mount"
        body = f"[Unit]\nDescription={mount['description']}\nBefore={' '.join(mount['before'])}\n"
        body += "DefaultDependencies=no\n[Mount]\n"
        body += "".join(
            f"{key.capitalize()}={mount[key]}\n" for key in ("what", "where", "type", "options")
        )
        _write(root / SYSTEMD / name, body)
        for target in mount["wantedBy"]:
            _link(root / SYSTEMD / f"{target}.wants" / name, f"/{SYSTEMD}/{name}")
    declaration = found.value("services.hyperhive.declaration")
    for agent in declaration["agents"].values():
        script = agent["driver"].get("script")
        if script is not None:
            _copy_script(root, script)
    rendered = found.files["hyperhive/hive.json"].source
    assert rendered is not None
    _write(root / rendered.lstrip("/"), json.dumps(declaration, indent=2))
    _link(root / "etc/hyperhive/hive.json", rendered)
    _install_spawning(root, found)
    for name, container in found.value("containers").items():
        guest = found.inside(f"containers.{name}.config")
        _write_system(root / container["path"].lstrip("/"), guest)
        _write(root / CONFIGURED / f"{name}.conf", settings_of(container))


def settings_of(container: Mapping[str, Any]) -> str:
    """Write what nixos-containers writes of a container into its file of settings."""
    said = {"SYSTEM_PATH": container["path"], "PRIVATE_USERS": str(container["privateUsers"])}
    if container["privateNetwork"]:
        said["PRIVATE_NETWORK"] = "1"
        for key, option in (("HOST_ADDRESS", "hostAddress"), ("LOCAL_ADDRESS", "localAddress")):
            if option in container:
                said[key] = container[option]
    said["EXTRA_NSPAWN_FLAGS"] = f'"{" ".join(container["extraFlags"])}"'
    return "".join(f"{key}={value}\n" for key, value in said.items())


def switch(machine: Machine, found: Evaluated) -> None:
    """Do on a running machine what ``nixos-rebuild switch`` does for the hive."""
    install(machine.root, found)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "reload", "hyperhive.service")


def prepare_spawning(machine: Machine, debian: Path, guest: Evaluated, agent: str) -> None:
    """Give a running machine all that Nix needs to build the system of an agent, but that."""
    root = machine.root
    nixpkgs.make(root / NIXPKGS, _SYSTEM, "{ rendered = ../../rendered; }")
    _write_system(root / NIXPKGS / "rendered", guest)
    _make_guest(root / CONTAINERS / f"h-{agent}", debian, guest)
    package = f"/{next((root / 'nix/store').glob('*-hyperhive-tree')).relative_to(root)}"
    register = f"printf '%s\\n\\n0\\n' {package} | nix-store --register-validity"
    machine.run("sh", "-c", register)


def _install_spawning(root: Path, found: Evaluated) -> None:
    """Put into place what the host renders for spawned agents."""
    unit = found.unit("hyperhive-deploy@.service").section("Service")
    given = dict(line.strip('"').split("=", 1) for line in unit.every("Environment"))
    for variable, option in (("TEMPLATE", "settings"), ("UNIT", "unit")):
        text = found.value(f"services.hyperhive.spawned.{option}")
        _write(root / given[variable].lstrip("/"), text)
    rendered = found.files["hyperhive/spawned"].source
    assert rendered is not None
    for name, text in found.value("services.hyperhive.spawned.texts").items():
        _write(root / rendered.lstrip("/") / name, text)
    for name in ("guest.nix", "hardening.nix"):
        _write(root / rendered.lstrip("/") / "module" / name, (MODULE.parent / name).read_text())
    module = root / rendered.lstrip("/") / "module/spawned"
    shutil.copytree(MODULE.parent / "spawned", module, dirs_exist_ok=True)
    _link(root / "etc/hyperhive/spawned", rendered)


def _install_python(root: Path) -> None:
    """Make an environment as nixpkgs does: its Python finds the packages, whoever starts it."""
    place = root / _PYTHON
    packages = place / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    packages.mkdir(parents=True)
    # What hyperhive needs is where Debian's own Python looks; see `machines`.
    _write(place / "pyvenv.cfg", "home = /usr/bin\ninclude-system-site-packages = true\n")
    _link(place / "bin/python3", "/usr/bin/python3")
    package = Path(hyperhive.__file__).parent
    # What other tests compile meanwhile comes and goes.
    shutil.copytree(package, packages / "hyperhive", ignore=shutil.ignore_patterns("__pycache__"))
    installing.compile_all(packages / "hyperhive")


def _stand_in(root: Path, path: str) -> None:
    """Put a program of Debian's, or hyperhive itself, where a unit names one of the store."""
    place = root / path.lstrip("/")
    if place.exists() or place.is_symlink():
        return
    if path.endswith("-deploy.sh"):
        _executable(place, (MODULE.parent / "deploy.sh").read_text())
    elif path.endswith("-runtimeShell"):
        _link(place, "/usr/bin/bash")
    elif "-hyperhive-" in path:
        run = "import sys\nfrom hyperhive.cli.main import main\nsys.exit(main())\n"
        _executable(place / "bin/hyperhive", f"#!/{_PYTHON}/bin/python3\n{run}")
    else:
        _link(place, "/usr")


def _store_paths(text: str) -> set[str]:
    """Give what of the store a unit runs."""
    found = set()
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key.startswith("Exec"):
            words = (word for word in shlex.split(value) if word.startswith("/nix/store/"))
            found |= {"/".join(word.split("/")[:4]) for word in words}
    return found


def _write_system(place: Path, guest: Evaluated) -> None:
    """Write a guest's system, as far as it differs from Debian: its units, and how it starts."""
    if place.exists():
        return
    for unit in guest.units.values():
        _write(place / "units" / unit.name, unit.text)
        if unit.name == "hyperhive-agent.service":
            path = "[Service]\nEnvironment=PATH=/run/current-system/sw/bin:/usr/bin\n"
            _write(place / "units" / f"{unit.name}.d/path.conf", path)
        for target in unit.wanted_by:
            _link(place / "units" / f"{target}.wants" / unit.name, f"/{SYSTEMD}/{unit.name}")
    _executable(place / "init", _STAGE_2)
    _executable(place / "bin/activate", _ACTIVATE)
    _executable(place / "bin/switch-to-configuration", _SWITCH)


def _make_guest(place: Path, debian: Path, guest: Evaluated) -> None:
    make_root(place, debian)
    # What a guest of NixOS does not have. Debian's /run/lock, where everybody may write, stays:
    # it is one of the places that the unit's own walls have to keep the agent from.
    _link(place / SYSTEMD / "console-getty.service", "/dev/null")
    (place / "var/lib/dbus/machine-id").unlink(missing_ok=True)
    (place / "etc/hostname").write_text(f"{place.name}\n")
    _add_accounts(place, guest, {})


def _add_accounts(root: Path, found: Evaluated, more: Mapping[str, list[str]]) -> None:
    """Add the users and groups that are declared, and some people with no more than a name."""
    members: dict[str, list[str]] = {}
    users = {
        name: (user.get("uid"), user["group"])
        for name, user in found.users.items()
        if "uid" in user
    }
    groups = {name: group["gid"] for name, group in found.groups.items()}
    for at, (person, joined) in enumerate(more.items()):
        groups[person] = 2000 + at
        users[person] = (2000 + at, person)
        for group in joined:
            members.setdefault(group, []).append(person)
    with (root / "etc/group").open("a") as file:
        for name, gid in groups.items():
            file.write(f"{name}:x:{gid}:{','.join(members.get(name, []))}\n")
    with (root / "etc/passwd").open("a") as file:
        for name, (uid, group) in users.items():
            home = "/home/agent" if name == "agent" else "/nonexistent"
            file.write(f"{name}:x:{uid}:{groups[group]}::{home}:/bin/sh\n")


def _tmpfiles(found: Evaluated) -> str:
    lines = []
    for rules in found.value("systemd.tmpfiles.settings").values():
        for path, kinds in rules.items():
            for kind, said in kinds.items():
                lines.append(f"{kind} {path} {said['mode']} {said['user']} {said['group']} -\n")
    return "".join(sorted(lines))


def _copy_script(root: Path, script: str) -> None:
    """Put an agent's script where the store has it; its name there says which it is."""
    source = hyperhive.__path__[0]
    name = Path(script).name.partition("-")[2]
    _write(root / script.lstrip("/"), (Path(source) / "demo/scripts" / name).read_text())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _executable(path: Path, text: str) -> None:
    _write(path, text)
    path.chmod(0o755)


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    fresh.symlink_to(target)
    fresh.replace(path)
