# A switch makes what runs what is declared: who is new runs, who is gone is stopped and kept, who
# changed is restarted once, the manager before the others.
{
  name = "hyperhive-switch";

  nodes.machine =
    { pkgs, ... }:
    {
      imports = [ ./parts/hive.nix ];

      specialisation.with-bob.configuration.services.hyperhive.agents.bob = {
        driver.kind = "scripted";
        driver.script = ./parts/worker.toml;
        address = "10.229.0.12";
      };

      specialisation.changed.configuration.services.hyperhive.guest = {
        environment.systemPackages = [ pkgs.hello ];
      };
    };

  testScript = import ./parts/prelude.nix + ''
    machine.start()
    boots()
    before = {name: leader(name) for name in ("queen", "alice")}

    with subtest("an agent that is declared runs after the switch, and nobody else is touched"):
        switch_to("with-bob")
        wait_for_agents("bob")
        ask("bob", "a task for the newcomer")
        wait_for_answer("bob", "a task for the newcomer")
        machine.succeed(inside("bob", "echo kept > /agents/bob/state/note"))
        assert before == {name: leader(name) for name in before}

    with subtest("an agent that is removed is stopped, and what it had is kept"):
        switch_to()
        machine.wait_until_fails("machinectl show h-bob", timeout=120)
        machine.succeed("grep kept /var/lib/hyperhive/agents/bob/state/note")
        assert [one["name"] for one in hive("status")["tombstones"]] == ["bob"]
        assert before == {name: leader(name) for name in before}

    with subtest("an agent that comes back finds what it had"):
        switch_to("with-bob")
        wait_for_agents("bob")
        machine.succeed(inside("bob", "grep kept /agents/bob/state/note"))
        switch_to()
        machine.wait_until_fails("machinectl show h-bob", timeout=120)

    with subtest("agents that changed are restarted once, the manager before the others"):
        seq = hive("status")["seq"]
        switch_to("changed")
        for name in before:
            machine.wait_until_succeeds(inside(name, "hello"), timeout=240)
        wait_for_agents("queen", "alice")
        moves = [
            (event["agent"], event["data"]["state"])
            for event in hive(f"events --after {seq}")["events"]
            if event["kind"] == "agent_state_changed"
        ]
        for name in before:
            assert moves.count((name, "starting")) == 1, moves
            assert leader(name) != before[name]
        assert moves.index(("queen", "ready")) < moves.index(("alice", "starting")), moves

    with subtest("a switch that changes nothing restarts nobody"):
        after = {name: leader(name) for name in before}
        switch_to("changed")
        ask("alice", "a task after the switch")
        wait_for_answer("alice", "a task after the switch")
        assert after == {name: leader(name) for name in after}
  '';
}
