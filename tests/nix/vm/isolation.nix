# What an agent can do from inside its container to anything but its own: nothing.
{
  name = "hyperhive-isolation";

  nodes.machine =
    { pkgs, ... }:
    {
      imports = [ ./parts/hive.nix ];

      services.hyperhive.agents.bob = {
        driver.kind = "scripted";
        driver.script = ./parts/worker.toml;
        address = "10.229.0.12";
        guest = {
          networking.firewall.allowedTCPPorts = [ 8080 ];
          systemd.services.listener = {
            wantedBy = [ "multi-user.target" ];
            serviceConfig.ExecStart = "${pkgs.python3}/bin/python -m http.server 8080";
            serviceConfig.DynamicUser = true;
          };
        };
      };
    };

  testScript = import ./parts/prelude.nix + ''
    def cannot(name, command):
        """The command itself has to fail in the container, not the way into it."""
        machine.succeed(inside(name, "true"))
        machine.fail(inside(name, command))


    def connects(address, port):
        return f"timeout 5 bash -c '</dev/tcp/{address}/{port}'"


    machine.start()
    boots()
    wait_for_agents("bob")
    machine.succeed(inside("alice", "echo secret > /agents/alice/state/note"))

    with subtest("an agent is an ordinary user and stays one"):
        assert machine.succeed(inside("alice", "id -u")).strip() == "770"
        cannot("alice", "sudo --non-interactive true")
        cannot("alice", "su root -c true")
        found = machine.succeed(inside("alice", "find / -xdev -perm /6000 -type f 2>/dev/null || true"))
        assert found == "", found

    with subtest("root in the container is nobody on the host"):
        first = machine.succeed(f"awk '/^Uid/ {{print $2}}' /proc/{leader('alice')}/status")
        assert int(first) > 65535

    with subtest("an agent has its own state and no other's"):
        machine.succeed(inside("alice", "touch /agents/alice/state/mine"))
        cannot("alice", "ls /agents/bob/state")
        cannot("alice", "mv /agents/alice/state /agents/alice/elsewhere")
        cannot("alice", "mkdir /agents/other")

    with subtest("the manager reads the others' state at the same path, and does not write it"):
        machine.succeed(inside("queen", "grep secret /agents/alice/state/note"))
        cannot("queen", "touch /agents/alice/state/planted")

    with subtest("what everyone shares is writable by all, and the documents by none"):
        machine.succeed(inside("alice", "echo one > /shared/file"))
        machine.succeed(inside("bob", "echo two >> /shared/file"))
        cannot("alice", "touch /docs/file")

    with subtest("an agent sees its own socket and no other"):
        machine.succeed(inside("alice", "test -S /run/hyperhive/agent.sock"))
        cannot("alice", "test -e /run/hyperhive/admin.sock")
        cannot("alice", "ls /run/hyperhive/agents")

    with subtest("an agent reaches neither the operator's page nor another agent"):
        machine.succeed(connects("10.229.0.12", 8080))
        machine.succeed(connects("127.0.0.1", 7700))
        cannot("alice", connects("10.229.0.12", 8080))
        cannot("alice", connects("10.229.0.1", 7700))

    with subtest("an agent does not build with the host's Nix"):
        cannot("alice", "test -S /nix/var/nix/daemon-socket/socket")

    with subtest("a setuid file that an agent leaves counts nowhere"):
        machine.succeed("findmnt --noheadings --output OPTIONS /var/lib/hyperhive | grep nosuid")

    with subtest("the probe in each container says the same"):
        for name in ("queen", "alice", "bob"):
            assert agent(name)["probe"]["differences"] == [], agent(name)["probe"]
  '';
}
