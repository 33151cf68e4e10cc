"""The runtime of NixOS over a systemd that is pretended: what its notes and refusals are.

What it does on a real one is the contract suite's, which `tests/systemd` runs there.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from hyperhive.domain.actors import Role
from hyperhive.domain.confinement import NIXOS_CONTAINER, Confinement
from hyperhive.domain.errors import ConflictError, UnavailableError
from hyperhive.domain.instances import BoxSpec, Phase
from hyperhive.domain.paths import HivePaths
from hyperhive.runtimes.clocks import ManualClock
from hyperhive.runtimes.nixos_container import NixosContainerRuntime, configured, unit_of
from hyperhive.runtimes.units import Systemd, Unit

pytestmark = pytest.mark.anyio

ALICE = unit_of("alice")
CONF = 'SYSTEM_PATH={system}\nPRIVATE_USERS=pick\nEXTRA_NSPAWN_FLAGS="--quiet"\n'


class PretendedSystemd(Systemd):
    """Units that are a table; ``lines`` is what theirs wrote."""

    def __init__(self, clock: ManualClock) -> None:
        self.table: dict[str, Unit] = {}
        self.lines: list[str] = []
        self.refusal: str | None = None
        self.runs = 0
        self.deployed: list[str] = []
        self.deployment_refused: str | None = None
        self._clock = clock

    async def units(self, *patterns: str) -> Mapping[str, Unit]:
        return dict(self.table)

    async def start(self, name: str) -> None:
        if name.startswith("hyperhive-deploy@"):
            self.deployed.append(name)
            if self.deployment_refused is not None:
                raise UnavailableError("Job for it failed.")
            return
        if self.refusal is not None:
            self.table[name] = Unit(name, "failed")
            raise UnavailableError(self.refusal)
        self.runs += 1
        self.table[name] = Unit(name, "active", f"run-{self.runs}", since=self._clock.now())

    async def stop(self, name: str, seconds: float) -> None:
        self.table.pop(name, None)

    async def output(self, name: str, lines: int) -> list[str]:
        return self.lines[-lines:]

    async def story(self, name: str, lines: int) -> list[str]:
        if name.startswith("hyperhive-deploy@"):
            return ["Starting it", f"hyperhive-deploy: {self.deployment_refused}", "Failed it"]
        return ["nspawn: no such directory"]


class Bench:
    """A runtime over pretended units, with alice's container configured."""

    def __init__(self, directory: Path) -> None:
        self.clock = ManualClock()
        self.systemd = PretendedSystemd(self.clock)
        self.paths = HivePaths(directory / "state", directory / "run")
        self.configured = directory / "containers"
        self.configured.mkdir()
        self.system = directory / "system-1"
        self.configure(CONF.format(system=self.system))
        self.runtime = self.new_server()

    def configure(self, text: str) -> None:
        (self.configured / "h-alice.conf").write_text(text)

    def new_server(self) -> NixosContainerRuntime:
        return NixosContainerRuntime(
            self.paths, self.clock, systemd=self.systemd, directory=self.configured
        )

    def spec(self) -> BoxSpec:
        system = configured("alice", self.configured) or ""
        box = Confinement(NIXOS_CONTAINER)
        state_dir, run_dir = self.paths.state_dir, self.paths.run_dir
        return BoxSpec("alice", Role.WORKER, (), state_dir, run_dir, confinement=box, system=system)

    def fails(self, status: int) -> None:
        """Let systemd see that the run of alice's container has failed."""
        unit = self.systemd.table[ALICE]
        self.systemd.table[ALICE] = replace(unit, state="failed", exit_status=status)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


async def test_a_run_is_known_by_the_name_that_systemd_gives_it(bench: Bench) -> None:
    await bench.runtime.start(bench.spec())

    box = (await bench.runtime.observe())["alice"]
    assert (box.incarnation, box.digest) == ("run-1", bench.spec().digest)


async def test_a_run_that_somebody_else_started_is_of_another_declaration(bench: Bench) -> None:
    await bench.runtime.start(bench.spec())
    await bench.systemd.start(ALICE)

    box = (await bench.runtime.observe())["alice"]
    assert (box.phase, box.incarnation, box.digest) == (Phase.RUNNING, "run-2", "")
    with pytest.raises(ConflictError):
        await bench.runtime.start(bench.spec())


async def test_what_a_server_started_that_died_meanwhile_is_the_next_ones(bench: Bench) -> None:
    await bench.runtime.start(bench.spec())
    note = bench.paths.records / "alice.json"
    note.write_text(note.read_text().replace('"run-1"', '""'))

    box = (await bench.new_server().observe())["alice"]
    assert (box.incarnation, box.digest) == ("run-1", bench.spec().digest)


async def test_a_run_that_failed_while_no_server_looked_has_failed(bench: Bench) -> None:
    await bench.runtime.start(bench.spec())
    bench.fails(7)

    box = (await bench.new_server().observe())["alice"]
    assert (box.phase, box.exit_status) == (Phase.FAILED, 7)


