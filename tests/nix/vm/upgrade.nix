# The next version brings the database along; going back refuses to guess, and says what to run.
{
  name = "hyperhive-upgrade";

  nodes.machine =
    { pkgs, ... }:
    let
      inherit (import ../../../pkgs { inherit pkgs; }) hyperhive;

      next = hyperhive.programOf (
        hyperhive.module.overridePythonAttrs (old: {
          postPatch = (old.postPatch or "") + "source ${./parts/next-version.sh}";
        })
      );
    in
    {
      imports = [ ./parts/hive.nix ];

      system.tools.nixos-rebuild.enable = true;
      specialisation.next.configuration.services.hyperhive.package = next;
    };

  testScript = import ./parts/prelude.nix + ''
    profile = "/nix/var/nix/profiles/system"

    machine.start()
    boots()
    ask("alice", "a task for this version")
    wait_for_answer("alice", "a task for this version")
    machine.succeed(f"nix-env --profile {profile} --set $(realpath /run/booted-system)")

    with subtest("the next version brings the database along, and keeps a copy of it"):
        machine.succeed(
            f"nix-env --profile {profile} "
            "--set $(realpath /run/booted-system/specialisation/next)"
        )
        machine.succeed(f"{profile}/bin/switch-to-configuration test")
        wait_for_agents("queen", "alice")
        wait_for_answer("alice", "a task for this version")
        machine.succeed("ls /var/lib/hyperhive/backups/*-before-9999-*.db")
        ask("alice", "a task for the next version")
        wait_for_answer("alice", "a task for the next version")

    with subtest("after a rollback the server refuses the newer database and names the way back"):
        machine.execute("nixos-rebuild test --rollback")
        machine.wait_until_succeeds(
            "journalctl --unit=hyperhive --output=cat | grep 'is newer than'", timeout=120
        )
        machine.fail("systemctl is-active hyperhive.service")

    with subtest("what it names brings the hive back as it was before the upgrade"):
        restore = machine.succeed(
            "journalctl --unit=hyperhive --output=cat"
            " | grep --only-matching 'hyperhive restore [^ ]*' | tail -n 1"
        ).strip()
        machine.succeed("systemctl stop hyperhive.service")
        machine.succeed(f"runuser -u hyperhive -- {restore}")
        machine.succeed("systemctl start hyperhive.service")
        wait_for_agents("queen", "alice")
        wait_for_answer("alice", "a task for this version")
        ask("alice", "a task after the way back")
        wait_for_answer("alice", "a task after the way back")
  '';
}
