# Whatever dies, the hive goes on by itself, and what was sent arrives.
{
  name = "hyperhive-crash";

  nodes.machine.imports = [ ./parts/hive.nix ];

  testScript = import ./parts/prelude.nix + ''
    machine.start()
    boots()

    with subtest("the server is killed: the agents stay, and work with the next one"):
        before = {name: leader(name) for name in ("queen", "alice")}
        machine.succeed("systemctl kill --signal=KILL hyperhive.service")
        machine.wait_until_succeeds("hyperhive status", timeout=60)
        wait_for_agents("queen", "alice")
        ask("alice", "a task after the kill")
        wait_for_answer("alice", "a task after the kill")
        assert before == {name: leader(name) for name in before}

    with subtest("a harness is killed in mid-turn: its message is delivered again"):
        ask("alice", "work slowly once")
        machine.wait_until_succeeds(
            "hyperhive --json status"
            """ | jq --exit-status '.agents[] | select(.name == "alice") | .state == "busy"'""",
            timeout=60,
        )
        machine.succeed("systemctl --machine=h-alice kill --signal=KILL hyperhive-agent.service")
        wait_for_answer("alice", "work slowly once")

    with subtest("a container dies: it is started again"):
        before = leader("alice")
        machine.succeed(f"kill -KILL {before}")
        machine.wait_until_succeeds(
            f"test $(machinectl show h-alice --property=Leader --value) -ne {before}", timeout=120
        )
        wait_for_agents("alice")
        ask("alice", "a task after the death")
        wait_for_answer("alice", "a task after the death")

    with subtest("the power fails: what was sent before is done afterwards"):
        machine.succeed("hyperhive pause alice --reason 'before the failure'")
        ask("alice", "a task from before the failure")
        machine.wait_until_succeeds(
            "hyperhive --json messages --agent alice --state queued | grep 'from before the failure'",
            timeout=60,
        )
        machine.crash()
        machine.start()
        boots()
        machine.succeed("hyperhive resume alice")
        wait_for_answer("alice", "a task from before the failure")
  '';
}
