# The machine boots, and the whole hive is there, answers, and keeps its doors shut.
{
  name = "hyperhive-boots";

  nodes.machine = {
    imports = [ ./parts/hive.nix ];

    services.hyperhive.operator.passwordFile = "/etc/operator-password";
    environment.etc."operator-password".text = "correct horse battery staple";

    users.users.ann = {
      isNormalUser = true;
      extraGroups = [ "hyperhive" ];
    };
    users.users.eve.isNormalUser = true;
  };

  testScript = import ./parts/prelude.nix + ''
    machine.start()

    with subtest("every agent becomes ready by itself"):
        boots()

    with subtest("a message goes from the operator through two agents and back"):
        ask("alice", "the first task")
        wait_for_answer("alice", "the first task")

    with subtest("the page is served, and asks who is there"):
        page = "http://127.0.0.1:7700"
        machine.succeed(f"curl --fail --silent {page}/api/health")
        machine.fail(f"curl --fail --silent {page}/api/state")
        machine.fail(f"curl --fail --silent -H 'Authorization: Bearer wrong' {page}/api/state")
        machine.succeed(
            "curl --fail --silent "
            f"-H 'Authorization: Bearer correct horse battery staple' {page}/api/state"
        )

    with subtest("members of the group speak to the hive, and nobody else does"):
        machine.succeed("su - ann -c 'hyperhive status'")
        machine.fail("su - eve -c 'hyperhive status'")

    with subtest("the server can start its containers, and nothing else"):
        as_server = "runuser -u hyperhive -- "
        machine.succeed(as_server + "systemctl restart container@h-alice.service")
        wait_for_agents("alice")
        machine.fail(as_server + "systemctl stop dbus.service")
        machine.fail(as_server + "systemctl start container@h-alice.mount")
        machine.fail(as_server + "systemctl start container@other.service")
        machine.fail(as_server + "systemctl start container@h-nobody.service")
        machine.fail(as_server + "systemctl kill container@h-alice.service")
        machine.fail(as_server + "systemd-run --unit=container@h-made-up.service true")
        machine.fail(as_server + "systemd-run --unit=hyperhive-deploy@x.service true")

    with subtest("the server gives up what it does not need"):
        machine.succeed("systemd-analyze security --threshold=20 hyperhive.service")
  '';
}