async def test_a_run_that_ended_well_while_no_server_looked_is_stopped(bench: Bench) -> None:
    await bench.runtime.start(bench.spec())
    del bench.systemd.table[ALICE]

    assert (await bench.new_server().observe())["alice"].phase is Phase.STOPPED


async def test_a_run_that_ended_well_before_the_servers_eyes_has_failed(bench: Bench) -> None:
    await bench.runtime.start(bench.spec())
    del bench.systemd.table[ALICE]

    box = (await bench.runtime.observe())["alice"]
    assert (box.phase, box.exit_status) == (Phase.FAILED, None)
    assert (await bench.new_server().observe())["alice"] == box


async def test_a_container_that_does_not_come_up_tells_what_its_unit_said(bench: Bench) -> None:
    bench.systemd.refusal = "Job for it failed."

    with pytest.raises(UnavailableError, match=r"Job for it failed.*no such directory"):
        await bench.runtime.start(bench.spec())
    assert await bench.runtime.observe() == {}


async def test_an_agent_without_a_container_is_not_started(bench: Bench) -> None:
    (bench.configured / "h-alice.conf").unlink()

    with pytest.raises(UnavailableError, match="No container is configured"):
        await bench.runtime.start(bench.spec())
    assert bench.systemd.runs == 0


@pytest.mark.parametrize("users", ["PRIVATE_USERS=no", "PRIVATE_USERS=identity", ""])
def test_a_container_without_users_of_its_own_is_refused(bench: Bench, users: str) -> None:
    bench.configure(CONF.replace("PRIVATE_USERS=pick", users))
    with pytest.raises(UnavailableError, match="no user namespace"):
        bench.runtime.require_box("alice")


def test_another_system_flag_or_target_of_a_profile_is_another_configuration(
    bench: Bench,
) -> None:
    (bench.system.parent / "system-2").mkdir()
    profile = bench.system.parent / "profile"
    seen = {configured("alice", bench.configured)}
    bench.configure(CONF.format(system=profile))
    for target in ("system-1", "system-2"):
        profile.unlink(missing_ok=True)
        profile.symlink_to(bench.system.parent / target)
        seen.add(configured("alice", bench.configured))
    bench.configure(CONF.format(system=profile).replace("--quiet", "--bind=/srv"))
    seen.add(configured("alice", bench.configured))
    assert len(seen) == 4


async def test_logs_are_the_harnesss_lines_without_its_guests(bench: Bench) -> None:
    bench.systemd.lines = [
        "booting",
        "hyperhive-agent[41]: hello",
        "halting",
        "hyperhive-agent[9]: ",
    ]

    assert await bench.runtime.logs("alice", 5) == ["hello", ""]


async def test_a_guest_whose_harness_wrote_nothing_speaks_for_itself(bench: Bench) -> None:
    bench.systemd.lines = ["booting", "no such unit"]

    assert await bench.runtime.logs("alice", 1) == ["no such unit"]


async def test_the_system_of_a_spawned_agent_is_put_in_place_before_its_container_starts(
    bench: Bench,
) -> None:
    bench.paths.requests.mkdir(parents=True)
    spec = replace(bench.spec(), built="/nix/store/one")

    await bench.runtime.start(spec)

    assert bench.systemd.deployed == ["hyperhive-deploy@alice.service"]
    assert (bench.paths.requests / "alice").read_text() == "/nix/store/one\n"
    assert (await bench.runtime.observe())["alice"].digest == spec.digest
    assert replace(spec, built="/nix/store/two").digest != spec.digest


async def test_a_declared_agents_system_is_the_hosts_alone_to_put_in_place(bench: Bench) -> None:
    await bench.runtime.start(bench.spec())

    assert bench.systemd.deployed == []


async def test_a_system_that_the_host_refuses_is_not_started_and_it_says_why(bench: Bench) -> None:
    bench.paths.requests.mkdir(parents=True)
    bench.systemd.deployment_refused = "the request for alice was not made for it"

    with pytest.raises(UnavailableError, match="its system: the request for alice was not made"):
        await bench.runtime.start(replace(bench.spec(), built="/nix/store/one"))
    assert bench.systemd.runs == 0


async def test_a_link_in_the_place_of_a_request_is_not_followed(
    bench: Bench, tmp_path: Path
) -> None:
    bench.paths.requests.mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("kept")
    for name in ("alice", ".alice.new"):
        (bench.paths.requests / name).symlink_to(secret)

    await bench.runtime.start(replace(bench.spec(), built="/nix/store/one"))

    assert secret.read_text() == "kept"
    assert (bench.paths.requests / "alice").read_text() == "/nix/store/one\n"


async def test_what_the_host_has_of_an_agent_that_is_purged_is_taken_away(bench: Bench) -> None:
    bench.paths.requests.mkdir(parents=True)

    await bench.runtime.forget("alice")
    await bench.runtime.forget("nobody")
    await bench.runtime.forget("../alice")

    assert bench.systemd.deployed == ["hyperhive-deploy@alice.service"]
    assert (bench.paths.requests / "alice").read_text() == "none\n"
